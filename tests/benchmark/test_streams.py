from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from convlstm.benchmark import streams
from convlstm.benchmark.streams import keeps_up, streams_that_keep_up
from convlstm.inference.predictor import Predictor
from convlstm.inference.stream import process_streams
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def clip(
    tmp_path_factory: pytest.TempPathFactory, make_frames: Callable[..., list[Pixels]], write_video: Callable[..., Path]
) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", make_frames(8))


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    torch.manual_seed(0)
    model = TemporalClassifier()
    checkpoint = Checkpoint(model.state_dict(), model.config, 4, (64, 96), threshold=0.5, fps=25)
    return Predictor(checkpoint, device="cpu", engine="torch")


def test_slow_streams_keep_up_and_impossible_ones_do_not(predictor: Predictor, clip: Path) -> None:
    assert keeps_up(predictor, clip, 2, 2.0, 1.5)
    assert not keeps_up(predictor, clip, 1, 1e6, 20.0)


def test_frames_are_taken_when_they_fall_due(predictor: Predictor, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[int, list[int]] = {}

    def note(work: list[tuple[object, list[object]]]) -> object:
        for stream, frames in work:
            taken.setdefault(id(stream), []).extend(frame.index for frame in frames)  # type: ignore[attr-defined]
        return process_streams(work)  # type: ignore[arg-type]

    monkeypatch.setattr(streams, "process_streams", note)
    assert keeps_up(predictor, clip, 3, 8.0, 1.5)
    assert len(taken) == 3
    for indices in taken.values():  # one to warm up; then at 0, 1/8, ... seconds, more than the clip has frames
        assert indices == list(range(len(indices)))
        assert 2 <= len(indices) <= 13  # fewer on a busy machine


@pytest.mark.pure
@pytest.mark.parametrize(
    ("most", "guess", "found", "tried"),
    [
        (100, 100, 100, [100, 125]),
        (130, 100, 125, [100, 125, 156]),
        (10**6, 100, 195, [100, 125, 156, 195]),
        (80, 100, 72, [100, 90, 81, 72]),
        (1, 2, 1, [2, 1]),
        (0, 3, 0, [3, 2, 1]),
        (1, 0, 1, [1, 2]),
    ],
)
def test_the_number_is_found_by_trying(
    monkeypatch: pytest.MonkeyPatch, predictor: Predictor, most: int, guess: int, found: int, tried: list[int]
) -> None:
    seen: list[int] = []

    def fake(predictor: Predictor, clip: Path, number: int, fps: float, seconds: float) -> bool:
        seen.append(number)
        return number <= most

    monkeypatch.setattr(streams, "keeps_up", fake)
    assert streams_that_keep_up(predictor, Path("clip.mp4"), 5.0, guess, 1.0) == found
    assert seen == tried
