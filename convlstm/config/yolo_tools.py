"""Settings of the two tools that run a YOLO model; the docstring of each is the help of its command."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convlstm.config.fields import check, check_not_negative, check_positive, default_of, setting
from convlstm.config.toolkits import ToolConfig, check_inputs

Background = Literal["black", "blur", "keep"]
BoxMode = Literal["mask", "crop", "union"]


@dataclass(frozen=True)
class YoloToolConfig(ToolConfig):
    """What both have: footage, a model, and how what it finds is held together over time."""

    source: tuple[str, ...] | None = setting(None, "Videos and folders of frames: themselves, all below them, globs.")
    output: Path | None = setting(None, "Folder for the sequences.")
    weights: Path | None = setting(None, "YOLO model: .onnx, or .pt, which runs the file's code: trust its source.")
    classes: tuple[str, ...] = setting((), "Classes to keep, names or numbers; default: all that the model knows.")
    confidence: float = setting(0.25, "Detections below it are left out.")
    iou: float = setting(0.7, "Of boxes of one class that overlap by more, the best is taken.")
    max_gap: int = setting(10, "What is missed for up to so many frames is put between where it was and will be.")
    smooth: int = setting(2, "Boxes and masks are means over so many frames on each side; 0: as detected.")
    masks: bool = setting(True, "Write masks/, which training takes for what moves; leave out for static footage.")
    fps: float = setting(25.0, "Frame rate of frame folders that know no times.")
    batch_size: int = setting(8, "Frames that the model looks at together.")
    device: str = setting("auto", "auto, cpu, cuda or cuda:N; with .pt weights also mps.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_inputs(self.source, self.output, "--source videos --output data/dynamic --weights fire.onnx")
        check(self.weights is not None, "no weights given: for example --weights fire.onnx")
        check_positive(self, "fps", "batch_size")
        check_not_negative(self, "max_gap", "smooth")
        for name in ("confidence", "iou"):
            value = getattr(self, name)
            check(0 < value <= 1, f"{name} must be greater than 0 and at most 1, got {value}")


@dataclass(frozen=True)
class DynamicSegmentProcessorConfig(YoloToolConfig):
    """Keep only the pixels of chosen classes, found by a YOLO segmentation model, and write their masks.

    convlstm data dynamic_segment_processor --source videos --output data/dynamic --weights fire-seg.onnx

    Of videos/yard.mp4 it makes data/dynamic/yard/frame_000001.png and masks/frame_000001.png and so on, frames.csv with
    the true times, and boxes.csv with what was found. Name what to keep by --classes fire smoke. No frame is dropped:
    where the model misses a thing for up to max_gap frames, the thing is put between its neighbours in time.
    """

    background: Background = setting("black", "Everything else: black, blur, or keep it as it is.")


@dataclass(frozen=True)
class DynamicBboxProcessorConfig(YoloToolConfig):
    """Keep only what lies in the boxes that a YOLO model finds: masked, or cut out.

    convlstm data dynamic_bbox_processor --source videos --output data/dynamic --weights fire.onnx --mode crop

    mask: whole frames, black outside of the boxes. crop: a sequence for each thing, videos/yard.mp4 gives
    data/dynamic/yard/track_0001/frame_000001.png and so on, which follows the thing so that it stands still, as verify
    looks at it. union: the part of the frames that holds all boxes, the same for the whole video.
    """

    mode: BoxMode = setting("mask", "mask, crop or union.")
    background: Background = setting("black", "With mode mask, what lies outside: black, blur, or keep it as it is.")
    padding: float | None = setting(
        None, "Share of a box's sides that is added on each side of it; default: 0.25 with mode crop, else 0.1."
    )
    crop_size: int = setting(160, "With mode crop, side of the crops in pixels.")
    min_track_frames: int | None = setting(
        None, "Things that are seen for fewer frames are left out; default: 10 with mode crop, else 1."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 <= self.margin <= 2, f"padding must lie in [0, 2], got {self.padding}")
        check(32 <= self.crop_size <= 4096, f"crop_size must lie in [32, 4096], got {self.crop_size}")
        check(
            self.min_track_frames is None or self.min_track_frames > 0,
            f"min_track_frames must be greater than 0, got {self.min_track_frames}",
        )
        for name, mode in (("background", "mask"), ("crop_size", "crop")):
            is_idle = self.mode != mode and getattr(self, name) != default_of(self, name)
            check(not is_idle, f"{name} has no meaning with --mode {self.mode}: leave it out")

    @property
    def margin(self) -> float:
        """Share of a box's sides that is added; with mode crop what `verify` sees around a box."""
        if self.padding is not None:
            return self.padding
        return 0.25 if self.mode == "crop" else 0.1

    @property
    def min_frames(self) -> int:
        """Frames that a thing has to be seen in."""
        return self.min_track_frames or (10 if self.mode == "crop" else 1)
