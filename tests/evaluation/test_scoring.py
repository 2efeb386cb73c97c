import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from convlstm.clips import resize_frame
from convlstm.config import BaselineName
from convlstm.evaluation.baselines import THRESHOLDS, start_baseline
from convlstm.evaluation.events_file import TruthEvent
from convlstm.evaluation.metrics import BinaryScores
from convlstm.evaluation.scoring import MODEL, EvalSequence, SequenceScorer, SequenceScores
from convlstm.evaluation.truth import ClassTruth, EventTruth, MaskTruth
from convlstm.evaluation.worst import WorstWindows
from convlstm.inference.predictor import Predictor
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.progress import Progress
from convlstm.sources.open import open_source
from convlstm.types import Heatmap

Pixels = NDArray[np.uint8]
GRID = (2, 3)
SIZE = (64, 96)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """A network that was never trained; its scores are spread around one half."""
    torch.manual_seed(3)
    model = TemporalClassifier(stem="motion", lags=(1, 2))
    with torch.no_grad():
        model.final_classifier.weight *= 40
    checkpoint = Checkpoint(model.state_dict(), model.config, 4, SIZE, threshold=0.5, fps=25)
    return Predictor(checkpoint, device="cpu", engine="torch", stride=2)


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    make_frames: Callable[..., list[Pixels]],
    write_folder: Callable[..., Path],
) -> Path:
    return write_folder(tmp_path_factory.mktemp("source") / "frames", make_frames(20, height=80, width=120))


def scorer(
    predictor: Predictor,
    *,
    threshold: float = 0.5,
    baselines: Sequence[BaselineName] = (),
    region: NDArray[np.bool_] | None = None,
    pad_short: bool = False,
    false_cells: int = 2,
) -> SequenceScorer:
    return SequenceScorer(
        predictor,
        threshold=threshold,
        baselines=baselines,
        min_share=0.02,
        region=np.ones(GRID, dtype=bool) if region is None else region,
        false_cells=false_cells,
        pad_short=pad_short,
        false_alarms=WorstWindows(4, 4),
        missed=WorstWindows(4, 4),
    )


def score(scorer: SequenceScorer, sequence: EvalSequence) -> SequenceScores:
    with Progress("scoring", None) as progress:
        return scorer.score(sequence, progress)


def heatmaps(predictor: Predictor, folder: Path) -> list[Heatmap]:
    return list(predictor(open_source(folder)))


def static(folder: Path) -> EvalSequence:
    return EvalSequence("still", open_source(folder), ClassTruth(GRID, is_dynamic=False), "rain", "g", False)


def test_the_model_is_scored_on_what_detection_gives(predictor: Predictor, folder: Path) -> None:
    expected = heatmaps(predictor, folder)
    found = score(scorer(predictor), static(folder))
    model = found.methods[MODEL]
    assert (found.name, found.kind, found.group, found.is_dynamic) == ("still", "rain", "g", False)
    assert found.first_frames == [h.first_frame for h in expected] == list(range(0, 17, 2))
    assert found.last_frames == [h.last_frame for h in expected]
    assert found.end_seconds == [h.end_seconds for h in expected]
    np.testing.assert_allclose(model.probabilities, [h.probabilities.max() for h in expected], atol=1e-5)
    assert model.num_hot == [int((h.probabilities >= 0.5).sum()) for h in expected]
    assert len(set(model.num_hot)) > 1
    assert found.truths == [False] * 9 and model.found == [False] * 9
    assert (model.cells.num_positives, model.cells.num_negatives) == (0, 54)
    assert found.onset_seconds is None and found.problems == []


def test_cells_are_scored_where_their_truth_is_known(predictor: Predictor, folder: Path) -> None:
    events = [TruthEvent(10, 12, (0.0, 0.0, 1 / 3, 0.5))]
    found = score(scorer(predictor), EvalSequence("s", open_source(folder), EventTruth(GRID, events)))
    expected = BinaryScores()
    for h in heatmaps(predictor, folder):
        touched = h.first_frame <= 12 and h.last_frame >= 10
        known = np.array([[True, not touched, True], [not touched, not touched, True]])
        truth = np.zeros(GRID, dtype=bool)
        truth[0, 0] = touched
        expected += BinaryScores.of(h.probabilities[known], truth[known])
    cells = found.methods[MODEL].cells
    assert (cells.num_positives, cells.num_negatives) == (expected.num_positives, expected.num_negatives) == (3, 42)
    assert cells.average_precision() == pytest.approx(expected.average_precision(), abs=0.02)
    dynamic = [h.first_frame <= 12 and h.last_frame >= 10 for h in heatmaps(predictor, folder)]
    assert found.truths == dynamic and found.is_dynamic is True
    assert found.onset_seconds == pytest.approx(10 / 25)


def test_a_window_is_found_only_where_something_may_be(predictor: Predictor, folder: Path) -> None:
    events = [TruthEvent(0, 19, (0.9, 0.0, 1.0, 0.1))]
    found = score(scorer(predictor, threshold=0.15), EvalSequence("s", open_source(folder), EventTruth(GRID, events)))
    expected = [bool((h.probabilities[:, 1:] >= 0.15).any()) for h in heatmaps(predictor, folder)]
    anywhere = [bool((h.probabilities >= 0.15).any()) for h in heatmaps(predictor, folder)]
    assert found.methods[MODEL].found == expected != anywhere
    assert any(expected)


def test_baselines_see_every_frame_and_count_by_the_highest_of_a_window(predictor: Predictor, folder: Path) -> None:
    names: tuple[BaselineName, ...] = ("frame_difference", "mog2", "knn", "optical_flow")
    found = score(scorer(predictor, baselines=names), static(folder))
    assert list(found.methods) == [MODEL, *names]
    for name in names:
        baseline = start_baseline(name)
        frames = [baseline.process(resize_frame(f.pixels, SIZE), follows=f.index > 0) for f in open_source(folder)]
        windows = [np.max(frames[first : first + 4], axis=0) for first in range(0, 17, 2)]
        assert found.methods[name].probabilities == pytest.approx([w.max() for w in windows])
        assert found.methods[name].num_hot == [int((w >= np.float32(THRESHOLDS[name])).sum()) for w in windows]
    assert any(found.methods["frame_difference"].num_hot)


def test_only_the_region_is_scored(predictor: Predictor, folder: Path) -> None:
    region = np.zeros(GRID, dtype=bool)
    region[1, 2] = True
    found = score(scorer(predictor, baselines=["knn"], region=region, false_cells=1), static(folder))
    expected = [float(h.probabilities[1, 2]) for h in heatmaps(predictor, folder)]
    np.testing.assert_allclose(found.methods[MODEL].probabilities, expected, atol=1e-5)
    assert max(found.methods[MODEL].num_hot) <= 1
    assert found.methods[MODEL].cells.num_negatives == 9


def test_windows_span_no_gap_and_damaged_frames_are_named(
    predictor: Predictor, folder: Path, tmp_path: Path, write_folder: Callable[..., Path]
) -> None:
    still = next(iter(open_source(folder))).pixels
    path = write_folder(tmp_path / "f", [still] * 10 + [255 - still] * 10)
    (path / "frame_000009.png").write_bytes(b"broken")
    (path / "frame_000016.png").unlink()
    found = score(scorer(predictor, baselines=["frame_difference"]), static(path))
    assert found.first_frames == [0, 2, 4, 10, 12]
    assert found.methods["frame_difference"].probabilities == [0] * 5  # it does not compare frames across the gap
    assert found.problems == [
        "still: decoded 18 of 19 frames; unreadable: frame_000009.png: not a readable image; 1 frame missing between "
        "frame_000015.png and frame_000017.png: no window spans a gap"
    ]


def test_damaged_masks_are_named_and_their_windows_unknown(predictor: Predictor, folder: Path, tmp_path: Path) -> None:
    files = {}
    for index in range(20):
        files[index] = tmp_path / f"m{index}.png"
        Image.fromarray(np.full((80, 120), 0 if index < 12 else 255, dtype=np.uint8)).save(files[index])
    files[5].write_bytes(b"broken")
    found = score(scorer(predictor), EvalSequence("s", open_source(folder), MaskTruth(GRID, files.get)))
    assert found.truths == [False, None, None, False, False, True, True, True, True]
    assert found.problems == [f"s: masks left out (1): {files[5]}: not a readable image"]
    assert found.is_dynamic is True and found.onset_seconds == pytest.approx(12 / 25)


@pytest.mark.parametrize(("last", "expected"), [(19, False), (0, None)])
def test_a_sequence_is_as_its_windows_turn_out(
    predictor: Predictor, folder: Path, tmp_path: Path, last: int, expected: bool | None
) -> None:
    Image.fromarray(np.zeros((80, 120), dtype=np.uint8)).save(tmp_path / "m.png")
    truth = MaskTruth(GRID, lambda index: tmp_path / "m.png" if index <= last else None)
    assert score(scorer(predictor), EvalSequence("s", open_source(folder), truth)).is_dynamic is expected


def test_of_a_class_alone_nobody_knows_the_onset(predictor: Predictor, folder: Path) -> None:
    truth = ClassTruth(GRID, is_dynamic=True)
    found = score(scorer(predictor), EvalSequence("s", open_source(folder), truth, is_dynamic=True))
    assert found.truths == [True] * 9 and found.onset_seconds is None
    assert found.methods[MODEL].cells.num_positives == found.methods[MODEL].cells.num_negatives == 0


def test_short_sequences_are_padded_only_when_asked_for(
    predictor: Predictor, tmp_path: Path, make_frames: Callable[..., list[Pixels]], write_folder: Callable[..., Path]
) -> None:
    path = write_folder(tmp_path / "short", make_frames(3))
    assert len(score(scorer(predictor), static(path))) == 0
    padded = score(scorer(predictor, pad_short=True), static(path))
    assert (padded.first_frames, padded.last_frames, padded.truths) == ([0], [2], [False])


def test_the_worst_windows_keep_their_pictures(predictor: Predictor, folder: Path) -> None:
    judge = scorer(predictor)
    score(judge, static(folder))
    score(judge, EvalSequence("moving", open_source(folder), ClassTruth(GRID, is_dynamic=True), is_dynamic=True))
    frames = [resize_frame(frame.pixels, SIZE) for frame in open_source(folder)]
    assert judge.false_alarms.kept and judge.missed.kept
    for worst, name in ((judge.false_alarms, "still"), (judge.missed, "moving")):
        for window in worst.kept:
            assert window.sequence == name and window.size == (80, 120)
            np.testing.assert_array_equal(window.pixels, frames[window.heatmap.last_frame])
    hottest = max(
        heatmaps(predictor, folder), key=lambda h: (int((h.probabilities >= 0.5).sum()), h.probabilities.max())
    )
    assert judge.false_alarms.kept[0].error == pytest.approx((hottest.probabilities >= 0.5).sum() / 2)
    assert math.isfinite(judge.missed.kept[0].error)
