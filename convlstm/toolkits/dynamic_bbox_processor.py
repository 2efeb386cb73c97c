"""Footage to sequences of what lies in a detector's boxes: masked, a steady crop of each thing, or one cut for all."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from convlstm.config.yolo_tools import DynamicBboxProcessorConfig
from convlstm.sources.base import SeekableSource
from convlstm.toolkits.backgrounds import replace_background
from convlstm.toolkits.detected_footage import DetectedFootage
from convlstm.toolkits.detection_job import DetectionJob, came_of, nothing_found, run_job
from convlstm.toolkits.instances import FloatBox, Instance, box_slices, draw_mask
from convlstm.toolkits.origin import Origin, write_origin
from convlstm.toolkits.runner import ToolResult
from convlstm.toolkits.sequence_files import BoxesWriter, SequenceWriter, read_boxes
from convlstm.toolkits.track_crops import TrackCrops
from convlstm.types import Frame

TOOL = "dynamic_bbox_processor"


def run(config: DynamicBboxProcessorConfig) -> ToolResult:
    """Make a sequence, or with mode crop one for each thing, of each video and each folder of frames.

    Raises DataError where a source does not exist or holds nothing, ConfigError and CheckpointError for weights and
    classes.
    """
    write = {"mask": _write_masked, "crop": _write_crops, "union": _write_union}[config.mode]
    return run_job(TOOL, config, write, min_frames=config.min_frames)


def padded(box: FloatBox, padding: float) -> FloatBox:
    """The box with `padding` times its sides added on each side."""
    margin = padding * np.tile(box[2:] - box[:2], 2)
    return np.asarray(box + margin * (-1, -1, 1, 1))


def _write_masked(job: DetectionJob, footage: DetectedFootage, plan: Origin, folder: Path) -> Origin:
    config = _config_of(job)
    with SequenceWriter(folder, masks=config.masks, num_threads=1) as sequence, BoxesWriter(folder) as boxes:
        for frame, instances in footage:
            size = frame.pixels.shape[0], frame.pixels.shape[1]
            shown = draw_mask([replace(one, box=padded(one.box, config.margin)) for one in instances], size)
            pixels = replace_background(frame.pixels, shown, config.background)
            sequence.add(frame, pixels, draw_mask(instances, size))
            boxes.add(frame.index, instances, footage.names)
    if not footage.num_with_detections and config.background != "keep":
        raise nothing_found(job, footage)
    return came_of(plan, footage, num_frames=sequence.num_frames, fps=sequence.fps(footage.source.fps))


def _write_crops(job: DetectionJob, footage: DetectedFootage, plan: Origin, folder: Path) -> Origin:
    """A folder for each thing in `folder`, each with an origin of its own."""
    config = _config_of(job)
    crops = TrackCrops(
        folder,
        side=config.crop_size,
        padding=config.margin,
        min_frames=config.min_frames,
        masks=config.masks,
        fps=footage.source.fps,
    )
    with crops, BoxesWriter(folder) as boxes:
        for frame, instances in footage:
            crops.add(frame, instances)
            boxes.add(frame.index, instances, footage.names)
    if not crops.finished:
        raise nothing_found(job, footage)
    for crop in crops.finished:
        write_origin(crop.folder, came_of(plan, footage, num_frames=crop.num_frames, fps=crop.fps))
    total = sum(crop.num_frames for crop in crops.finished)
    return came_of(plan, footage, num_frames=total, fps=footage.source.fps)


def _write_union(job: DetectionJob, footage: DetectedFootage, plan: Origin, folder: Path) -> Origin:
    """Two passes: the first looks for the box that holds all boxes, the second cuts it out."""
    config = _config_of(job)
    union = None
    with BoxesWriter(folder) as boxes:
        for frame, instances in footage:
            size = frame.pixels.shape[0], frame.pixels.shape[1]
            boxes.add(frame.index, instances, footage.names)
            for instance in instances:
                box = padded(instance.box, config.margin)
                union = (
                    box if union is None else np.concatenate([np.minimum(union, box)[:2], np.maximum(union, box)[2:]])
                )
    if union is None:
        raise nothing_found(job, footage)
    rows, columns = box_slices(union, size)
    with SequenceWriter(folder, masks=config.masks, num_threads=1) as sequence:
        for frame, found in _with_boxes(footage.source, folder):
            mask = draw_mask([Instance(box, 0, None) for box in found], size)
            cut = np.ascontiguousarray(frame.pixels[rows, columns])
            sequence.add(frame, cut, np.ascontiguousarray(mask[rows, columns]))
    return came_of(plan, footage, num_frames=sequence.num_frames, fps=sequence.fps(footage.source.fps))


def _with_boxes(source: SeekableSource, folder: Path) -> Iterator[tuple[Frame, list[FloatBox]]]:
    """Every frame of the source with the boxes that `boxes.csv` tells for it."""
    rows = read_boxes(folder)
    index, boxes = next(rows, (-1, []))
    for frame in source:
        if frame.index == index:
            yield frame, boxes
            index, boxes = next(rows, (-1, []))
        else:
            yield frame, []


def _config_of(job: DetectionJob) -> DynamicBboxProcessorConfig:
    assert isinstance(job.config, DynamicBboxProcessorConfig)
    return job.config
