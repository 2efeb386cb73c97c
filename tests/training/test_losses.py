import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from convlstm.training.losses import balanced_class_weights, cell_loss, clip_loss, training_loss

pytestmark = pytest.mark.pure

SOFTPLUS_1 = math.log(1 + math.e)
"""-log(1 - sigmoid(1))"""

UNKNOWN = torch.full((1, 1, 2), -1)


def random_logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mean_loss(logits: torch.Tensor, labels: torch.Tensor, cells: torch.Tensor, **options: Any) -> torch.Tensor:
    loss, weight = training_loss(logits, labels, cells, **options)
    return loss / weight


def random_cells(*shape: int, classes: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randint(-1, classes, shape, generator=torch.Generator().manual_seed(seed))


def test_clip_loss_by_hand() -> None:
    logits = torch.tensor([[[[-5.0, 1.0]]], [[[-5.0, 1.0]]]])
    expected = torch.tensor([SOFTPLUS_1, SOFTPLUS_1 - 1])
    torch.testing.assert_close(clip_loss(logits, torch.tensor([0, 1])), expected)


@given(st.integers(0, 1000), st.integers(1, 5))
def test_clip_loss_of_two_classes_is_bce_on_the_highest_cell(seed: int, batch: int) -> None:
    logits = random_logits(batch, 1, 3, 4, seed=seed)
    labels = random_cells(batch, seed=seed).clamp(min=0)
    expected = F.binary_cross_entropy_with_logits(logits.amax(dim=(1, 2, 3)), labels.float(), reduction="none")
    torch.testing.assert_close(clip_loss(logits, labels), expected)


def test_clip_loss_of_three_classes_takes_each_margin_where_it_is_highest() -> None:
    logits = torch.tensor([[[[1.0, 4.0]], [[3.0, 4.0]], [[0.0, 7.0]]]])  # margins 2, 0 and -1, 3
    expected = F.cross_entropy(torch.tensor([[0.0, 2.0, 3.0]]), torch.tensor([1]), reduction="none")
    torch.testing.assert_close(clip_loss(logits, torch.tensor([1])), expected)


def test_clip_loss_moves_the_highest_cell_only() -> None:
    logits = random_logits(1, 1, 3, 4).requires_grad_()
    clip_loss(logits, torch.tensor([0])).sum().backward()
    assert logits.grad is not None
    (place,) = logits.grad.flatten().nonzero().tolist()
    assert place == [int(logits.argmax())]
    torch.testing.assert_close(logits.grad.sum(), torch.sigmoid(logits.max()).detach())


def test_cell_loss_by_hand() -> None:
    logits = torch.tensor([[[[1.0, 1.0, 9.0]]]])
    cells = torch.tensor([[[0, 1, -1]]])
    torch.testing.assert_close(cell_loss(logits, cells), torch.tensor([(SOFTPLUS_1 + SOFTPLUS_1 - 1) / 2]))
    weighted = (SOFTPLUS_1 + 3 * (SOFTPLUS_1 - 1)) / 4
    torch.testing.assert_close(cell_loss(logits, cells, 3.0), torch.tensor([weighted]))


def test_cells_count_as_often_as_their_weights_say() -> None:
    logits = torch.tensor([[[[1.0, 1.0, 9.0]]]])
    cells, weights = torch.tensor([[[0, 1, -1]]]), torch.tensor([[[5.0, 2.0, 7.0]]])
    expected = (5 * SOFTPLUS_1 + 2 * 3 * (SOFTPLUS_1 - 1)) / 11
    torch.testing.assert_close(cell_loss(logits, cells, 3.0, cell_weights=weights), torch.tensor([expected]))


@given(st.integers(0, 1000))
def test_cell_loss_of_two_classes_is_bce_over_known_cells(seed: int) -> None:
    logits, cells = random_logits(1, 1, 3, 4, seed=seed), random_cells(1, 3, 4, seed=seed)
    known = cells >= 0
    expected = F.binary_cross_entropy_with_logits(logits[:, 0][known], cells[known].float())
    torch.testing.assert_close(cell_loss(logits, cells)[0], expected if known.any() else torch.tensor(0.0))


@given(st.integers(0, 1000))
def test_cell_loss_of_three_classes_is_cross_entropy_over_known_cells(seed: int) -> None:
    logits, cells = random_logits(2, 3, 3, 4, seed=seed), random_cells(2, 3, 4, classes=3, seed=seed)
    expected = [F.cross_entropy(logits[i : i + 1], cells[i : i + 1], ignore_index=-1) for i in range(2)]
    torch.testing.assert_close(cell_loss(logits, cells), torch.stack(expected))


def test_each_clip_counts_for_itself() -> None:
    logits, cells = random_logits(3, 1, 2, 2), random_cells(3, 2, 2)
    one_by_one = torch.cat([cell_loss(logits[i : i + 1], cells[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(cell_loss(logits, cells), one_by_one)


@pytest.mark.parametrize("weight", [0.01, 0.5, 20.0])
def test_weight_of_positives_does_not_change_a_clip_that_holds_nothing_else(weight: float) -> None:
    logits, cells = random_logits(1, 1, 1, 2), torch.ones(1, 1, 2, dtype=torch.int64)
    torch.testing.assert_close(cell_loss(logits, cells, weight), cell_loss(logits, cells))


def test_the_worst_cells_count_once_more() -> None:
    """One in twenty-five: of 50 cells, 5 of them unknown, the two that are farthest off."""
    logits = torch.zeros(1, 1, 5, 10)
    logits[0, 0, 0, :5] = 9.0
    logits[0, 0, 2, 3], logits[0, 0, 4, 4], logits[0, 0, 4, 5] = 1.0, 3.0, -3.0
    cells = torch.zeros(1, 5, 10, dtype=torch.int64)
    cells[0, 0, :5] = -1
    worst = (SOFTPLUS_1 + math.log(1 + math.e**3)) / 2
    torch.testing.assert_close(cell_loss(logits, cells, 1.0, 0.5), cell_loss(logits, cells) + 0.5 * worst)


@given(st.integers(0, 1000), st.integers(1, 4), st.floats(0.01, 2))
def test_the_worst_cells_are_those_of_each_clip(seed: int, batch: int, weight: float) -> None:
    logits, cells = random_logits(batch, 3, 4, 5, seed=seed), random_cells(batch, 4, 5, classes=3, seed=seed)
    each = F.cross_entropy(logits, cells, ignore_index=-1, reduction="none").amax(dim=(1, 2))  # one cell of 20
    torch.testing.assert_close(cell_loss(logits, cells, 1.5, weight), cell_loss(logits, cells, 1.5) + weight * each)


def test_a_clip_without_known_cells_has_no_cell_loss() -> None:
    logits = random_logits(1, 1, 1, 2).requires_grad_()
    loss = cell_loss(logits, UNKNOWN, 2.0, 0.5)
    loss.sum().backward()
    assert loss.tolist() == [0.0]
    assert logits.grad is not None and not logits.grad.any()


def test_ignored_cells_get_no_gradient() -> None:
    logits = random_logits(1, 1, 1, 3).requires_grad_()
    cell_loss(logits, torch.tensor([[[1, -1, 0]]])).sum().backward()
    assert logits.grad is not None
    assert (logits.grad.flatten() != 0).tolist() == [True, False, True]


def test_training_loss_takes_cells_where_known_and_labels_elsewhere() -> None:
    logits, labels = random_logits(2, 1, 1, 2), torch.tensor([1, 1])
    cells = torch.cat([torch.tensor([[[0, -1]]]), UNKNOWN])
    expected = (cell_loss(logits[:1], cells[:1]) + clip_loss(logits[1:], labels[1:])) / 2
    torch.testing.assert_close(mean_loss(logits, labels, cells), expected[0])


def test_training_loss_weighs_clips_by_their_label() -> None:
    logits, labels, cells = random_logits(3, 3, 1, 2), torch.tensor([0, 2, 2]), UNKNOWN.expand(3, -1, -1)
    each = clip_loss(logits, labels)
    expected = (2 * each[0] + 5 * each[1] + 5 * each[2]) / 12
    weights = torch.tensor([2.0, 3.0, 5.0])
    torch.testing.assert_close(mean_loss(logits, labels, cells, class_weights=weights), expected)
    _, sum_of_weights = training_loss(logits, labels, cells, class_weights=weights)
    assert sum_of_weights == 12


def test_training_loss_hands_on_the_weights_of_cells() -> None:
    logits, cells = random_logits(1, 1, 1, 2), torch.tensor([[[0, 1]]])
    weights = torch.tensor([[[2.0, 1.0]]])
    options: dict[str, Any] = {"positive_weight": 4.0, "hard_cell_weight": 0.3, "cell_weights": weights}
    loss, weight = training_loss(logits, torch.tensor([1]), cells, **options)
    torch.testing.assert_close(loss, cell_loss(logits, cells, **options)[0])
    assert loss != cell_loss(logits, cells, 4.0, 0.3)[0]
    assert weight == 1


def test_a_batch_of_classes_that_do_not_count_is_no_nan() -> None:
    """A class may occur in validation alone."""
    weights = torch.tensor([1.0, 1, 0])
    loss, weight = training_loss(random_logits(1, 3, 1, 2), torch.tensor([2]), UNKNOWN, class_weights=weights)
    assert loss == 0 and weight == 0


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(0, 6))
def test_sums_and_weights_of_parts_add_up_to_those_of_the_whole(seed: int, batch: int, cut: int) -> None:
    logits, cells = random_logits(batch, 3, 2, 2, seed=seed), random_cells(batch, 2, 2, classes=3, seed=seed)
    cells[::2] = -1
    labels = random_cells(batch, classes=3, seed=seed).clamp(min=0)
    options: dict[str, Any] = {
        "class_weights": torch.tensor([0.5, 2.0, 3.0]),
        "positive_weight": 1.7,
        "hard_cell_weight": 0.2,
    }
    parts = [
        training_loss(logits[part], labels[part], cells[part], **options) for part in (slice(cut), slice(cut, None))
    ]
    whole = training_loss(logits, labels, cells, **options)
    for i in range(2):
        torch.testing.assert_close(parts[0][i] + parts[1][i], whole[i])


def test_half_precision_is_summed_in_float32() -> None:
    logits, labels = random_logits(2, 1, 1, 2), torch.tensor([0, 1])
    loss, weight = training_loss(logits.bfloat16(), labels, UNKNOWN.expand(2, -1, -1))
    assert loss.dtype == weight.dtype == torch.float32
    expected, _ = training_loss(logits.bfloat16().float(), labels, UNKNOWN.expand(2, -1, -1))
    torch.testing.assert_close(loss, expected)


@given(st.lists(st.integers(0, 3), min_size=1))
def test_balanced_weights_let_all_classes_that_occur_count_alike(labels: list[int]) -> None:
    weights = balanced_class_weights(torch.tensor(labels), 5)
    totals = [float(weights[label]) * labels.count(label) for label in sorted(set(labels))]
    assert totals == pytest.approx([len(labels) / len(totals)] * len(totals))
    assert [float(weights[label]) for label in range(5) if label not in labels] == [0.0] * (5 - len(totals))
