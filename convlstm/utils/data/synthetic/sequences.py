"""Synthetic sequences with exact masks: what the demo and the tests learn from.

A still scene and a cast of actors are filmed by an imperfect camera. In a dynamic sequence time runs for the actors; in
a static one they stand still like a picture of themselves, and the camera suffers just the same. So neither how
something looks nor how bad the recording is tells the two apart: only motion does.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from convlstm.atomic import atomic_write_text
from convlstm.errors import ConfigError, DataError
from convlstm.types import Float32Array, UInt8Array
from convlstm.utils.data.synthetic.actors import ACTORS, Actor
from convlstm.utils.data.synthetic.camera import MARGIN, NUISANCES, Camera
from convlstm.utils.data.synthetic.scenes import Scene, still_scene
from convlstm.utils.data.synthetic.textures import Size

DYNAMIC_KINDS = tuple(ACTORS)
"""Kinds in which something really happens, by what it is: moving, flicker, smoke, water."""

STATIC_KINDS = NUISANCES
"""Kinds in which nothing happens, by what the recording suffers from: still, exposure, lights, shake, compression."""

SMALLEST_SIDE = 64
"""Shortest side of a frame, in pixels, in which the actors have room."""

_MAX_AUDITIONS = 8
_ENOUGH_PIXELS = 60
_SEEN_CHANGE = 0.05  # of full scale
_SEEN_LAG = 5.0  # frames

# On noisy frames 2.5 times as fast as the defaults of level 1, and 8 % smaller; the filter needs OpenCV 4.12.
_PNG_SETTINGS = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):
    _PNG_SETTINGS += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB]


@dataclass(frozen=True, repr=False)
class SyntheticSequence:
    """`frames` uint8 RGB (T, H, W, 3); `masks` uint8 (T, H, W), 255 where a pixel is really dynamic, else 0."""

    frames: UInt8Array
    masks: UInt8Array
    kind: str

    @property
    def is_dynamic(self) -> bool:
        """Whether something really happens in it."""
        return self.kind in DYNAMIC_KINDS

    def __repr__(self) -> str:
        share = float((self.masks > 0).mean())
        return f"SyntheticSequence({self.kind}, frames={self.frames.shape}, dynamic share={share:.3f})"


def synthesize_sequence(
    kind: str,
    *,
    num_frames: int,
    size: tuple[int, int],
    rng: np.random.Generator,
    severity: float = 1.0,
    camera: Camera | None = None,
) -> SyntheticSequence:
    """Make one sequence of `num_frames` frames of `size` = (height, width).

    The same state of `rng` gives the same pixels. `severity` in [0, 1] scales how the recording is spoilt; `camera`
    takes the place of a random one. Raises ConfigError for an unknown kind, fewer than 2 frames, sides under
    SMALLEST_SIDE, or a severity out of range.
    """
    _check_request(kind, num_frames, size, severity)
    large = size[0] + 2 * MARGIN, size[1] + 2 * MARGIN
    scene = still_scene(rng, large)
    is_dynamic = kind in DYNAMIC_KINDS
    if not is_dynamic or rng.random() < 0.5:
        _stand_still(rng, scene)
    actor = _cast(rng, kind, scene, np.linspace(0, num_frames - 1, 4).tolist()) if is_dynamic else None
    if camera is None:
        nuisance = str(rng.choice(NUISANCES)) if is_dynamic else kind
        camera = Camera.sample(rng, nuisance, num_frames, size, severity=severity)
    frames = np.empty((num_frames, *size, 3), dtype=np.uint8)
    masks = np.zeros((num_frames, *size), dtype=np.uint8)
    for index in range(num_frames):
        picture, mask = _perform(scene, actor, index)
        raw = camera.expose(rng, picture, index)
        frames[index] = camera.encode(rng, raw, frames[index - 1] if index else None, index)
        masks[index][camera.crop(mask, index) > 0.5] = 255
    return SyntheticSequence(frames, masks, kind)


def _check_request(kind: str, num_frames: int, size: tuple[int, int], severity: float) -> None:
    known = DYNAMIC_KINDS + STATIC_KINDS
    if kind not in known:
        raise ConfigError(f'unknown kind of sequence "{kind}": known are {", ".join(known)}')
    if num_frames < 2:
        raise ConfigError(f"num_frames must be at least 2, got {num_frames}: nothing moves in one frame")
    if min(size) < SMALLEST_SIDE:
        raise ConfigError(f"size must be at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels, got {tuple(size)}")
    if not 0 <= severity <= 1:
        raise ConfigError(f"severity must lie between 0 and 1, got {severity}")


def _stand_still(rng: np.random.Generator, scene: Scene) -> None:
    """Draw the cast of a dynamic sequence into the background, at one moment."""
    kind = str(rng.choice(DYNAMIC_KINDS))
    moment = float(rng.uniform(0, 60))
    _cast(rng, kind, scene, [moment]).draw(scene.background, moment)


def _cast(rng: np.random.Generator, kind: str, scene: Scene, moments: Sequence[float]) -> Actor:
    """An actor that can be seen in this scene at all `moments`, as far as a few tries find one."""
    size = scene.background.shape[0], scene.background.shape[1]
    best, best_seen = None, -1
    for _ in range(_MAX_AUDITIONS):
        actor = ACTORS[kind](rng, size, scene.ambient)
        seen = min(_seen_pixels(scene, actor, moment) for moment in moments)
        if best is None or seen > best_seen:
            best, best_seen = actor, seen
        if seen >= max(_ENOUGH_PIXELS, size[0] * size[1] // 1000):
            break
    assert best is not None
    return best


def _seen_pixels(scene: Scene, actor: Actor, moment: float) -> int:
    """How many pixels change visibly around that moment."""
    before, now = (_perform(scene, actor, time) for time in (moment, moment + _SEEN_LAG))
    change = np.abs(now[0] - before[0]).max(axis=2)
    return int((now[1] * change > _SEEN_CHANGE).sum())


def _perform(scene: Scene, actor: Actor | None, time: float) -> tuple[Float32Array, Float32Array]:
    """The scene at one moment (H, W, 3) and which of its pixels are dynamic, float32 (H, W), 0 or 1."""
    picture = scene.background.copy()
    if actor is None:
        return picture, np.zeros(picture.shape[:2], dtype=np.float32)
    return picture, actor.draw(picture, time).astype(np.float32)


@dataclass(frozen=True)
class _Job:
    """One sequence to write."""

    folder: Path
    kind: str
    split: str
    num_frames: int
    size: Size
    seed: np.random.SeedSequence
    severity: float


def write_dataset(
    root: Path,
    *,
    num_train: int,
    num_val: int,
    num_test: int,
    num_frames: int,
    size: tuple[int, int],
    fps: float,
    seed: int,
    severity: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
    num_workers: int = 0,
) -> Path:
    """Write sequences as folders of frames with masks, and their manifest; returns the path of `data.csv`.

    `root/sequence_001/frame_000001.png`, its mask `root/sequence_001/masks/frame_000001.png` (non-zero is dynamic) and
    so on. Half of each split is dynamic, kinds take turns, and no two sequences share anything. The pixels depend on
    the other arguments, but not on `num_workers`, processes beside this one (0: none). `progress(done, total)` is
    called after each sequence. `data.csv` is written last, in one step.

    Raises DataError where `root` is not empty, ConfigError for impossible numbers.
    """
    for name, count in (("num_train", num_train), ("num_val", num_val), ("num_test", num_test)):
        if count < 0 or count == 1:
            raise ConfigError(f"{name} must be 0 or at least 2, one sequence of each type, got {count}")
    _check_request(DYNAMIC_KINDS[0], num_frames, size, severity)
    root = Path(root)
    if root.exists() and any(root.iterdir()):
        raise DataError(f"{root} is not empty: name a new folder for the synthetic data")
    root.mkdir(parents=True, exist_ok=True)
    counts = {"train": num_train, "val": num_val, "test": num_test}
    kinds = [(split, kind) for split, count in counts.items() for kind in _kinds(count)]
    seeds = np.random.SeedSequence(seed).spawn(len(kinds))
    jobs = [
        _Job(root / f"sequence_{number:03d}", kind, split, num_frames, size, child, severity)
        for number, ((split, kind), child) in enumerate(zip(kinds, seeds, strict=True), start=1)
    ]
    for done, _ in enumerate(_run(jobs, num_workers), start=1):
        if progress is not None:
            progress(done, len(jobs))
    manifest = root / "data.csv"
    atomic_write_text(manifest, _manifest_text(jobs, fps))
    return manifest


def _kinds(count: int) -> list[str]:
    """Kinds of `count` sequences: dynamic and static in turn, and of each the kinds in turn."""
    turns = (DYNAMIC_KINDS, STATIC_KINDS)
    return [turns[index % 2][index // 2 % len(turns[index % 2])] for index in range(count)]


def _run(jobs: list[_Job], num_workers: int) -> Iterator[None]:
    """Do all jobs; yields after each."""
    if num_workers == 0:
        yield from map(_write_sequence, jobs)
        return
    # spawn: a forked copy of a process in which torch or OpenCV has started threads may hang
    with ProcessPoolExecutor(num_workers, get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        futures = [pool.submit(_write_sequence, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_sequence(job: _Job) -> None:
    rng = np.random.default_rng(job.seed)
    sequence = synthesize_sequence(job.kind, num_frames=job.num_frames, size=job.size, rng=rng, severity=job.severity)
    (job.folder / "masks").mkdir(parents=True)
    for number, (frame, mask) in enumerate(zip(sequence.frames, sequence.masks, strict=True), start=1):
        name = f"frame_{number:06d}.png"
        _write_png(job.folder / name, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        _write_png(job.folder / "masks" / name, mask)


def _write_png(path: Path, pixels: UInt8Array) -> None:
    _, encoded = cv2.imencode(".png", pixels, _PNG_SETTINGS)
    path.write_bytes(encoded.tobytes())  # cv2.imwrite reports neither a full disk nor what went wrong


def _manifest_text(jobs: list[_Job], fps: float) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["folder_name", "type", "group", "fps", "frames", "split", "kind"])
    for job in jobs:
        name, kind_type = job.folder.name, "dynamic" if job.kind in DYNAMIC_KINDS else "static"
        writer.writerow([name, kind_type, name, f"{fps:g}", job.num_frames, job.split, job.kind])
    return text.getvalue()
