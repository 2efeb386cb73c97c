"""How soon do cells go cold when something has left? False windows of an empty place that something passes through.

python -m benchmarks.passing
python -m benchmarks.passing --no-infrared --severity 0.4 --seeds 10

Per seed 100 frames of 640x640 (`tests/passing_footage.py`): a thing enters in frame 20 and has gone after 30 to 50 more. A
window is false where 3 cells or more are hot though nothing moves in any of its frames. Prints a table; the last line
of stdout is the same as JSON.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
from cyclopts import App, Parameter

from convlstm.config import SHIPPED, BaselineName
from convlstm.evaluation.baselines import THRESHOLDS, start_baseline
from convlstm.inference.predictor import Predictor
from convlstm.types import Float32Array, Frame, UInt8Array
from convlstm.utils.data.synthetic.camera import Camera
from tests.passing_footage import COMES_AT, passing_video

NUM_FRAMES, SIZE, FPS = 100, (640, 640), 25.0
BASELINES: tuple[BaselineName, ...] = ("frame_difference", "mog2", "knn")
FALSE_CELLS = 3
FRAMES_SINCE = {"before": (-NUM_FRAMES, 0), "1-3": (1, 3), "4-6": (4, 6), "7-9": (7, 9), "10 or more": (10, NUM_FRAMES)}
"""Frames from the last motion to the first frame of a window."""

app = App(name="python -m benchmarks.passing", help="Measures false windows.", help_format="plaintext")

Windows = Iterator[tuple[int, int, int]]
"""First and last frame of a window, and its hot cells."""


def windows_of_network(predictor: Predictor, frames: Sequence[UInt8Array]) -> Windows:
    """The heatmaps of a recording."""
    stream, threshold = predictor.stream(), predictor.checkpoint.threshold
    for index, pixels in enumerate(frames):
        for heatmap in stream.process([Frame(pixels, index, index / FPS)]):
            yield heatmap.first_frame, heatmap.last_frame, int((heatmap.probabilities >= threshold).sum())


def windows_of_baseline(name: BaselineName, frames: Sequence[UInt8Array], length: int, stride: int) -> Windows:
    """The same of a classical method."""
    baseline = start_baseline(name)
    cells = [baseline.process(pixels, follows=True) for pixels in frames]
    for first in range(0, len(frames) - length + 1, stride):
        highest: Float32Array = np.max(cells[first : first + length], axis=0)
        yield first, first + length - 1, int((highest >= THRESHOLDS[name]).sum())


def count(windows: Windows, shares: Float32Array) -> dict[str, list[int]]:
    """False and all still windows by FRAMES_SINCE; found and all of those in which something moves as "moving"."""
    counts = {name: [0, 0] for name in (*FRAMES_SINCE, "moving")}
    moves = (shares > 0).any(axis=(1, 2))
    last = int(np.flatnonzero(moves)[-1])
    for first_frame, last_frame, num_hot in windows:
        since = first_frame - last
        if moves[first_frame : last_frame + 1].any():
            name = "moving"
        else:
            name = next(name for name, (low, high) in FRAMES_SINCE.items() if low <= since <= high)
        counts[name][0] += num_hot >= (1 if name == "moving" else FALSE_CELLS)
        counts[name][1] += 1
    return counts


@app.default
def measure(
    *,
    weights: Annotated[str, Parameter(help="Weights to measure with.")] = SHIPPED,
    severity: Annotated[float, Parameter(help="How bad the camera is, 0 to 1.")] = 0.3,
    infrared: Annotated[bool, Parameter(help="A cheap infrared camera at night.")] = True,
    seeds: Annotated[int, Parameter(help="Recordings.")] = 40,
) -> int:
    """Measure and show."""
    predictor = Predictor(weights, stride=3)
    methods = ("network", *BASELINES)
    totals = {method: {name: [0, 0] for name in (*FRAMES_SINCE, "moving")} for method in methods}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        camera = Camera.sample(rng, "still", NUM_FRAMES, SIZE, severity=severity)
        if infrared:
            camera = camera.as_infrared(rng)
        in_view = int(rng.integers(30, 51))
        frames, shares = passing_video(rng, NUM_FRAMES, SIZE, camera, num_frames_in_view=in_view)
        for method in methods:
            windows = (
                windows_of_network(predictor, frames)
                if method == "network"
                else windows_of_baseline(method, frames, predictor.checkpoint.seq_length, 3)
            )
            for name, pair in count(windows, shares).items():
                totals[method][name] = [a + b for a, b in zip(totals[method][name], pair, strict=True)]
    for method, counts in totals.items():
        shown = ", ".join(f"{name} {found} of {total}" for name, (found, total) in counts.items())
        sys.stdout.write(f"{method}: {shown}\n")
    settings = {"severity": severity, "infrared": infrared, "seeds": seeds}
    sys.stdout.write(json.dumps({**settings, "counts": totals}) + "\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run with the arguments of the command line, or with these."""
    code = app(arguments, result_action="return_value")
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
