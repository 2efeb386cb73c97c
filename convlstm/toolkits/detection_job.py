"""What the two YOLO tools share: footage in, a folder for each out, whatever is written into it."""

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeAlias

from convlstm.atomic import atomic_folder, remove_leftovers
from convlstm.config.yolo_tools import YoloToolConfig
from convlstm.errors import DataError
from convlstm.sources.base import SeekableSource
from convlstm.sources.open import SourcePath, open_source
from convlstm.toolkits.detected_footage import DetectedFootage
from convlstm.toolkits.detectors.base import DetectionSettings, Detector
from convlstm.toolkits.detectors.open import check_weights, open_detector
from convlstm.toolkits.inputs import InputFile, check_not_inside, find_footage
from convlstm.toolkits.origin import Origin, finished, read_origin, state_of, write_origin
from convlstm.toolkits.runner import Outcome, ToolResult, result_of, run_tasks
from convlstm.toolkits.track_window import TrackWindow

logger = logging.getLogger(__name__)

_NOT_ABOUT_PIXELS = ("source", "output", "weights", "workers", "dry_run", "overwrite", "device", "batch_size")


@dataclass(frozen=True)
class DetectionJob:
    """A tool's run: its settings, what it is to find, and the digest of the weights by which it finds that."""

    tool: str
    config: YoloToolConfig
    output: Path
    detection: DetectionSettings
    digest: str
    min_frames: int = 1

    @property
    def wanted(self) -> str:
        """What is looked for, in words."""
        return " or ".join(self.detection.classes) or "thing that the model knows"

    def plan(self, footage: InputFile) -> Origin:
        """What is to be made of a source; copies and parts keep the group and the frame rate of what they come from."""
        before = read_origin(footage.path) if footage.path.is_dir() else None
        settings = {name: value for name, value in asdict(self.config).items() if name not in _NOT_ABOUT_PIXELS}
        group = before.group if before is not None else footage.group
        fps = before.fps if before is not None and before.fps else self.config.fps
        settings |= {"weights": self.digest, "min_frames": self.min_frames, "fps": fps}
        return Origin(self.tool, str(footage.path), state_of(footage.path), settings, group, num_frames=0, fps=fps)


Write: TypeAlias = Callable[[DetectionJob, DetectedFootage, Origin, Path], Origin]
"""Makes the files of one source in a new folder; gives back the plan with what came of it."""


def run_job(tool: str, config: YoloToolConfig, write: Write, *, masks: bool = False, min_frames: int = 1) -> ToolResult:
    """Let `write`, a function of a module, make a folder of each source, in several processes.

    `masks`: instances get the shape that a segmentation model finds. Raises DataError where a source does not exist or
    holds nothing, ConfigError and CheckpointError for weights and classes.
    """
    assert config.source is not None and config.output is not None and config.weights is not None
    footage = find_footage(config.source)
    check_not_inside(footage, config.source, config.output)
    workers = 1 if config.dry_run else min(config.workers or os.cpu_count() or 1, len(footage))
    detection = DetectionSettings(
        weights=config.weights,
        confidence=config.confidence,
        iou=config.iou,
        classes=config.classes,
        masks=masks,
        device=config.device,
        num_threads=max(1, (os.cpu_count() or 1) // workers) if workers > 1 else 0,
    )
    check_weights(config.weights)
    job = DetectionJob(tool, config, config.output, detection, _digest(config.weights), min_frames)
    _detector(job.detection, job.digest)  # what is wrong with it is no fault of a source
    if not config.dry_run:
        remove_leftovers(config.output)
    num_frames = None if config.dry_run else _count_frames(footage)
    outcomes = run_tasks(
        partial(_process, job, write),
        footage,
        name=lambda one: str(one.path),
        workers=workers,
        description="detecting",
        total=num_frames,
        unit="frames" if num_frames else "sources",
    )
    return result_of(config.output, outcomes)


def _process(job: DetectionJob, write: Write, footage: InputFile) -> Outcome:
    name, folder = str(footage.path), job.output / footage.name
    plan = job.plan(footage)
    done = finished(folder, plan, overwrite=job.config.overwrite)
    if done is not None:
        return Outcome(name, {"sources finished before": 1}, done.problem)
    source = open_source(SourcePath(footage.path), fps=plan.fps or job.config.fps)
    if job.config.dry_run:
        count = "an unknown number of" if source.num_frames is None else f"{source.num_frames:,}"
        logger.info("%s: %s frames at %.4g frames/s, to %s", name, count, source.fps, folder)
        return Outcome(name, {"sources to process": 1})
    window = TrackWindow(job.config.max_gap, job.config.smooth, job.min_frames)
    detector = _detector(job.detection, job.digest)
    detected = DetectedFootage(source, detector, window, batch_size=job.config.batch_size)
    with atomic_folder(folder) as new:
        origin = write(job, detected, plan, new)
        write_origin(new, origin)
    counts = {
        "sources": 1,
        "frames": detected.num_frames,
        "with detections": detected.num_with_detections,
        "held over misses": detected.num_held,
    }
    return Outcome(name, counts, origin.problem)


def came_of(plan: Origin, footage: DetectedFootage, *, num_frames: int, fps: float) -> Origin:
    """The plan with what was made of it."""
    extra = {"frames_with_detections": footage.num_with_detections, "frames_held": footage.num_held}
    problem = footage.source.damage.describe(footage.num_frames) or None
    return replace(plan, num_frames=num_frames, fps=fps, problem=problem, extra=extra)


def nothing_found(job: DetectionJob, footage: DetectedFootage) -> DataError:
    """For a source in which none of the wanted things are."""
    lasting = f" that lasts for {job.min_frames} frames" if job.min_frames > 1 else ""
    also = " or --min_track_frames" if lasting else ""
    return DataError(
        f"{footage.source.name}: found no {job.wanted} in {footage.num_frames} frames{lasting}: nothing is written; "
        f"where there is some, lower --confidence {job.config.confidence:g}{also}"
    )


def _count_frames(footage: Sequence[InputFile]) -> int | None:
    """As far as the sources declare them; None where one does not."""
    total = 0
    for one in footage:
        try:
            source: SeekableSource = open_source(SourcePath(one.path))
        except DataError:
            continue
        if source.num_frames is None:
            return None
        total += source.num_frames
    return total or None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=1)
def _detector(settings: DetectionSettings, digest: str) -> Detector:
    """One for all sources of a process; `digest` tells models of the same name apart."""
    del digest
    return open_detector(settings)
