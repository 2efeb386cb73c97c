"""The benchmark of what passes through: it counts what it says, and its footage is what it says."""

import json

import numpy as np
import pytest

from benchmarks.passing import BASELINES, FRAMES_SINCE, count, main
from convlstm.utils.data.synthetic.camera import Camera
from tests.passing_footage import COMES_AT, passing_video


def test_windows_are_counted_by_frames_since_the_last_motion() -> None:
    """Something moves in frames 4 and 5, windows hold two frames; three hot cells are a false window, two are not."""
    shares = np.zeros((20, 2, 2), dtype=np.float32)
    shares[4:6, 0, 1] = 0.1
    windows = [(0, 1, 3), (2, 3, 2), (4, 5, 1), (5, 6, 0), (6, 7, 3), (9, 10, 4), (12, 13, 2), (16, 17, 3)]
    expected = {"before": [1, 2], "1-3": [1, 1], "4-6": [1, 1], "7-9": [0, 1], "10 or more": [1, 1], "moving": [1, 2]}
    assert count(iter(windows), shares) == expected


def test_nothing_moves_before_it_comes_and_after_it_has_gone() -> None:
    camera = Camera.perfect(60, (96, 128))
    frames, shares = passing_video(np.random.default_rng(0), 60, (96, 128), camera, num_frames_in_view=20)
    assert shares.shape == (60, 3, 4)
    moves = (shares > 0).any(axis=(1, 2))
    assert not moves[:COMES_AT].any() and not moves[COMES_AT + 20 :].any() and moves[COMES_AT + 10]
    for index, frame in enumerate(frames):
        if not moves[index]:
            np.testing.assert_array_equal(frame, frames[0])
    assert (frames[COMES_AT + 10] != frames[0]).any()


@pytest.mark.slow
def test_the_network_and_classical_methods_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "1", "--severity", "0", "--no-infrared"]) == 0
    lines = capsys.readouterr().out.splitlines()
    report = json.loads(lines[-1])
    assert (report["severity"], report["infrared"], report["seeds"]) == (0.0, False, 1)
    assert list(report["counts"]) == ["network", *BASELINES]
    for counts in report["counts"].values():
        assert list(counts) == [*FRAMES_SINCE, "moving"]
        assert sum(total for _, total in counts.values()) == 31  # 100 frames, windows of 10 at every third
    found, total = report["counts"]["network"]["moving"]
    assert found >= 0.8 * total and report["counts"]["network"]["before"][0] == 0
