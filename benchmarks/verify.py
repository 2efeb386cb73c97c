"""Does `Verifier` accept fires and reject photographs of fires before a bad camera? Counts of last verdicts.

python -m benchmarks.verify
python -m benchmarks.verify --severity 0.4 --seeds 10

Per nuisance and seed a fire, a pinned photograph and one in a hand (`tests/fire_footage.py`), 45 frames of 320x320
each. Prints a table; the last line of stdout is the same as JSON.
"""

import json
import sys
from collections.abc import Sequence
from itertools import product
from typing import Annotated

import numpy as np
from cyclopts import App, Parameter

from benchmarks.entry import run
from convlstm.config import SHIPPED
from convlstm.utils.data.synthetic.camera import Camera
from convlstm.verify import Verifier
from tests.fire_footage import fire_video, photo_video

NUISANCES = ("noise", "compression", "exposure", "shake", "lights")
SCENES = {"fire": "dynamic", "photo pinned up": "static", "photo in a hand": "static"}
"""Scenes, and the verdict that is right."""
NUM_FRAMES, SIZE = 45, (320, 320)

app = App(name="python -m benchmarks.verify", help="Measures verdicts.", help_format="plaintext")


def is_right(verifier: Verifier, scene: str, nuisance: str, severity: float, seed: int) -> bool:
    """Whether the last verdict of one scene is the right one."""
    camera = Camera.sample(np.random.default_rng(100 + seed), nuisance, NUM_FRAMES, SIZE, severity=severity)
    rng = np.random.default_rng(seed)
    if scene == "fire":
        frames, boxes = fire_video(rng, NUM_FRAMES, SIZE, camera)
    else:
        frames, boxes = photo_video(rng, NUM_FRAMES, SIZE, camera, is_held=scene == "photo in a hand")
    verifier.reset()
    decision = "undecided"
    for frame, box in zip(frames, boxes, strict=True):
        middle = (box[:2] + box[2:]) / 2
        is_in_view = bool(((middle >= 0) & (middle < SIZE[::-1])).all())  # a hand may carry the photograph out of it
        for verdict in verifier(frame, box[None] if is_in_view else None):
            decision = verdict.decision
    return decision == SCENES[scene]


@app.default
def measure(
    *,
    weights: Annotated[str, Parameter(help="Weights to measure with.")] = SHIPPED,
    severity: Annotated[float, Parameter(help="How bad the camera is, 0 to 1.")] = 0.7,
    seeds: Annotated[int, Parameter(help="Scenes of each sort under each nuisance.")] = 5,
    nuisances: Annotated[
        tuple[str, ...], Parameter(help="What the camera suffers from.", consume_multiple=True)
    ] = NUISANCES,
) -> int:
    """Measure and show."""
    verifier = Verifier(weights)
    right = {scene: dict.fromkeys(nuisances, 0) for scene in SCENES}
    for scene, name, seed in product(SCENES, nuisances, range(seeds)):
        right[scene][name] += is_right(verifier, scene, name, severity, seed)
    for scene, counts in right.items():
        by_nuisance = ", ".join(f"{name} {count}" for name, count in counts.items())
        total = sum(counts.values())
        sys.stdout.write(f"{scene}: {SCENES[scene]} in {total} of {seeds * len(nuisances)} ({by_nuisance})\n")
    sys.stdout.write(json.dumps({"severity": severity, "seeds": seeds, "right": right}) + "\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run with the arguments of the command line, or with these."""
    return run(app, arguments)


if __name__ == "__main__":
    sys.exit(main())
