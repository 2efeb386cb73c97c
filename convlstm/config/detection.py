"""Settings of detection, verification and export."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from convlstm.config.fields import (
    OFFLINE_SECONDS,
    QUEUE_FRAMES,
    DetectPrecision,
    EngineName,
    GraphFormat,
    Mode,
    check,
    check_not_negative,
    check_positive,
    check_target_size,
    check_threshold,
    default_of,
    setting,
)
from convlstm.types import CELL_SIZE


@dataclass(frozen=True)
class DetectConfig:
    """A detection job."""

    output: Path = setting(Path("results"), "Folder for the results.")
    batch: bool = setting(False, "The source folder holds many sources: frame folders and videos.")
    save_viz: bool = setting(False, "Write NAME_result.png: frame, heatmap, overlay, timeline.")
    save_heatmaps: bool = setting(False, "Write NAME_heatmaps.npz: every heatmap with its frames and times.")
    threshold: float | None = setting(None, "A cell is dynamic from this probability on; default: the checkpoint's.")
    stride: int = setting(3, "Frames between the starts of neighbouring windows.")
    fps: float = setting(25.0, "Frame rate of frame folders, which carry no times.")
    short_sequences: Literal["error", "repeat_last"] = setting("error", "Sources shorter than a window.")
    event_hysteresis: float = setting(0.1, "An event goes on down to threshold minus this.")
    event_min_seconds: float = setting(0.0, "Shorter events are dropped.")
    event_max_gap_seconds: float = setting(0.5, "Events of one region closer than this are one.")
    event_max_distance: float = setting(1.0, "Regions with no more cells than this between them are one.")
    event_padding_seconds: float = setting(0.0, "Events, and so their clips, start earlier and end later by this.")
    save_clips: bool = setting(False, "Write NAME_clips/clip_001.mp4: what happens; overlapping events share one.")
    save_video: bool = setting(False, "Write NAME_video.mp4: every frame with heatmap, boxes and time.")
    max_output_gb: float = setting(10.0, "All videos that are written end where they reach this, in gigabytes.")
    continuous: bool = setting(False, "The sources, in order of their names, are one recording that goes on.")
    sample_fps: float | None = setting(None, "Look at so many frames a second at most; default: at all of them.")
    roi: tuple[str, ...] = setting(
        (), 'Where to look: polygons "x1 y1 x2 y2 x3 y3 ...", 0..1 from the top left; default: everywhere.'
    )
    ignore: tuple[str, ...] = setting((), "Where not to look: polygons like those of roi.")
    queue_frames: int = setting(QUEUE_FRAMES, "Cameras: frames that may wait; when there are more, the newest stays.")
    offline_seconds: float = setting(OFFLINE_SECONDS, "Cameras: offline after so long without a frame.")
    reconnect: bool = setting(True, "Cameras: try again when a stream ends or fails.")
    watch_seconds: float | None = setting(None, "Cameras: stop after so long; default: when interrupted.")
    mode: Mode = setting("windowed", "windowed: each window from a blank state; stateful: the state is carried on.")
    engine: EngineName = setting("auto", "What runs the network; auto: the fastest that is installed.")
    precision: DetectPrecision = setting("auto", "Of the encoder; auto: bf16 where it changes next to nothing.")
    device: str = setting("auto", "auto, cpu, cuda, mps, or cuda:N.")
    overwrite: bool = setting(False, "Do finished sources again.")

    def __post_init__(self) -> None:
        check_positive(self, "stride", "fps")
        check_positive(self, "max_output_gb")
        check_positive(self, "queue_frames", "offline_seconds")
        for name in ("sample_fps", "watch_seconds"):
            value = getattr(self, name)
            check(value is None or value > 0, f"{name} must be greater than 0, got {value}")
        check_not_negative(self, "event_hysteresis", "event_min_seconds", "event_max_gap_seconds")
        check_not_negative(self, "event_max_distance", "event_padding_seconds")
        check(
            self.save_clips or self.save_video or self.max_output_gb == default_of(self, "max_output_gb"),
            "max_output_gb has no meaning without --save_clips or --save_video: leave it out",
        )
        if self.threshold is not None:
            check_threshold(self.threshold)


@dataclass(frozen=True)
class VerifyConfig:
    """The second look at a detector's boxes."""

    output: Path = setting(Path("verified"), "Folder for verdicts.csv and verdicts.jsonl.")
    threshold: float | None = setting(None, "A box is dynamic from this probability on; default: the checkpoint's.")
    stride: int = setting(3, "Frames between the starts of neighbouring windows.")
    fps: float = setting(25.0, "Frame rate of frame folders, which carry no times.")
    follow: bool = setting(
        True, "Also look at a crop that follows the box: what moves as a whole only, like a photo in a hand, is static."
    )
    crop_size: int = setting(160, "Side of that crop in pixels, a multiple of 32.")
    crop_context: float = setting(1.5, "How many times the longer side of its box that crop is wide.")
    windows: int = setting(5, "A verdict is about the mean of so many windows, the latest ones.")
    top_share: float = setting(0.25, "Share of the cells under a box, the hottest ones, whose mean is its probability.")
    min_iou: float = setting(0.2, "Boxes of neighbouring frames that overlap by less are not one thing.")
    max_missed: int = setting(15, "Frames after which a thing that the detector no longer finds is forgotten.")
    device: str = setting("auto", "auto, cpu, cuda, mps, or cuda:N.")

    def __post_init__(self) -> None:
        check_positive(self, "stride", "fps", "windows", "crop_size")
        check_not_negative(self, "max_missed")
        check(self.crop_size % CELL_SIZE == 0, f"crop_size must be a multiple of {CELL_SIZE}, got {self.crop_size}")
        check(1 <= self.crop_context <= 8, f"crop_context must lie in [1, 8], got {self.crop_context}")
        check(0 < self.top_share <= 1, f"top_share must be greater than 0 and at most 1, got {self.top_share}")
        check(0 < self.min_iou <= 1, f"min_iou must be greater than 0 and at most 1, got {self.min_iou}")
        if self.threshold is not None:
            check_threshold(self.threshold)
        if not self.follow:
            given = [name for name in ("crop_size", "crop_context") if getattr(self, name) != default_of(self, name)]
            check(not given, f"{', '.join(given)} has no meaning with --no-follow: leave it out")


@dataclass(frozen=True)
class ExportConfig:
    """An export of weights to another format."""

    format: Literal["auto", "safetensors", "onnx", "openvino"] = setting(
        "auto", "safetensors: one file; onnx, openvino: a folder of graphs; auto: by the output's ending."
    )
    target_size: tuple[int, int] | None = setting(
        None, "Frame size of detection, where training saw parts of larger frames; default: that of training."
    )
    average_with: tuple[str, ...] = setting(
        (), "Other weights of the same network, or shipped: what is exported is the mean of all."
    )
    int8: bool = setting(False, "Convolutions of the encoder in int8; needs calibration.")
    calibration: str | None = setting(None, "Source, as for detect, on which int8 is calibrated and judged.")
    max_ap_loss: float = setting(0.005, "Refuse int8 that loses more of the average precision than this.")

    def __post_init__(self) -> None:
        if self.target_size is not None:
            check_target_size(self.target_size)
        check(0 < self.max_ap_loss <= 1, f"max_ap_loss must be greater than 0 and at most 1, got {self.max_ap_loss}")
        check(
            self.int8 == (self.calibration is not None),
            "--int8 needs --calibration SOURCE, footage as it will be seen: frame folder, video or glob"
            if self.int8
            else "calibration has no meaning without --int8: leave it out",
        )
        check(
            not self.int8 or self.format in get_args(GraphFormat),
            f"--int8 needs --format onnx or openvino, got {self.format}",
        )
        check(
            self.int8 or self.max_ap_loss == ExportConfig.max_ap_loss,
            "max_ap_loss has no meaning without --int8: leave it out",
        )
