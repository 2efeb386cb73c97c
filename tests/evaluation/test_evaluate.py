import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convlstm.config import Stem, TrainConfig
from convlstm.evaluation.evaluate import Evaluation, LossFunction, Tally, describe_metrics, evaluate
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.training.losses import training_loss
from convlstm.utils.data.dataset import WindowDataset
from convlstm.utils.data.loader import eval_loader
from convlstm.utils.data.manifest import ManifestRow
from convlstm.utils.data.sequences import open_sequences

THREE = ("static", "dynamic", "negative")
Pixels = NDArray[np.uint8]
Colour = int | tuple[int, int, int]


class Brightness(TemporalClassifier):
    """Logits (B, K, GH, GW) that the colours of each cell in a window's last frame spell out, less 128."""

    def encode_frames(
        self, frames: Tensor, encode: Tensor, lagged: Tensor, earlier_greys: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        assert frames.dtype == torch.uint8 and earlier_greys is None and lagged.shape == (len(encode), 0)
        channels = frames[encode, : self.final_classifier.out_channels].float()
        return channels.unflatten(3, (-1, 32)).unflatten(2, (-1, 32)).mean(dim=(3, 5)) - 128, None

    def window_head(self, gates: Tensor, windows: Tensor) -> Tensor:
        return gates[windows[:, -1]]


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        data_root=tmp_path, stem="rgb", seq_length=2, stride=2, target_size=(32, 64), batch_size=2, num_workers=0
    )


def halves(left: Colour, right: Colour) -> Pixels:
    """A frame of two cells, each of one colour."""
    pixels = np.zeros((32, 64, 3), dtype=np.uint8)
    pixels[:, :32], pixels[:, 32:] = left, right
    return pixels


def add_sequence(
    root: Path, name: str, kind: str, windows: Sequence[tuple[Any, Any]], mask: tuple[int, int] | None = None
) -> ManifestRow:
    """A folder with two frames a window, each cell of the colour that is its logits, plus 128."""
    (root / name / "masks").mkdir(parents=True)
    for index in range(2 * len(windows)):
        left, right = windows[index // 2]
        pixels = halves(np.add(left, 128), np.add(right, 128))
        Image.fromarray(pixels).save(root / name / f"f_{index:03d}.png")
        if mask is not None:
            Image.fromarray(halves(*mask)[..., 0]).save(root / name / "masks" / f"f_{index:03d}.png")
    if mask is None:
        (root / name / "masks").rmdir()
    return ManifestRow(name, kind, name, None, None, 2)


def run(
    config: TrainConfig,
    rows: list[ManifestRow],
    *,
    threshold: float = 0.5,
    loss_function: LossFunction | None = None,
    model: TemporalClassifier | None = None,
    **options: Any,
) -> Evaluation:
    dataset = WindowDataset(open_sequences(rows, config)[0], config)
    return evaluate(
        model or Brightness(config.model_config()),
        eval_loader(dataset, config),
        dataset,
        threshold=threshold,
        loss_function=loss_function,
        **options,
    )


def total(logits: Tensor, labels: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of the logits, each window counting once."""
    del labels, cells
    return logits.mean(dim=(1, 2, 3)).sum(), torch.tensor(float(len(logits)))


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
    assert [(prediction.sequence, prediction.window) for prediction, _ in worst] == [("still", 1), ("fire", 4)]
    heatmaps = [heatmap for _, heatmap in worst]
    assert heatmaps[0].dtype == np.float32
    assert all(heatmap.base is None for heatmap in heatmaps)  # no batch stays alive for one window of it
    np.testing.assert_allclose(heatmaps, [[[sigmoid(-1), sigmoid(1)]], [[sigmoid(-2), sigmoid(-1)]]], rtol=1e-6)


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
    result = run(config, rows, model=model)
    assert [p.probability for p in result.predictions] == pytest.approx([sigmoid(2)] * 5)
    assert result.confusion().tolist() == [[0, 3], [0, 2]]
    assert result.metrics()["window_auc"] == 0.5 == result.metrics()["sequence_auc"]
    assert result.metrics()["window_ap"] == pytest.approx(0.4)
    assert math.isnan(result.loss)


def test_lags_reach_frames_of_the_batch_before(config: TrainConfig, tmp_path: Path) -> None:
    """Frames of brightness 1, 4, 9, ...: their differences tell which frames they are taken between."""

    class Differences(TemporalClassifier):
        def encode_frames(
            self, frames: Tensor, encode: Tensor, lagged: Tensor, earlier_greys: Tensor | None = None
        ) -> tuple[Tensor, Tensor | None]:
            greys = frames[:, 0, 0, 0].float()
            greys = torch.cat([earlier_greys, greys]) if earlier_greys is not None else greys
            numbers.append(len(frames))
            return (greys[encode, None] - greys[lagged])[..., None], greys

        def window_head(self, gates: Tensor, windows: Tensor) -> Tensor:
            found.extend(gates[windows].squeeze(3).tolist())
            return torch.zeros(len(windows), 1, 1, 2)

    config = replace(config, stem="motion", lags=(1, 3), stride=1)
    (tmp_path / "a").mkdir()
    for index in range(1, 9):
        Image.fromarray(np.full((32, 64, 3), index**2, dtype=np.uint8)).save(tmp_path / "a" / f"f_{index}.png")
    found: list[list[list[float]]] = []
    numbers: list[int] = []
    rows = [ManifestRow("a", "static", "a", None, None, 2)]
    run(config, rows, model=Differences(config.model_config()))
    square = [float(max(1, index) ** 2) for index in range(-3, 9)]  # frame n at place n + 3
    expected = [
        [[square[n + 3] - square[max(1, n - lag) + 3] for lag in (1, 3)] for n in (first, first + 1)]
        for first in range(1, 8)
    ]
    assert found == expected
    assert numbers == [3, 2, 2, 1]


def test_the_loss_is_the_mean_over_windows(config: TrainConfig, tmp_path: Path) -> None:
    rows = [add_sequence(tmp_path, "a", "static", [(1, 0), (3, 0), (8, 0)])]

    def highest(logits: Tensor, labels: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        assert labels.tolist() == [0] * len(logits) and cells.shape == (len(logits), 1, 2)
        return logits.amax(dim=(1, 2, 3)).sum(), torch.tensor(len(logits))

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
    result = run(config, rows, loss_function=total)
    assert [p.window for p in result.predictions] == [2, 3, 4]
    assert result.damaged == [f"{tmp_path}/a/f_003.png: empty file"]
    assert result.notes()[-1] == f"left out: {tmp_path}/a/f_003.png: empty file"
    assert result.loss == pytest.approx(1.0)


def test_nothing_readable_is_said_and_is_no_crash(config: TrainConfig, tmp_path: Path) -> None:
    rows = [add_sequence(tmp_path, "a", "static", [(1, 1)])]
    (tmp_path / "a" / "f_000.png").write_bytes(b"")
    result = run(config, rows, loss_function=total)
    assert result.predictions == [] and math.isnan(result.loss) and result.confusion().sum() == 0
    assert result.notes()[0] == "validation holds only no windows: AP and AUC are undefined, add the other"


def test_three_classes(config: TrainConfig, tmp_path: Path) -> None:
    """The heatmap is that of the class named dynamic; the predicted class is the one with the widest margin."""
    config = replace(config, classes=THREE)
    none = (0, 0, 0)
    static, dynamic, negative = ((4, 0, 0), (4, 0, 0)), (none, (0, 6, 0)), ((0, 0, 5), none)
    rows = [
        add_sequence(tmp_path, name, name, [cells])
        for name, cells in zip(THREE, (static, dynamic, negative), strict=True)
    ]
    result = run(config, rows)
    assert [p.prediction for p in result.predictions] == [0, 1, 2]
    assert result.confusion().tolist() == np.eye(3, dtype=int).tolist()
    expected = [1 / (math.exp(4) + 2), math.exp(6) / (math.exp(6) + 2), 1 / 3]
    assert [p.probability for p in result.predictions] == pytest.approx(expected)
    assert [p.error for p in result.predictions] == pytest.approx([expected[0], 1 - expected[1], expected[2]], abs=1e-6)
    assert (result.windows.num_positives, result.windows.num_negatives) == (1, 2)


def test_without_a_class_named_dynamic_all_but_the_first_count(config: TrainConfig, tmp_path: Path) -> None:
    config = replace(config, classes=("calm", "smoke", "fire"))
    rows = [
        add_sequence(tmp_path, "a", "smoke", [(0, 0)], mask=(255, 0)),
        add_sequence(tmp_path, "b", "fire", [(0, 0)]),
    ]
    result = run(config, rows)
    assert [p.probability for p in result.predictions] == pytest.approx([2 / 3, 2 / 3])
    assert (result.windows.num_positives, result.cells.num_positives, result.cells.num_negatives) == (2, 1, 1)


def test_losses_and_scores_are_of_full_precision_whatever_the_network_computes_in(
    config: TrainConfig, tmp_path: Path
) -> None:
    rows = [add_sequence(tmp_path, "a", "static", [(10, 20), (30, -40)])]
    model = TemporalClassifier(config.model_config()).eval()
    entered: list[str] = []

    @contextmanager
    def bfloat16() -> Iterator[None]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            entered.append("in")
            yield

    def loss(logits: Tensor, labels: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        assert logits.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        return total(logits, labels, cells)

    full = run(config, rows, model=model, loss_function=loss)
    half = run(config, rows, model=model, loss_function=loss, autocast=bfloat16, device=torch.device("cpu"))
    assert len(entered) == 1
    differences = [abs(a.probability - b.probability) for a, b in zip(full.predictions, half.predictions, strict=True)]
    assert 0 < max(differences) < 0.02
    assert all(heatmap.dtype == np.float32 for _, heatmap in half.worst)


def test_metrics_as_one_line() -> None:
    assert describe_metrics({"a": 0.123456, "b": math.nan, "c": 2.0}) == "a 0.1235, c 2"


CONFIG = TrainConfig(lags=(1, 3), seq_length=4, stride=1, target_size=(32, 64), num_workers=0, mask_min_share=0.2)
UNREADABLE = ("a", 7)
BATCH_SIZES = [1, 2, 3, 7, 100]


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise: `a` of 18 frames with masks, `b` of 6 and 8 with a gap between, `c` of 4; in `hurt/a` one is broken."""
    root = tmp_path_factory.mktemp("footage")
    for name, numbers in (("a", range(18)), ("b", (*range(6), *range(8, 16))), ("c", range(4))):
        for number in numbers:
            random = np.random.RandomState(100 * ord(name) + number)
            pixels = random.randint(0, 256, (32, 64, 3)).astype(np.uint8)
            for side in ("whole", "hurt"):
                folder = root / side / name
                (folder / "masks" if name == "a" else folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(folder / f"f_{number:02d}.png")
                if name == "a":
                    mask = halves(0, 255 * (number % 5 == 4))[..., 0]
                    mask[: 5 * (number % 7 == 5), :32] = 1  # too few to tell
                    Image.fromarray(mask).save(folder / "masks" / f"f_{number:02d}.png")
    (root / "hurt" / "a" / f"f_{UNREADABLE[1]:02d}.png").write_bytes(b"")
    return root


def noise(root: Path, stem: Stem = "motion", **changes: Any) -> WindowDataset:
    config = replace(CONFIG, data_root=root, stem=stem, **changes)
    rows = [
        ManifestRow(name, kind, name, None, None, 2)
        for name, kind in (("a", "dynamic"), ("b", "static"), ("c", "dynamic"))
    ]
    return WindowDataset(open_sequences(rows, config)[0], config)


@cache
def make_model(stem: Stem, lags: tuple[int, ...]) -> TemporalClassifier:
    """Random weights, large enough that windows differ a lot."""
    torch.manual_seed(0)
    model = TemporalClassifier(stem=stem, lags=lags).eval()
    with torch.no_grad():
        model.final_classifier.weight.mul_(20)
        for layer in model.encoder:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.mul_(2)
    return model


def score(dataset: WindowDataset, batch_size: int, *, rank: int = 0, world_size: int = 1, **options: Any) -> Evaluation:
    config = replace(dataset.config, batch_size=batch_size)
    model = make_model(config.stem, config.lags)
    return evaluate(model, eval_loader(dataset, config, rank, world_size), dataset, threshold=0.5, **options)


def held(dataset: WindowDataset, window: int) -> set[tuple[int, int]]:
    """Frames that a window consists of, as sequence and index."""
    place = dataset.place(window)
    return {(place.sequence, place.start + step) for step in range(dataset.config.seq_length)}


def reached(dataset: WindowDataset, window: int) -> set[tuple[int, int]]:
    """Frames that its lags go back to."""
    start = dataset.place(window).run.start
    lags = dataset.config.lags if dataset.num_context else ()
    return {(sequence, max(start, index - lag)) for sequence, index in held(dataset, window) for lag in lags}


def plain_logits(dataset: WindowDataset, window: int) -> Tensor:
    """The window as a clip of its own."""
    model = make_model(dataset.config.stem, dataset.config.lags)
    with torch.inference_mode():
        return model.logits(dataset.read_clip(window).permute(0, 3, 1, 2)[None], dataset.num_context)


@pytest.mark.parametrize("stride", [1, 3, 4])
@pytest.mark.parametrize("stem", ["rgb", "motion"])
def test_windows_score_as_they_do_alone_wherever_batches_end(footage: Path, stem: Stem, stride: int) -> None:
    dataset = noise(footage / "whole", stem, stride=stride)
    alone = [plain_logits(dataset, window) for window in range(len(dataset))]
    expected = [float(torch.sigmoid(logits).max()) for logits in alone]
    assert np.ptp(expected) > 0.1 and len(set(expected)) == len(expected)
    for batch_size in BATCH_SIZES:
        result = score(dataset, batch_size)
        assert [p.window for p in result.predictions] == list(range(len(dataset)))
        assert [p.probability for p in result.predictions] == pytest.approx(expected, abs=1e-5)
        for prediction, heatmap in result.worst:
            np.testing.assert_allclose(heatmap, torch.sigmoid(alone[prediction.window])[0, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("stem", "changes"),
    [
        ("rgb", {}),
        ("rgb", {"stride": 3}),
        ("motion", {}),
        ("motion", {"stride": 2}),
        ("motion", {"stride": 4}),
        ("motion", {"lags": (4,), "seq_length": 2}),
    ],
)
def test_an_unreadable_frame_costs_the_windows_that_see_it_wherever_batches_end(
    footage: Path, stem: Stem, changes: dict[str, Any]
) -> None:
    dataset = noise(footage / "hurt", stem, **changes)
    place = (0, UNREADABLE[1])
    blind = [window for window in range(len(dataset)) if place in held(dataset, window) | reached(dataset, window)]
    seen = [window for window in range(len(dataset)) if window not in blind]
    whole = noise(footage / "whole", stem, **changes)
    expected = [float(torch.sigmoid(plain_logits(whole, window)).max()) for window in seen]
    assert blind and any(window > blind[-1] and dataset.place(window).sequence == 0 for window in seen)
    for batch_size in BATCH_SIZES:
        result = score(dataset, batch_size, loss_function=training_loss)
        assert [p.window for p in result.predictions] == seen
        assert [p.probability for p in result.predictions] == pytest.approx(expected, abs=1e-5)
        assert result.damaged == [f"{footage}/hurt/a/f_07.png: empty file"]
        assert result.tally.weight_sum == len(seen)


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("stem", ["rgb", "motion"])
def test_the_encoder_sees_each_frame_once(footage: Path, stem: Stem, batch_size: int) -> None:
    dataset = noise(footage / "whole", stem)
    counts: list[int] = []
    hook = make_model(stem, CONFIG.lags).encoder.register_forward_pre_hook(
        lambda _, inputs: counts.append(len(inputs[0]))
    )
    try:
        score(dataset, batch_size)
    finally:
        hook.remove()
    assert len(counts) == math.ceil(len(dataset) / batch_size)
    assert sum(counts) == len(set().union(*(held(dataset, window) for window in range(len(dataset))))) == 36


def test_the_loss_is_that_of_all_windows_at_once_however_they_are_cut(footage: Path) -> None:
    dataset = noise(footage / "whole", stride=2)
    loss_function = partial(training_loss, class_weights=torch.tensor([0.3, 1.9]), positive_weight=3.0)
    batches = [dataset[window] for window in range(len(dataset))]
    cells = torch.cat([batch.cell_targets(CONFIG.mask_min_share) for batch in batches])
    assert {int(value) for value in cells.unique()} == {-1, 0, 1} == {int(value) for value in cells[:8].unique()}
    logits = torch.cat([plain_logits(dataset, window) for window in range(len(dataset))])
    total_loss, weight = loss_function(logits, torch.tensor(dataset.labels()), cells)
    for batch_size in BATCH_SIZES:
        result = score(dataset, batch_size, loss_function=loss_function)
        assert result.loss == pytest.approx(float(total_loss / weight), rel=1e-4)
        assert (result.cells.num_positives, result.cells.num_negatives) == (
            int((cells == 1).sum()),
            int((cells == 0).sum()),
        )


def check_same(first: Evaluation, second: Evaluation) -> None:
    """All that reports and decisions take from an evaluation."""
    for a, b in zip(first.predictions, second.predictions, strict=True):
        assert replace(a, probability=0, error=0) == replace(b, probability=0, error=0)
        assert (a.probability, a.error) == pytest.approx((b.probability, b.error), abs=1e-5)
    assert [prediction.window for prediction, _ in first.worst] == [prediction.window for prediction, _ in second.worst]
    assert first.metrics() == pytest.approx(second.metrics(), rel=1e-3, nan_ok=True)  # a bin is 1/256 wide
    assert first.confusion().tolist() == second.confusion().tolist()
    assert first.cells.num_positives == second.cells.num_positives
    assert first.damaged == second.damaged and first.notes() == second.notes()


@pytest.mark.parametrize("world_size", [2, 3, 30])
@pytest.mark.parametrize("side", ["whole", "hurt"])
def test_several_processes_say_what_one_says(footage: Path, side: str, world_size: int) -> None:
    dataset = noise(footage / side)
    alone = score(dataset, 3, loss_function=training_loss)
    tallies: list[Tally] = []

    def keep(tally: Tally) -> list[Tally]:
        tallies.append(tally)
        return [tally]

    options: dict[str, Any] = {"world_size": world_size, "loss_function": training_loss}
    for rank in range(world_size):
        score(dataset, 3, rank=rank, gather=keep, **options)
    counts = [len(tally.windows) for tally in tallies]
    assert sum(counts) == len(alone) and (0 in counts) == (world_size == 30)
    worst = [list(tally.worst) for tally in tallies]
    joined = score(dataset, 3, rank=1, gather=lambda tally: [*tallies[:1], tally, *tallies[2:]], **options)
    check_same(joined, alone)
    assert [len(tally.windows) for tally in tallies] == counts  # joining leaves them as they were
    assert [list(tally.worst) for tally in tallies] == worst
