"""How soon do cells go cold when something has left? An empty place that something passes through, and leaves.

python -m benchmarks.passing
python -m benchmarks.passing --no-infrared --severity 0.15 --seeds 10

Per seed 100 frames of 640x640 (`tests/passing_footage.py`): a thing enters in frame 20 and has gone after 30 to 50
more. A window is false where 3 cells or more are hot though nothing moves in any of its frames. Prints a line per
method; the last line of stdout is the same as JSON.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
from cyclopts import App, Parameter
from numpy.typing import NDArray

from benchmarks.entry import run
from convlstm.clips import window_starts
from convlstm.config import SHIPPED, BaselineName
from convlstm.evaluation.baselines import THRESHOLDS, start_baseline
from convlstm.inference.predictor import Predictor
from convlstm.types import Float32Array, Frame, UInt8Array
from convlstm.utils.data.synthetic.camera import Camera
from tests.passing_footage import passing_video

NUM_FRAMES, SIZE, FPS, STRIDE = 100, (640, 640), 25.0, 3
BASELINES: tuple[BaselineName, ...] = ("frame_difference", "mog2", "knn")
FALSE_CELLS = 3
DYNAMIC_SHARE = 0.02
FRAMES_SINCE = {"before": (-NUM_FRAMES, 0), "1-3": (1, 3), "4-6": (4, 6), "7-9": (7, 9), "10 or more": (10, NUM_FRAMES)}
"""Frames from the last motion to the first frame of a window."""

app = App(name="python -m benchmarks.passing", help="Measures false windows.", help_format="plaintext")

Windows = Iterator[tuple[range, NDArray[np.bool_]]]
"""Frames of a window, and which cells are hot in it (GH, GW)."""
Counts = dict[str, list[int]]


def windows_of_network(predictor: Predictor, frames: Sequence[UInt8Array]) -> Windows:
    """What `detect` finds in a recording."""
    stream, threshold = predictor.stream(), predictor.checkpoint.threshold
    for index, pixels in enumerate(frames):
        for heatmap in stream.process([Frame(pixels, index, index / FPS)]):
            yield range(heatmap.first_frame, heatmap.last_frame + 1), heatmap.probabilities >= threshold


def windows_of_baseline(name: BaselineName, frames: Sequence[UInt8Array], length: int) -> Windows:
    """What a classical method finds in it."""
    baseline = start_baseline(name)
    cells = np.stack([baseline.process(pixels, follows=True) for pixels in frames])
    for first in window_starts(len(frames), length, STRIDE):
        yield range(first, first + length), cells[first : first + length].max(axis=0) >= THRESHOLDS[name]


def count(windows: Windows, shares: Float32Array) -> Counts:
    """Pairs: false and all still windows by FRAMES_SINCE, found and all in which something moves, cells.

    `shares` (T, GH, GW) is how much of each cell moves. "recall" counts found and all dynamic cells, "precision" those
    of the hot ones that are dynamic, and all that are not in doubt.
    """
    counts = {name: [0, 0] for name in (*FRAMES_SINCE, "moving", "recall", "precision")}
    last_motion = int(np.flatnonzero((shares > 0).any(axis=(1, 2)))[-1])
    for frames, hot in windows:
        highest = shares[frames.start : frames.stop].max(axis=0)
        since = frames.start - last_motion
        if highest.any():
            _add(counts["moving"], hot.any(), 1)
        else:
            name = next(name for name, (low, high) in FRAMES_SINCE.items() if low <= since <= high)
            _add(counts[name], hot.sum() >= FALSE_CELLS, 1)
        dynamic, still = highest > DYNAMIC_SHARE, highest == 0
        _add(counts["recall"], (hot & dynamic).sum(), dynamic.sum())
        _add(counts["precision"], (hot & dynamic).sum(), (hot & (dynamic | still)).sum())
    return counts


def _add(pair: list[int], part: np.generic, whole: np.generic | int) -> None:
    pair[0] += int(part)
    pair[1] += int(whole)


def film(seed: int, severity: float, *, infrared: bool) -> tuple[list[UInt8Array], Float32Array]:
    """Frames of one recording, and how much of each cell moves in each of them."""
    rng = np.random.default_rng(seed)
    camera = Camera.sample(rng, "still", NUM_FRAMES, SIZE, severity=severity)
    camera = camera.as_infrared(rng) if infrared else camera
    return passing_video(rng, NUM_FRAMES, SIZE, camera, num_frames_in_view=int(rng.integers(30, 51)))


@app.default
def measure(
    *,
    weights: Annotated[str, Parameter(help="Weights to measure with.")] = SHIPPED,
    severity: Annotated[float, Parameter(help="How bad the camera is, 0 to 1.")] = 0.3,
    infrared: Annotated[bool, Parameter(help="A cheap infrared camera at night.")] = True,
    seeds: Annotated[int, Parameter(help="Recordings.")] = 40,
    first_seed: Annotated[int, Parameter(help="Seed of the first.")] = 0,
) -> int:
    """Measure and show."""
    predictor = Predictor(weights, stride=STRIDE)
    totals: dict[str, Counts] = {}
    for seed in range(first_seed, first_seed + seeds):
        frames, shares = film(seed, severity, infrared=infrared)
        found: dict[str, Windows] = {"network": windows_of_network(predictor, frames)}
        found |= {name: windows_of_baseline(name, frames, predictor.checkpoint.seq_length) for name in BASELINES}
        for method, windows in found.items():
            counts = count(windows, shares)
            total = totals.setdefault(method, {name: [0, 0] for name in counts})
            for name, (part, whole) in counts.items():
                total[name] = [total[name][0] + part, total[name][1] + whole]
    for method, counts in totals.items():
        shown = ", ".join(f"{name} {part} of {whole}" for name, (part, whole) in counts.items())
        sys.stdout.write(f"{method}: {shown}\n")
    settings = {"severity": severity, "infrared": infrared, "seeds": seeds, "first_seed": first_seed}
    sys.stdout.write(json.dumps({**settings, "counts": totals}) + "\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run with the arguments of the command line, or with these."""
    return run(app, arguments)


if __name__ == "__main__":
    sys.exit(main())
