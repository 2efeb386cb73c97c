"""Synthetic sequences on disk: folders of frames with masks, and their manifest."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypedDict

import cv2
import numpy as np

from convlstm.atomic import atomic_write_text
from convlstm.errors import ConfigError, DataError
from convlstm.interrupts import leave_signals_to_parent, signals_waiting
from convlstm.sources.images import PNG_SETTINGS
from convlstm.types import UInt8Array
from convlstm.utils.data.synthetic.photos import load_photos
from convlstm.utils.data.synthetic.recordings import find_recordings
from convlstm.utils.data.synthetic.sequences import (
    DYNAMIC_KINDS,
    RECORDING,
    STATIC_KINDS,
    SyntheticSequence,
    check_request,
    film_recording,
    synthesize_sequence,
)
from convlstm.utils.data.synthetic.textures import Size

MANIFEST = "data.csv"
"""Name of the manifest in a data set's folder."""


class _Form(TypedDict):
    """What all kinds of sequences are made by."""

    num_frames: int
    size: Size
    severity: float
    is_infrared: bool


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
    min_severity: float | None
    backgrounds: Path | None
    recordings: Path | None
    infrared: float


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
    min_severity: float | None = None,
    kinds: Sequence[str] = (),
    backgrounds: Path | None = None,
    recordings: Path | None = None,
    num_recordings: int = 0,
    infrared: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
    num_workers: int = 0,
) -> Path:
    """Write sequences as folders of frames with masks, and their manifest; returns the path of `data.csv`.

    `root/sequence_001/frame_000001.png`, its mask `root/sequence_001/masks/frame_000001.png` (non-zero is dynamic) and
    so on. Half of each split is dynamic, kinds take turns (`kinds`, or all; where none of a type is named, all of that
    type), and painted scenes share nothing. Each sequence draws its severity between `min_severity` and `severity`, or
    has the latter. The pixels depend on the other arguments, but not on `num_workers`, processes beside this one (0:
    none). Half of the scenes are parts of images and video frames under the folder `backgrounds`, where it is given.
    `num_recordings` more sequences for training are cut out of the videos under `recordings`, taken by fixed cameras,
    with masks that are found. With the probability `infrared` the same is filmed by an infrared camera.
    `progress(done, total)` is called after each sequence. `data.csv` is written last, in one step.

    Raises DataError where `root` is not empty, or a folder holds no images or videos or damaged ones, ConfigError for
    impossible numbers.
    """
    counts = {"train": num_train, "val": num_val, "test": num_test}
    _check_counts(counts, num_recordings, recordings)
    _check_shares(severity, min_severity, infrared)
    for kind in (DYNAMIC_KINDS[0], *kinds):
        check_request(kind, num_frames, size, severity)
    _check_footage(backgrounds, recordings)
    root = _new_folder(Path(root))
    cast = [(split, kind) for split, count in counts.items() for kind in _in_turn(kinds, count)]
    cast += [("train", RECORDING)] * num_recordings
    seeds = np.random.SeedSequence(seed).spawn(len(cast))
    alike = (severity, min_severity, backgrounds, recordings, infrared)
    jobs = [
        _Job(root / f"sequence_{number:03d}", kind, split, num_frames, size, child, *alike)
        for number, ((split, kind), child) in enumerate(zip(cast, seeds, strict=True), start=1)
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


def _new_folder(root: Path) -> Path:
    if root.exists() and any(root.iterdir()):
        raise DataError(f"{root} is not empty: name a new folder for the synthetic data")
    root.mkdir(parents=True, exist_ok=True)
    return root


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


def _check_shares(severity: float, min_severity: float | None, infrared: float) -> None:
    if min_severity is not None and not 0 <= min_severity <= severity:
        raise ConfigError(f"min_severity must lie between 0 and severity ({severity}), got {min_severity}")
    if not 0 <= infrared <= 1:
        raise ConfigError(f"infrared must lie between 0 and 1, got {infrared}")


def _check_footage(backgrounds: Path | None, recordings: Path | None) -> None:
    """Tell now of folders that hold none."""
    if backgrounds is not None:
        load_photos(backgrounds)
    if recordings is not None:
        find_recordings(recordings)


def _in_turn(kinds: Sequence[str], count: int) -> list[str]:
    """Kinds of `count` sequences: dynamic and static in turn, and of each the kinds in turn."""
    dynamic = [kind for kind in kinds if kind not in STATIC_KINDS] or DYNAMIC_KINDS
    turns = dynamic, [kind for kind in kinds if kind in STATIC_KINDS] or STATIC_KINDS
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
    sequence = _make(job)
    (job.folder / "masks").mkdir(parents=True)
    for number, (frame, mask) in enumerate(zip(sequence.frames, sequence.masks, strict=True), start=1):
        name = f"frame_{number:06d}.png"
        _write_png(job.folder / name, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        _write_png(job.folder / "masks" / name, mask)
    return job.folder, sequence.is_dynamic


def _make(job: _Job) -> SyntheticSequence:
    rng = np.random.default_rng(job.seed)
    severity = job.severity if job.min_severity is None else rng.uniform(job.min_severity, job.severity)
    form: _Form = {
        "num_frames": job.num_frames,
        "size": job.size,
        "severity": severity,
        "is_infrared": bool(rng.spawn(1)[0].random() < job.infrared),
    }
    if job.kind == RECORDING:
        assert job.recordings is not None
        return film_recording(rng, find_recordings(job.recordings), **form)
    photos = load_photos(job.backgrounds) if job.backgrounds is not None else ()
    return synthesize_sequence(job.kind, rng=rng, photos=photos, **form)


def _write_png(path: Path, pixels: UInt8Array) -> None:
    _, encoded = cv2.imencode(".png", pixels, PNG_SETTINGS)
    path.write_bytes(encoded.tobytes())  # cv2.imwrite reports neither a full disk nor what went wrong


def _manifest_text(jobs: list[_Job], dynamic: set[Path], fps: float) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["folder_name", "type", "group", "fps", "frames", "split", "kind"])
    for job in jobs:
        name, kind_type = job.folder.name, "dynamic" if job.folder in dynamic else "static"
        writer.writerow([name, kind_type, name, f"{fps:g}", job.num_frames, job.split, job.kind])
    return text.getvalue()
