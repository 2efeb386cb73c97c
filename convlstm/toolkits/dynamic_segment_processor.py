"""Footage to sequences in which only chosen things are left, with their masks for training.

video -> YOLO segmentation -> tracks -> gaps filled, masks smoothed -> frames and masks
"""

from pathlib import Path

from convlstm.config.yolo_tools import DynamicSegmentProcessorConfig
from convlstm.toolkits.backgrounds import replace_background
from convlstm.toolkits.detected_footage import DetectedFootage
from convlstm.toolkits.detection_job import DetectionJob, came_of, nothing_found, run_job
from convlstm.toolkits.instances import draw_mask
from convlstm.toolkits.origin import Origin
from convlstm.toolkits.runner import ToolResult
from convlstm.toolkits.sequence_files import BoxesWriter, SequenceWriter

TOOL = "dynamic_segment_processor"


def run(config: DynamicSegmentProcessorConfig) -> ToolResult:
    """Make a sequence of each video and each folder of frames.

    Raises DataError where a source does not exist or holds nothing, ConfigError and CheckpointError for weights and
    classes.
    """
    return run_job(TOOL, config, _write, masks=True)


def _write(job: DetectionJob, footage: DetectedFootage, plan: Origin, folder: Path) -> Origin:
    config = job.config
    assert isinstance(config, DynamicSegmentProcessorConfig)
    with SequenceWriter(folder, masks=config.masks, num_threads=1) as sequence, BoxesWriter(folder) as boxes:
        for frame, instances in footage:
            mask = draw_mask(instances, (frame.pixels.shape[0], frame.pixels.shape[1]))
            sequence.add(frame, replace_background(frame.pixels, mask, config.background), mask)
            boxes.add(frame.index, instances, footage.names)
    if not footage.num_with_detections and config.background != "keep":
        raise nothing_found(job, footage)
    return came_of(plan, footage, num_frames=sequence.num_frames, fps=sequence.fps(footage.source.fps))
