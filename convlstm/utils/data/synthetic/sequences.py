"""Synthetic sequences with exact masks: what the demo and the tests learn from.

A still scene and a cast of actors are filmed by an imperfect camera. In a dynamic sequence time runs for the actors; in
a static one they stand still like a picture of themselves, and the camera suffers just the same. So neither how
something looks nor how bad the recording is tells the two apart: only motion does.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from convlstm.atomic import atomic_write_text
from convlstm.errors import ConfigError, DataError
from convlstm.interrupts import leave_signals_to_parent, signals_waiting
from convlstm.types import Float32Array, UInt8Array
from convlstm.utils.data.synthetic.actors import ACTORS, Actor
from convlstm.utils.data.synthetic.camera import MARGIN, NUISANCES, Camera
from convlstm.utils.data.synthetic.photos import load_photos
from convlstm.utils.data.synthetic.recordings import (
    MOVING,
    STILL,
    UNKNOWN,
    cut_recording,
    find_recordings,
    training_mask,
)
from convlstm.utils.data.synthetic.scenes import Photos, Scene, still_scene
from convlstm.utils.data.synthetic.textures import Size

DYNAMIC_KINDS = tuple(ACTORS)
"""Kinds in which something really happens, by what it is."""

STATIC_KINDS = NUISANCES
"""Kinds in which nothing happens, by what the recording suffers from most."""

SMALLEST_SIDE = 64
"""Shortest side of a frame, in pixels, in which the actors have room."""

MANIFEST = "data.csv"
"""Name of the manifest in a data set's folder."""

RECORDING = "recording"
"""Kind of sequences cut out of real recordings, in which something happens or not."""

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
    photos: Photos = (),
) -> SyntheticSequence:
    """Make one sequence of `num_frames` frames of `size` = (height, width).

    The same state of `rng` gives the same pixels. `severity` in [0, 1] scales how the recording is spoilt; `camera`
    takes the place of a random one; `photos` become the background of half of the scenes. Raises ConfigError for an
    unknown kind, fewer than 2 frames, sides under SMALLEST_SIDE, or a severity out of range.
    """
    _check_request(kind, num_frames, size, severity)
    large = size[0] + 2 * MARGIN, size[1] + 2 * MARGIN
    scene = still_scene(rng, large, photos)
    is_dynamic = kind in DYNAMIC_KINDS
    for _ in range(int(rng.integers(0, 3))):
        _stand_still(rng, scene)
    if camera is None:
        nuisance = str(rng.choice(NUISANCES)) if is_dynamic else kind
        camera = Camera.sample(rng, nuisance, num_frames, size, severity=severity)
    times = camera.times * (1.0 if kind == "moving" else float(rng.choice([0.6, 1.0, 1.0, 1.8])))  # frame rates differ
    moments = times[np.linspace(0, num_frames - 1, 4).astype(int)].tolist()
    actors = [_cast(rng, kind, scene, moments)] if is_dynamic else []
    if is_dynamic and rng.random() < 0.2:
        actors.append(_cast(rng, str(rng.choice(DYNAMIC_KINDS)), scene, moments))
    masks = np.zeros((num_frames, *size), dtype=np.uint8)

    def scenes() -> Iterator[Float32Array]:
        for index, time in enumerate(times):
            picture, mask = _perform(scene, actors, float(time))
            masks[index][camera.crop(mask, index) > 0.5] = 255
            yield picture

    return SyntheticSequence(np.stack(camera.record(rng, scenes())), masks, kind)


def film_recording(
    rng: np.random.Generator, paths: tuple[Path, ...], *, num_frames: int, size: Size, severity: float
) -> tuple[SyntheticSequence, bool]:
    """A stretch of a real recording, more than half of them spoilt like synthetic ones; and whether anything moves.

    Its masks hold 255 where it does, and a grid of single pixels where nobody knows (`training_mask`).
    """
    recording = cut_recording(rng, paths, num_frames, (size[0] + 2 * MARGIN, size[1] + 2 * MARGIN))
    camera = Camera.perfect(num_frames, size)
    if rng.random() < 0.6:
        camera = Camera.sample(rng, str(rng.choice(NUISANCES)), num_frames, size, severity=severity)
    masks = np.zeros((num_frames, *size), dtype=np.uint8)
    is_dynamic = False
    places = camera.times.astype(int)
    for index, place in enumerate(places):
        moving, known = ((recording.labels[place] == label).astype(np.float32) for label in (MOVING, STILL))
        labels = np.where(camera.crop(known, index) > 0.99, STILL, UNKNOWN)
        labels = np.where(camera.crop(moving, index) > 0.5, MOVING, labels).astype(np.uint8)
        masks[index] = training_mask(labels)
        is_dynamic |= int((labels == MOVING).sum()) >= _ENOUGH_PIXELS
    frames = camera.record(rng, (recording.frames[place] for place in places))
    return SyntheticSequence(np.stack(frames), masks, RECORDING), is_dynamic


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
    size = scene.size
    best, best_seen = None, -1
    for _ in range(_MAX_AUDITIONS):
        actor = ACTORS[kind](rng, scene)
        seen = min(_seen_pixels(scene, actor, moment) for moment in moments)
        if best is None or seen > best_seen:
            best, best_seen = actor, seen
        if seen >= max(_ENOUGH_PIXELS, size[0] * size[1] // 1000):
            break
    assert best is not None
    return best


def _seen_pixels(scene: Scene, actor: Actor, moment: float) -> int:
    """How many pixels change visibly around that moment."""
    before, now = (_perform(scene, [actor], time) for time in (moment, moment + _SEEN_LAG))
    change = np.abs(now[0] - before[0]).max(axis=2)
    return int((now[1] * change > _SEEN_CHANGE).sum())


def _perform(scene: Scene, actors: Sequence[Actor], time: float) -> tuple[Float32Array, Float32Array]:
    """The scene at one moment (H, W, 3) and which of its pixels are dynamic, float32 (H, W), 0 or 1."""
    picture = scene.background.copy()
    mask = np.zeros(picture.shape[:2], dtype=np.bool_)
    for actor in actors:
        mask |= actor.draw(picture, time)
    if scene.foreground is not None:
        cover = scene.foreground[..., 3:]
        picture = scene.foreground[..., :3] + (1 - cover) * picture
        mask &= cover[..., 0] < 0.9
    return picture, mask.astype(np.float32)


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
    backgrounds: Path | None
    recordings: Path | None


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
    backgrounds: Path | None = None,
    recordings: Path | None = None,
    num_recordings: int = 0,
    progress: Callable[[int, int], None] | None = None,
    num_workers: int = 0,
) -> Path:
    """Write sequences as folders of frames with masks, and their manifest; returns the path of `data.csv`.

    `root/sequence_001/frame_000001.png`, its mask `root/sequence_001/masks/frame_000001.png` (non-zero is dynamic) and
    so on. Half of each split is dynamic, kinds take turns, and painted scenes share nothing. The pixels depend on the
    other arguments, but not on `num_workers`, processes beside this one (0: none). Half of the scenes are parts of
    images and video frames under the folder `backgrounds`, where it is given. `num_recordings` more sequences for
    training are cut out of the videos under `recordings`, taken by fixed cameras, with masks that are found.
    `progress(done, total)` is called after each sequence. `data.csv` is written last, in one step.

    Raises DataError where `root` is not empty, or a folder holds no images or videos or damaged ones, ConfigError for
    impossible numbers.
    """
    counts = {"train": num_train, "val": num_val, "test": num_test}
    _check_counts(counts, num_recordings, recordings)
    _check_request(DYNAMIC_KINDS[0], num_frames, size, severity)
    if backgrounds is not None:
        load_photos(backgrounds)  # a folder without any is told now
    if recordings is not None:
        find_recordings(recordings)
    root = Path(root)
    if root.exists() and any(root.iterdir()):
        raise DataError(f"{root} is not empty: name a new folder for the synthetic data")
    root.mkdir(parents=True, exist_ok=True)
    kinds = [(split, kind) for split, count in counts.items() for kind in _kinds(count)]
    kinds += [("train", RECORDING)] * num_recordings
    seeds = np.random.SeedSequence(seed).spawn(len(kinds))
    jobs = [
        _Job(root / f"sequence_{number:03d}", kind, split, num_frames, size, child, severity, backgrounds, recordings)
        for number, ((split, kind), child) in enumerate(zip(kinds, seeds, strict=True), start=1)
    ]
    dynamic: set[Path] = set()
    for done, (folder, is_dynamic) in enumerate(_run(jobs, num_workers), start=1):
        if is_dynamic:
            dynamic.add(folder)
        if progress is not None:
            progress(done, len(jobs))
    manifest = root / MANIFEST
    atomic_write_text(manifest, _manifest_text(jobs, dynamic, fps))
    return manifest


def _check_counts(counts: dict[str, int], num_recordings: int, recordings: Path | None) -> None:
    for split, count in counts.items():
        if count < 0 or count == 1:
            raise ConfigError(f"num_{split} must be 0 or at least 2, one sequence of each type, got {count}")
    if num_recordings < 0:
        raise ConfigError(f"num_recordings must not be negative, got {num_recordings}")
    if num_recordings and recordings is None:
        raise ConfigError(f"num_recordings is {num_recordings}, but no folder is given: name one with recordings")
    if recordings is not None and not num_recordings:
        raise ConfigError(f"recordings is {recordings}, but num_recordings is 0: say how many sequences to cut out")
    if not any(counts.values()) and not num_recordings:
        raise ConfigError("num_train, num_val, num_test and num_recordings are all 0: ask for at least 2 sequences")


def _kinds(count: int) -> list[str]:
    """Kinds of `count` sequences: dynamic and static in turn, and of each the kinds in turn."""
    turns = (DYNAMIC_KINDS, STATIC_KINDS)
    return [turns[index % 2][index // 2 % len(turns[index % 2])] for index in range(count)]


def _run(jobs: list[_Job], num_workers: int) -> Iterator[tuple[Path, bool]]:
    """Do all jobs; yields after each its folder and whether anything happens in it."""
    if num_workers == 0:
        yield from map(_write_sequence, jobs)
        return
    # spawn: a forked copy of a process in which torch or OpenCV has started threads may hang
    with ProcessPoolExecutor(num_workers, get_context("spawn"), initializer=_start_worker) as pool:
        with signals_waiting():
            futures = [pool.submit(_write_sequence, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise DataError("a worker was killed, most likely for lack of memory: use fewer num_workers") from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _start_worker() -> None:
    cv2.setNumThreads(1)
    leave_signals_to_parent()


def _write_sequence(job: _Job) -> tuple[Path, bool]:
    sequence, is_dynamic = _make(job)
    (job.folder / "masks").mkdir(parents=True)
    for number, (frame, mask) in enumerate(zip(sequence.frames, sequence.masks, strict=True), start=1):
        name = f"frame_{number:06d}.png"
        _write_png(job.folder / name, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        _write_png(job.folder / "masks" / name, mask)
    return job.folder, is_dynamic


def _make(job: _Job) -> tuple[SyntheticSequence, bool]:
    rng = np.random.default_rng(job.seed)
    if job.kind == RECORDING:
        assert job.recordings is not None
        paths = find_recordings(job.recordings)
        return film_recording(rng, paths, num_frames=job.num_frames, size=job.size, severity=job.severity)
    photos = load_photos(job.backgrounds) if job.backgrounds is not None else ()
    sequence = synthesize_sequence(
        job.kind, num_frames=job.num_frames, size=job.size, rng=rng, severity=job.severity, photos=photos
    )
    return sequence, sequence.is_dynamic


def _write_png(path: Path, pixels: UInt8Array) -> None:
    _, encoded = cv2.imencode(".png", pixels, _PNG_SETTINGS)
    path.write_bytes(encoded.tobytes())  # cv2.imwrite reports neither a full disk nor what went wrong


def _manifest_text(jobs: list[_Job], dynamic: set[Path], fps: float) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["folder_name", "type", "group", "fps", "frames", "split", "kind"])
    for job in jobs:
        name, kind_type = job.folder.name, "dynamic" if job.folder in dynamic else "static"
        writer.writerow([name, kind_type, name, f"{fps:g}", job.num_frames, job.split, job.kind])
    return text.getvalue()
