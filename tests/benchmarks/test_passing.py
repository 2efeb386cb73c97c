"""The benchmark of what passes through: it counts what it says, and its footage is what it says."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.passing import BASELINES, FRAMES_SINCE, count, main
from convlstm.utils.data.synthetic.camera import Camera
from tests.passing_footage import COMES_AT, passing_video


def hot_cells(number: int) -> NDArray[np.bool_]:
    """The first `number` of 2x2 cells, row by row."""
    return np.asarray(np.arange(4).reshape(2, 2) < number)


def test_windows_are_counted_by_frames_since_the_last_motion() -> None:
    """The second cell moves in frames 4 and 5, one is in doubt; three hot cells are a false window, two are not."""
    shares = np.zeros((20, 2, 2), dtype=np.float32)
    shares[4:6, 0, 1], shares[4:6, 1, 1] = 0.1, 0.01
    starts = {0: 3, 2: 2, 4: 1, 5: 4, 6: 3, 9: 4, 12: 2, 16: 3}  # hot cells by the first of two frames
    counts = count(((range(first, first + 2), hot_cells(hot)) for first, hot in starts.items()), shares)
    windows = {"before": [1, 2], "1-3": [1, 1], "4-6": [1, 1], "7-9": [0, 1], "10 or more": [1, 1], "moving": [2, 2]}
    assert counts == {**windows, "recall": [1, 2], "precision": [1, 3 + 2 + 1 + 3 + 3 + 4 + 2 + 3]}


def test_nothing_moves_before_it_comes_and_after_it_has_gone() -> None:
    camera = Camera.perfect(60, (96, 128))
    frames, shares = passing_video(np.random.default_rng(0), 60, (96, 128), camera, num_frames_in_view=20)
    assert shares.shape == (60, 3, 4)
    moves = set(np.flatnonzero(shares.any(axis=(1, 2))).tolist())
    assert COMES_AT + 10 in moves and moves <= set(range(COMES_AT, COMES_AT + 20))
    for index in set(range(60)) - moves:
        np.testing.assert_array_equal(frames[index], frames[0])
    assert (frames[COMES_AT + 10] != frames[0]).any()


@pytest.mark.slow
def test_the_network_and_classical_methods_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "1", "--severity", "0", "--no-infrared", "--first-seed", "7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    report = json.loads(lines[-1])
    assert (report["severity"], report["infrared"], report["seeds"], report["first_seed"]) == (0.0, False, 1, 7)
    assert list(report["counts"]) == ["network", *BASELINES]
    for line, (method, counts) in zip(lines, report["counts"].items(), strict=False):
        assert line.startswith(f"{method}: before {counts['before'][0]} of {counts['before'][1]}, 1-3 ")
        assert list(counts) == [*FRAMES_SINCE, "moving", "recall", "precision"]
        windows = sum(whole for name, (_, whole) in counts.items() if name not in ("recall", "precision"))
        assert windows == 31  # 100 frames, windows of 10 at every third
    found, total = report["counts"]["network"]["moving"]
    assert found >= 0.8 * total and report["counts"]["network"]["before"][0] == 0
