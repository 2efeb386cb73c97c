import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from convlstm.config import ModelConfig, TrainConfig
from convlstm.evaluation.evaluate import Evaluation, describe_metrics, evaluate
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.utils.data.dataset import Batch, WindowDataset, open_sequences
from convlstm.utils.data.loader import eval_loader
from convlstm.utils.data.manifest import ManifestRow

THREE = ("static", "dynamic", "negative")
WriteFolder = Callable[..., Path]
Pixels = NDArray[np.uint8]


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        data_root=tmp_path, stem="rgb", seq_length=2, stride=2, target_size=(32, 64), batch_size=2, num_workers=0
    )


def halves(left: int, right: int) -> Pixels:
    """A frame of two cells, each of one brightness."""
    return np.kron(np.array([[left, right]]), np.ones((32, 32), dtype=int)).astype(np.uint8)


def add_sequence(
    root: Path, name: str, kind: str, windows: list[tuple[int, int]], mask: tuple[int, int] | None = None
) -> ManifestRow:
    """A folder with two frames a window, each cell as bright as its logit shall be, plus 128."""
    (root / name / "masks").mkdir(parents=True)
    for index in range(2 * len(windows)):
        left, right = windows[index // 2]
        pixels = np.repeat(halves(left + 128, right + 128)[..., None], 3, axis=2)
        Image.fromarray(pixels).save(root / name / f"f_{index:03d}.png")
        if mask is not None:
            Image.fromarray(halves(*mask)).save(root / name / "masks" / f"f_{index:03d}.png")
    if mask is None:
        (root / name / "masks").rmdir()
    return ManifestRow(name, kind, name, None, None, 2)


def by_brightness(clips: torch.Tensor, num_context: int) -> torch.Tensor:
    """Logits (B, 1, 1, 2) that each cell's brightness spells out."""
    assert num_context == 0 and clips.dtype == torch.uint8
    cells = clips[:, -1, :1].float().unflatten(3, (2, 32))  # (B, 1, 32, 2, 32)
    logits: torch.Tensor = cells.mean(dim=(2, 4))[:, :, None] - 128
    return logits


def run(
    config: TrainConfig,
    rows: list[ManifestRow],
    *,
    threshold: float = 0.5,
    logits_of: Callable[[torch.Tensor, int], torch.Tensor] | None = by_brightness,
    loss_function: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    model: TemporalClassifier | None = None,
) -> Evaluation:
    dataset = WindowDataset(open_sequences(rows, config)[0], config)
    model = model or TemporalClassifier(config.model_config())
    return evaluate(
        model,
        eval_loader(dataset, config),
        dataset,
        threshold=threshold,
        logits_of=logits_of,
        loss_function=loss_function,
    )


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_predictions_confusion_and_sequences(config: TrainConfig, tmp_path: Path) -> None:
    rows = [
        add_sequence(tmp_path, "still", "static", [(-3, -2), (-1, 1), (-5, -4)]),
        add_sequence(tmp_path, "fire", "dynamic", [(2, -9), (-2, -1)]),
    ]
    result = run(config, rows)
    found = [(p.sequence, p.first_frame, p.last_frame, p.label, p.prediction, p.window) for p in result.predictions]
    assert found == [
        ("still", 0, 1, 0, 0, 0),
        ("still", 2, 3, 0, 1, 1),
        ("still", 4, 5, 0, 0, 2),
        ("fire", 0, 1, 1, 1, 3),
        ("fire", 2, 3, 1, 0, 4),
    ]
    highest = [-2, 1, -4, 2, -1]
    assert [p.probability for p in result.predictions] == pytest.approx([sigmoid(value) for value in highest])
    errors = [sigmoid(-2), sigmoid(1), sigmoid(-4), 1 - sigmoid(2), 1 - sigmoid(-1)]
    assert [p.error for p in result.predictions] == pytest.approx(errors)
    assert [p.is_mistake for p in result.predictions] == [False, True, False, False, True]
    assert result.confusion().tolist() == [[2, 1], [1, 1]]
    metrics = result.metrics()
    assert metrics["window_f1"] == pytest.approx(0.5)
    assert metrics["window_auc"] == pytest.approx(5 / 6)  # five of six pairs stand in the right order
    assert metrics["sequence_auc"] == 1.0  # 2 over 1
    assert result.sequences.num_positives == result.sequences.num_negatives == 1


def test_the_worst_window_of_each_sequence_is_kept_with_its_heatmap(config: TrainConfig, tmp_path: Path) -> None:
    rows = [
        add_sequence(tmp_path, "still", "static", [(-3, -2), (-1, 1), (-5, -4)]),
        add_sequence(tmp_path, "fire", "dynamic", [(2, -9), (-2, -1)]),
    ]
    worst = run(config, rows).worst
    assert {name: prediction.window for name, (prediction, _) in worst.items()} == {"still": 1, "fire": 4}
    assert worst["still"][1].dtype == np.float32
    np.testing.assert_allclose(worst["still"][1], [[sigmoid(-1), sigmoid(1)]], rtol=1e-6)


@pytest.mark.parametrize(("threshold", "expected"), [(0.5, [0, 1]), (0.2, [1, 1]), (0.9, [0, 0])])
def test_the_threshold_decides(config: TrainConfig, tmp_path: Path, threshold: float, expected: list[int]) -> None:
    rows = [add_sequence(tmp_path, "a", "dynamic", [(-1, -1), (0, -9)])]
    assert [p.prediction for p in run(config, rows, threshold=threshold).predictions] == expected


def test_cells_are_scored_where_masks_exist(config: TrainConfig, tmp_path: Path) -> None:
    rows = [
        add_sequence(tmp_path, "masked", "dynamic", [(3, -3), (2, 1)], mask=(255, 0)),
        add_sequence(tmp_path, "still", "static", [(-4, -4)]),
        add_sequence(tmp_path, "unknown", "dynamic", [(5, 5)]),
    ]
    result = run(config, rows)
    assert (result.cells.num_positives, result.cells.num_negatives) == (2, 4)
    assert result.cells.confusion(0.5).tolist() == [[3, 1], [0, 2]]
    metrics = result.metrics()
    assert metrics["cell_ap"] == 1.0 and metrics["cell_f1"] == pytest.approx(0.8)
    assert 0 < metrics["cell_ece"] < 0.5
    assert result.notes() == []


def test_a_network_of_fixed_bias(config: TrainConfig, tmp_path: Path) -> None:
    model = TemporalClassifier(config.model_config()).eval()
    torch.nn.init.zeros_(model.final_classifier.weight)
    assert model.final_classifier.bias is not None
    torch.nn.init.constant_(model.final_classifier.bias, 2.0)
    rows = [
        add_sequence(tmp_path, "still", "static", [(0, 0)] * 3),
        add_sequence(tmp_path, "fire", "dynamic", [(0, 0)] * 2),
    ]
    result = run(config, rows, logits_of=None, model=model)
    assert [p.probability for p in result.predictions] == pytest.approx([sigmoid(2)] * 5)
    assert result.confusion().tolist() == [[0, 3], [0, 2]]
    assert result.metrics()["window_auc"] == 0.5 == result.metrics()["sequence_auc"]
    assert result.metrics()["window_ap"] == pytest.approx(0.4)
    assert math.isnan(result.loss)


def test_the_motion_stem_gets_its_context(config: TrainConfig, tmp_path: Path) -> None:
    config = replace(config, stem="motion", lags=(1, 3))
    rows = [add_sequence(tmp_path, "a", "static", [(0, 0)] * 3)]
    seen = []

    def watch(clips: torch.Tensor, num_context: int) -> torch.Tensor:
        seen.append((tuple(clips.shape), num_context))
        return torch.zeros(len(clips), 1, 1, 2)

    run(config, rows, logits_of=watch)
    assert seen == [((2, 5, 3, 32, 64), 3), ((1, 5, 3, 32, 64), 3)]


def test_the_loss_is_the_mean_over_windows(config: TrainConfig, tmp_path: Path) -> None:
    rows = [add_sequence(tmp_path, "a", "static", [(1, 0), (3, 0), (8, 0)])]

    def highest(logits: torch.Tensor, labels: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        assert labels.tolist() == [0] * len(logits) and cells.shape == (len(logits), 1, 2)
        return logits.amax(dim=(1, 2, 3)).mean()

    result = run(config, rows, loss_function=highest)
    assert result.loss == result.metrics()["val_loss"] == pytest.approx((1 + 3 + 8) / 3)


@pytest.mark.parametrize(
    ("kind", "mask", "notes"),
    [
        (
            "static",
            None,
            [
                "validation holds only static windows: AP and AUC are undefined, add the other",
                "no validation sequence has masks: scores per cell are undefined",
            ],
        ),
        (
            "dynamic",
            (255, 255),
            [
                "validation holds only dynamic windows: AP and AUC are undefined, add the other",
                "the validation masks are all dynamic or all static: scores per cell are undefined",
            ],
        ),
    ],
)
def test_what_is_undefined_is_said(
    config: TrainConfig, tmp_path: Path, kind: str, mask: tuple[int, int] | None, notes: list[str]
) -> None:
    result = run(config, [add_sequence(tmp_path, "a", kind, [(1, 1)], mask=mask)])
    assert result.notes() == notes
    metrics = result.metrics()
    assert all(math.isnan(metrics[name]) for name in ("window_ap", "window_auc", "sequence_auc", "cell_ap"))


def test_windows_that_cannot_be_read_are_named_once_and_counted_nowhere(config: TrainConfig, tmp_path: Path) -> None:
    config = replace(config, seq_length=4, stride=2)
    rows = [add_sequence(tmp_path, "a", "static", [(1, 1)] * 5), add_sequence(tmp_path, "b", "dynamic", [(1, 1)] * 2)]
    (tmp_path / "a" / "f_003.png").write_bytes(b"")
    result = run(config, rows, loss_function=lambda logits, labels, cells: logits.mean())
    assert [p.window for p in result.predictions] == [2, 3, 4]
    assert result.damaged == [f"{tmp_path}/a/f_003.png: empty file"]
    assert result.notes()[-1] == f"left out: {tmp_path}/a/f_003.png: empty file"
    assert result.loss == pytest.approx(1.0)


def test_nothing_readable_is_said_and_is_no_crash(config: TrainConfig, tmp_path: Path) -> None:
    rows = [add_sequence(tmp_path, "a", "static", [(1, 1)])]
    (tmp_path / "a" / "f_000.png").write_bytes(b"")
    result = run(config, rows, loss_function=lambda logits, labels, cells: logits.mean())
    assert result.predictions == [] and math.isnan(result.loss) and result.confusion().sum() == 0
    assert result.notes()[0] == "validation holds only no windows: AP and AUC are undefined, add the other"


def test_three_classes(config: TrainConfig, tmp_path: Path) -> None:
    """The heatmap is that of the class named dynamic; the predicted class is the one with the widest margin."""
    config = replace(config, classes=THREE)
    rows = [add_sequence(tmp_path, name, name, [(0, 0)]) for name in THREE]
    logits = torch.zeros(3, 3, 1, 2)
    logits[0, 0] = 4.0  # static everywhere
    logits[1, 1, 0, 1] = 6.0  # dynamic in one cell
    logits[2, 2, 0, 0] = 5.0  # negative in one cell
    given = iter(logits.split(2))
    result = run(config, rows, logits_of=lambda clips, num_context: next(given))
    assert [p.prediction for p in result.predictions] == [0, 1, 2]
    assert result.confusion().tolist() == np.eye(3, dtype=int).tolist()
    expected = torch.softmax(logits, dim=1)[:, 1].amax(dim=(1, 2)).tolist()
    assert [p.probability for p in result.predictions] == pytest.approx(expected)
    assert [p.error for p in result.predictions] == pytest.approx([expected[0], 1 - expected[1], expected[2]])
    assert (result.windows.num_positives, result.windows.num_negatives) == (1, 2)


def test_without_a_class_named_dynamic_all_but_the_first_count(config: TrainConfig, tmp_path: Path) -> None:
    config = replace(config, classes=("calm", "smoke", "fire"))
    rows = [
        add_sequence(tmp_path, "a", "smoke", [(0, 0)], mask=(255, 0)),
        add_sequence(tmp_path, "b", "fire", [(0, 0)]),
    ]
    result = run(config, rows, logits_of=lambda clips, num_context: torch.zeros(len(clips), 3, 1, 2))
    assert [p.probability for p in result.predictions] == pytest.approx([2 / 3, 2 / 3])
    assert (result.windows.num_positives, result.cells.num_positives, result.cells.num_negatives) == (2, 1, 1)


def test_every_batch_is_announced(config: TrainConfig, tmp_path: Path) -> None:
    dataset = WindowDataset(open_sequences([add_sequence(tmp_path, "a", "static", [(0, 0)] * 5)], config)[0], config)
    batches: list[Batch] = list(eval_loader(dataset, config))
    announced: list[int] = []
    model = TemporalClassifier(ModelConfig())
    evaluate(model, batches, dataset, threshold=0.5, logits_of=by_brightness, on_batch=announced.append)
    assert announced == [2, 2, 1]


def test_metrics_as_one_line() -> None:
    assert describe_metrics({"a": 0.123456, "b": math.nan, "c": 2.0}) == "a 0.1235, c 2"
