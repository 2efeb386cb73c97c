"""All settings and the only home of their defaults; `config_file.py` reads them.

Nothing here imports torch: `convlstm train --help` is made from these classes.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from convlstm.errors import ConfigError
from convlstm.types import CELL_SIZE

Stem = Literal["rgb", "motion"]
Differences = Literal["frame", "local", "both"]
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
DetectPrecision = Literal["auto", "32-true", "bf16-mixed"]
EngineName = Literal["auto", "openvino", "onnx", "torch"]
GraphFormat = Literal["onnx", "openvino"]
Mode = Literal["windowed", "stateful"]
Cache = Literal["none", "ram", "disk"]
ShortSequences = Literal["error", "skip", "repeat_last"]
BaselineName = Literal["frame_difference", "mog2", "knn", "optical_flow"]

SHIPPED = "shipped"
"""Where weights are named, the name of those that come with the package."""

QUEUE_FRAMES = 32
"""Frames of a camera that may wait to be looked at."""

OFFLINE_SECONDS = 5.0
"""A camera without a frame for so long is offline."""

MAX_IMAGE_PIXELS = 1 << 27
"""Larger images (over 134 megapixels) are refused from their header."""


def _setting(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class ModelConfig:
    """What decides the network's weights; saved in every checkpoint."""

    classes: tuple[str, ...] = _setting(("static", "dynamic"), "Class names; in the first one nothing happens.")
    stem: Stem = _setting("rgb", "rgb: frames as they are; motion: exposure taken out, differences added.")
    lags: tuple[int, ...] = _setting((1, 3, 9), "How many frames back the motion stem looks.")
    differences: Differences = _setting(
        "frame", "What light is taken out before: that of the whole frame, local light, or both, side by side."
    )

    def __post_init__(self) -> None:
        _check(
            len(self.classes) >= 2 and len(set(self.classes)) == len(self.classes) and all(self.classes),
            f"classes must be at least two different names, got {list(self.classes)}",
        )
        _check(self.stem in get_args(Stem), f'stem must be "rgb" or "motion", got "{self.stem}"')
        _check(
            self.differences in get_args(Differences),
            f'differences must be "frame", "local" or "both", got "{self.differences}"',
        )
        _check(
            len(self.lags) > 0 and all(1 <= lag <= 256 for lag in self.lags) and len(set(self.lags)) == len(self.lags),
            f"lags must be different frame counts from 1 to 256, got {list(self.lags)}",
        )

    @property
    def num_context(self) -> int:
        """Frames before a window that its features need: the largest lag, or 0."""
        return max(self.lags) if self.stem == "motion" else 0

    @property
    def dynamic_index(self) -> int | None:
        """Index of the class named `dynamic`; None where no class has that name: all but the first count then."""
        return self.classes.index("dynamic") if "dynamic" in self.classes else None

    def is_dynamic(self, class_index: int) -> bool:
        """Whether heatmaps should show this class."""
        return class_index == self.dynamic_index if self.dynamic_index is not None else class_index > 0


@dataclass(frozen=True)
class AugmentConfig:
    """How probably each change is made to a stretch of frames in training; what it does: `utils/data/augment.py`."""

    augment: bool = _setting(True, "Change training frames at random, all frames of a stretch alike.")
    aug_flip: float = _setting(0.5, "Probability of left and right exchanged.")
    aug_flip_vertical: float = _setting(0.0, "Probability of top and bottom exchanged.")
    aug_crop: float = _setting(0.3, "Probability of a part of the frame, enlarged.")
    aug_brightness: float = _setting(0.3, "Probability of other brightness.")
    aug_contrast: float = _setting(0.3, "Probability of other contrast.")
    aug_colour: float = _setting(0.2, "Probability of other saturation and white balance.")
    aug_blur: float = _setting(0.1, "Probability of blur.")
    aug_noise: float = _setting(0.2, "Probability of sensor noise, new in every frame.")
    aug_compression: float = _setting(0.1, "Probability of JPEG-like compression.")
    aug_reverse: float = _setting(0.2, "Probability of time running backwards.")
    aug_frame_drop: float = _setting(0.1, "Probability of frames that are lost and shown as the one before.")

    def __post_init__(self) -> None:
        for setting in fields(AugmentConfig):
            value = getattr(self, setting.name)
            _check(0 <= value <= 1, f"{setting.name} must lie in [0, 1], got {value}")


@dataclass(frozen=True)
class TrainConfig(AugmentConfig, ModelConfig):
    """A training run; `training.yaml` lists every field with its meaning."""

    stem: Stem = _setting("motion", "motion: exposure taken out, differences added; rgb: the original network.")
    data_root: Path = _setting(Path("data"), "Folder that holds the manifest and the sequences.")
    manifest: str = _setting("data.csv", "Manifest inside data_root: folder_name,type[,group,fps,split].")
    project: Path = _setting(Path("runs/train"), "Where runs are kept.")
    name: str = _setting("exp", "Name of the run; a number is added when it exists.")
    seq_length: int = _setting(10, "Frames per window (T).")
    stride: int = _setting(3, "Frames between the starts of neighbouring windows.")
    target_size: tuple[int, int] = _setting((640, 640), "Height and width of the resized frame, multiples of 32.")
    short_sequences: ShortSequences = _setting("error", "Sequences shorter than a window: error, skip, repeat_last.")
    fps: float = _setting(25.0, "Frame rate of sequences for which the manifest gives none.")
    mask_min_share: float = _setting(0.02, "A cell with masks is dynamic where more than this share of it is.")
    val_ratio: float = _setting(0.2, "Share of the groups kept for validation, where the manifest does not say.")
    weights: str | None = _setting(
        None, "First weights: shipped, or a weights file, with their stem, lags, differences; default: random."
    )
    epochs: int = _setting(10, "Passes over the training windows.")
    batch_size: int = _setting(16, "Windows per step, over all processes together.")
    accumulate: int = _setting(1, "Parts in which a step is computed, one after another, to save memory.")
    windows_per_sample: int = _setting(1, "Neighbouring windows drawn together, whose shared frames are encoded once.")
    lr: float = _setting(1e-4, "Learning rate of Adam.")
    weight_decay: float = _setting(0.0, "Weight decay of Adam.")
    scheduler: Literal["plateau", "cosine", "none"] = _setting("plateau", "Learning rate after the warm-up.")
    warmup_epochs: float = _setting(0.5, "Epochs over which the learning rate rises from 0.")
    grad_clip: float = _setting(1.0, "Largest norm of the gradient; 0 switches clipping off.")
    class_weighting: Literal["balanced", "none"] = _setting("balanced", "Weigh classes by how rare their windows are.")
    positive_weight: float = _setting(1.0, "Weight of dynamic cells against static ones, where masks exist.")
    ema: bool = _setting(True, "Keep an exponential moving average of the weights, validate and save it.")
    ema_decay: float = _setting(0.998, "Decay of that average per step.")
    early_stopping_patience: int = _setting(10, "Stop after so many epochs without a better val_loss; 0: never.")
    threshold: float = _setting(
        0.5, "Probability from which a cell or window counts as dynamic; saved with the weights."
    )
    checkpoint_steps: int = _setting(0, "Save last.pth every so many steps, beside every epoch's end; 0: never.")
    checkpoint_minutes: float = _setting(5.0, "Save last.pth after so many minutes, too; 0: never.")
    report_interval: int = _setting(5, "Write report.html every so many epochs, and at the end; 0: never.")
    tensorboard: bool = _setting(True, "Write TensorBoard events.")
    device: str = _setting("auto", "auto, cpu, cuda, mps, or cuda:N.")
    precision: Precision = _setting("auto", "auto: bf16 where the hardware has it, float32 elsewhere.")
    devices: int = _setting(1, "Processes on this machine, one per device; torchrun and Slurm tell it themselves.")
    num_nodes: int = _setting(1, "Machines that train together.")
    compile: bool = _setting(False, "Compile the network with torch.compile.")
    cache: Cache = _setting("none", "Resized frames kept: disk, ram, or none, where every window is decoded anew.")
    cache_dir: Path | None = _setting(None, "Folder of the disk cache; default: .convlstm_cache in data_root.")
    num_workers: int = _setting(2, "Processes that load data; 0: none beside the main one.")
    seed: int = _setting(0, "Seed of the split, the order and the first weights.")

    def __post_init__(self) -> None:
        ModelConfig.__post_init__(self)
        AugmentConfig.__post_init__(self)
        _check_positive(self, "seq_length", "stride", "epochs", "batch_size", "lr", "fps", "positive_weight")
        _check_positive(self, "accumulate", "windows_per_sample", "devices", "num_nodes")
        _check_not_negative(self, "weight_decay", "warmup_epochs", "grad_clip", "early_stopping_patience")
        _check_not_negative(self, "report_interval", "num_workers", "seed", "checkpoint_steps", "checkpoint_minutes")
        _check(self.seed <= 1 << 40, f"seed must be at most 2**40, got {self.seed}")
        check_target_size(self.target_size)
        _check(0 < self.val_ratio < 1, f"val_ratio must lie between 0 and 1, got {self.val_ratio}")
        _check(0 < self.ema_decay < 1, f"ema_decay must lie between 0 and 1, got {self.ema_decay}")
        _check(0 <= self.mask_min_share < 1, f"mask_min_share must lie in [0, 1), got {self.mask_min_share}")
        check_threshold(self.threshold)
        _check(
            self.name not in ("", "..") and Path(self.name).name == self.name,
            f'name must be a plain folder name, got "{self.name}": put the path into project',
        )

    def model_config(self) -> ModelConfig:
        """The part that decides the network."""
        return ModelConfig(classes=self.classes, stem=self.stem, lags=self.lags, differences=self.differences)


@dataclass(frozen=True)
class DetectConfig:
    """A detection job."""

    output: Path = _setting(Path("results"), "Folder for the results.")
    batch: bool = _setting(False, "The source folder holds many sources: frame folders and videos.")
    save_viz: bool = _setting(False, "Write NAME_result.png: frame, heatmap, overlay, timeline.")
    save_heatmaps: bool = _setting(False, "Write NAME_heatmaps.npz: every heatmap with its frames and times.")
    threshold: float | None = _setting(None, "A cell is dynamic from this probability on; default: the checkpoint's.")
    stride: int = _setting(3, "Frames between the starts of neighbouring windows.")
    fps: float = _setting(25.0, "Frame rate of frame folders, which carry no times.")
    short_sequences: Literal["error", "repeat_last"] = _setting("error", "Sources shorter than a window.")
    event_hysteresis: float = _setting(0.1, "An event goes on down to threshold minus this.")
    event_min_seconds: float = _setting(0.0, "Shorter events are dropped.")
    event_max_gap_seconds: float = _setting(0.5, "Events of one region closer than this are one.")
    event_max_distance: float = _setting(1.0, "Regions with no more cells than this between them are one.")
    event_padding_seconds: float = _setting(0.0, "Events, and so their clips, start earlier and end later by this.")
    save_clips: bool = _setting(False, "Write NAME_clips/clip_001.mp4: what happens; overlapping events share one.")
    save_video: bool = _setting(False, "Write NAME_video.mp4: every frame with heatmap, boxes and time.")
    max_output_gb: float = _setting(10.0, "All videos that are written end where they reach this, in gigabytes.")
    continuous: bool = _setting(False, "The sources, in order of their names, are one recording that goes on.")
    sample_fps: float | None = _setting(None, "Look at so many frames a second at most; default: at all of them.")
    roi: tuple[str, ...] = _setting(
        (), 'Where to look: polygons "x1 y1 x2 y2 x3 y3 ...", 0..1 from the top left; default: everywhere.'
    )
    ignore: tuple[str, ...] = _setting((), "Where not to look: polygons like those of roi.")
    queue_frames: int = _setting(QUEUE_FRAMES, "Cameras: frames that may wait; when there are more, the newest stays.")
    offline_seconds: float = _setting(OFFLINE_SECONDS, "Cameras: offline after so long without a frame.")
    reconnect: bool = _setting(True, "Cameras: try again when a stream ends or fails.")
    watch_seconds: float | None = _setting(None, "Cameras: stop after so long; default: when interrupted.")
    mode: Mode = _setting("windowed", "windowed: each window from a blank state; stateful: the state is carried on.")
    engine: EngineName = _setting("auto", "What runs the network; auto: the fastest that is installed.")
    precision: DetectPrecision = _setting("auto", "Of the encoder; auto: bf16 where it changes next to nothing.")
    device: str = _setting("auto", "auto, cpu, cuda, mps, or cuda:N.")
    overwrite: bool = _setting(False, "Do finished sources again.")

    def __post_init__(self) -> None:
        _check_positive(self, "stride", "fps")
        _check_positive(self, "max_output_gb")
        _check_positive(self, "queue_frames", "offline_seconds")
        for name in ("sample_fps", "watch_seconds"):
            value = getattr(self, name)
            _check(value is None or value > 0, f"{name} must be greater than 0, got {value}")
        _check_not_negative(self, "event_hysteresis", "event_min_seconds", "event_max_gap_seconds")
        _check_not_negative(self, "event_max_distance", "event_padding_seconds")
        _check(
            self.save_clips or self.save_video or self.max_output_gb == _default_of(self, "max_output_gb"),
            "max_output_gb has no meaning without --save_clips or --save_video: leave it out",
        )
        if self.threshold is not None:
            check_threshold(self.threshold)


@dataclass(frozen=True)
class VerifyConfig:
    """The second look at a detector's boxes."""

    output: Path = _setting(Path("verified"), "Folder for verdicts.csv and verdicts.jsonl.")
    threshold: float | None = _setting(None, "A box is dynamic from this probability on; default: the checkpoint's.")
    stride: int = _setting(3, "Frames between the starts of neighbouring windows.")
    fps: float = _setting(25.0, "Frame rate of frame folders, which carry no times.")
    follow: bool = _setting(
        True, "Also look at a crop that follows the box: what moves as a whole only, like a photo in a hand, is static."
    )
    crop_size: int = _setting(160, "Side of that crop in pixels, a multiple of 32.")
    crop_context: float = _setting(1.5, "How many times the longer side of its box that crop is wide.")
    windows: int = _setting(5, "A verdict is about the mean of so many windows, the latest ones.")
    top_share: float = _setting(
        0.25, "Share of the cells under a box, the hottest ones, whose mean is its probability."
    )
    min_iou: float = _setting(0.2, "Boxes of neighbouring frames that overlap by less are not one thing.")
    max_missed: int = _setting(15, "Frames after which a thing that the detector no longer finds is forgotten.")
    device: str = _setting("auto", "auto, cpu, cuda, mps, or cuda:N.")

    def __post_init__(self) -> None:
        _check_positive(self, "stride", "fps", "windows", "crop_size")
        _check_not_negative(self, "max_missed")
        _check(self.crop_size % CELL_SIZE == 0, f"crop_size must be a multiple of {CELL_SIZE}, got {self.crop_size}")
        _check(1 <= self.crop_context <= 8, f"crop_context must lie in [1, 8], got {self.crop_context}")
        _check(0 < self.top_share <= 1, f"top_share must be greater than 0 and at most 1, got {self.top_share}")
        _check(0 < self.min_iou <= 1, f"min_iou must be greater than 0 and at most 1, got {self.min_iou}")
        if self.threshold is not None:
            check_threshold(self.threshold)
        if not self.follow:
            given = [name for name in ("crop_size", "crop_context") if getattr(self, name) != _default_of(self, name)]
            _check(not given, f"{', '.join(given)} has no meaning with --no-follow: leave it out")


def _default_of(config: Any, name: str) -> Any:
    return type(config).__dataclass_fields__[name].default


@dataclass(frozen=True)
class EvalConfig:
    """An evaluation: of a data set with a manifest, or of one source with its truth."""

    data_root: Path | None = _setting(None, "Folder that holds the manifest and the sequences.")
    manifest: str = _setting("data.csv", "Manifest inside data_root; its column kind names kinds of nuisance.")
    split: Literal["auto", "test", "val", "train", "all"] = _setting(
        "auto", "Which rows; auto: test where the manifest has such rows, else val."
    )
    val_ratio: float | None = _setting(
        None, "Of the training, where val was drawn; default: as the run's args.yaml says."
    )
    seed: int | None = _setting(None, "Of the training, where val was drawn; default: as the run's args.yaml says.")
    source: str | None = _setting(None, "In place of data_root: one video or frame folder.")
    truth: Path | None = _setting(None, "Truth of the source: a folder of mask PNGs, or a CSV or JSON file of events.")
    roi: tuple[str, ...] = _setting(
        (), 'Where the truth holds, all that is scored: polygons "x1 y1 x2 y2 x3 y3 ...", 0..1; default: everywhere.'
    )
    ignore: tuple[str, ...] = _setting((), "Where nobody knows the truth: polygons like those of roi.")
    output: Path = _setting(Path("eval"), "Folder for metrics.json, windows.csv and report.html.")
    threshold: float | None = _setting(None, "A cell is dynamic from this probability on; default: the checkpoint's.")
    stride: int = _setting(3, "Frames between the starts of neighbouring windows.")
    fps: float = _setting(25.0, "Frame rate of frame folders, where the manifest gives none.")
    short_sequences: ShortSequences = _setting("skip", "Sequences shorter than a window: error, skip, repeat_last.")
    mask_min_share: float = _setting(0.02, "A cell with masks is dynamic where more than this share of it is.")
    false_cells: int = _setting(3, "A window in which nothing moves is false from so many hot cells on.")
    at_recall: float = _setting(0.95, "Precision is also given at the threshold that finds this share.")
    baselines: tuple[str, ...] = _setting(
        ("all",), "Methods to compare with: all, none, or of frame_difference mog2 knn optical_flow."
    )
    resamples: int = _setting(1000, "Draws of the bootstrap that gives the 95 % intervals.")
    recall: float | None = _setting(None, "Find the threshold that finds this share on val, and store it in weights.")
    calibrate: bool = _setting(
        False, "Fit temperature and offset on val, so that 0.5 means one half; stored in weights."
    )
    save_weights: Path | None = _setting(None, "Where recall and calibrate write their copy of the weights.")
    overwrite: bool = _setting(False, "Let save_weights replace a file; without it, the given weights.")
    engine: EngineName = _setting("auto", "What runs the network; auto: the fastest that is installed.")
    precision: DetectPrecision = _setting("auto", "Of the encoder; auto: bf16 where it changes next to nothing.")
    device: str = _setting("auto", "auto, cpu, cuda, mps, or cuda:N.")

    def __post_init__(self) -> None:
        _check_positive(self, "stride", "fps", "false_cells", "resamples")
        _check(0 <= self.mask_min_share < 1, f"mask_min_share must lie in [0, 1), got {self.mask_min_share}")
        for name in ("at_recall", "recall"):
            share = getattr(self, name)
            _check(share is None or 0 < share <= 1, f"{name} must be greater than 0 and at most 1, got {share}")
        _check(self.val_ratio is None or 0 < self.val_ratio < 1, f"val_ratio must lie in (0, 1), got {self.val_ratio}")
        if self.threshold is not None:
            check_threshold(self.threshold)
        self._check_inputs()
        self._check_tuning()
        known = {"all", "none", *get_args(BaselineName)}
        unknown = [name for name in self.baselines if name not in known]
        _check(not unknown, f"baselines must be of {', '.join(sorted(known))}, got {', '.join(unknown)}")
        _check(
            bool(self.baselines) and (len(self.baselines) == 1 or not {"all", "none"} & set(self.baselines)),
            f"baselines must be all, none, or names of methods, got {' '.join(self.baselines) or 'nothing'}",
        )

    def _check_inputs(self) -> None:
        """What belongs to one kind of input must not be given with the other: it would do nothing."""
        _check(
            (self.data_root is None) != (self.source is None),
            "evaluation needs either --data_root or --source with --truth",
        )
        if self.source is not None:
            _check(self.truth is not None, "--source needs --truth: a folder of masks, or a CSV or JSON file of events")
            foreign = {"split": "auto", "manifest": "data.csv", "val_ratio": None, "seed": None}
        else:
            foreign = {"truth": None}
        given = [name for name, default in foreign.items() if getattr(self, name) != default]
        kind = "--source" if self.source is not None else "--data_root"
        _check(not given, f"{', '.join(given)} has no meaning with {kind}: leave it out")

    def _check_tuning(self) -> None:
        wanted = [name for name in ("recall", "calibrate") if getattr(self, name)]
        if not wanted:
            useless = "save_weights" if self.save_weights is not None else "overwrite" if self.overwrite else ""
            _check(not useless, f"{useless} has no meaning without --recall or --calibrate: leave it out")
            return
        _check(
            self.source is None and self.split == "val",
            f"--{wanted[0]} learns from what it is given, so it needs validation data, --data_root D --split val: "
            "judge the result on other data afterwards",
        )
        _check(
            self.save_weights is not None or self.overwrite,
            f"--{wanted[0]} changes weights: name a file with --save_weights, or let --overwrite change the given one",
        )

    @property
    def baseline_names(self) -> tuple[BaselineName, ...]:
        """The methods to compare with."""
        known: tuple[BaselineName, ...] = get_args(BaselineName)
        return known if self.baselines == ("all",) else tuple(name for name in known if name in self.baselines)


@dataclass(frozen=True)
class SynthesizeConfig:
    """A synthetic data set."""

    output: Path = _setting(Path("data/synthetic"), "New folder for the data set.")
    num_train: int = _setting(200, "Synthetic sequences for training, half of them dynamic; 0, or at least 2.")
    num_val: int = _setting(40, "The same for validation.")
    num_test: int = _setting(40, "The same for tests.")
    num_frames: int = _setting(40, "Frames per sequence.")
    size: tuple[int, int] = _setting((320, 320), "Height and width of the frames, at least 64 each.")
    backgrounds: Path | None = _setting(
        None, "Folder of images and videos that half of the scenes are parts of; default: all scenes are painted."
    )
    recordings: Path | None = _setting(None, "Folder of videos by fixed cameras, to cut num_recordings sequences from.")
    num_recordings: int = _setting(0, "Training sequences cut out of recordings, besides num_train; masks are found.")
    severity: float = _setting(1.0, "How much light, noise, shake and compression spoil the frames, 0 to 1.")
    fps: float = _setting(25.0, "Frame rate that the manifest gives.")
    seed: int = _setting(0, "Decides every pixel.")
    num_workers: int = _setting(2, "Processes that make sequences; 0: none beside the main one.")

    def __post_init__(self) -> None:
        _check_positive(self, "fps")
        _check_not_negative(self, "seed", "num_workers")
        _check(self.seed <= 1 << 40, f"seed must be at most 2**40, got {self.seed}")


@dataclass(frozen=True)
class ExportConfig:
    """An export of weights to another format."""

    format: Literal["auto", "safetensors", "onnx", "openvino"] = _setting(
        "auto", "safetensors: one file; onnx, openvino: a folder of graphs; auto: by the output's ending."
    )
    target_size: tuple[int, int] | None = _setting(
        None, "Frame size of detection, where training saw parts of larger frames; default: that of training."
    )
    int8: bool = _setting(False, "Convolutions of the encoder in int8; needs calibration.")
    calibration: str | None = _setting(None, "Source, as for detect, on which int8 is calibrated and judged.")
    max_ap_loss: float = _setting(0.005, "Refuse int8 that loses more of the average precision than this.")

    def __post_init__(self) -> None:
        if self.target_size is not None:
            check_target_size(self.target_size)
        _check(0 < self.max_ap_loss <= 1, f"max_ap_loss must be greater than 0 and at most 1, got {self.max_ap_loss}")
        _check(
            self.int8 == (self.calibration is not None),
            "--int8 needs --calibration SOURCE, footage as it will be seen: frame folder, video or glob"
            if self.int8
            else "calibration has no meaning without --int8: leave it out",
        )
        _check(
            not self.int8 or self.format in get_args(GraphFormat),
            f"--int8 needs --format onnx or openvino, got {self.format}",
        )
        _check(
            self.int8 or self.max_ap_loss == ExportConfig.max_ap_loss,
            "max_ap_loss has no meaning without --int8: leave it out",
        )


def check_threshold(threshold: float) -> None:
    """Raise ConfigError unless `threshold` is a usable probability."""
    _check(0 < threshold < 1, f"threshold must lie between 0 and 1, got {threshold}")


def check_target_size(size: tuple[int, int]) -> None:
    """Raise ConfigError unless height and width are positive multiples of 32, and no larger than images may be."""
    if all(side > 0 and side % CELL_SIZE == 0 for side in size):
        megapixels = MAX_IMAGE_PIXELS // 10**6
        _check(
            size[0] * size[1] <= MAX_IMAGE_PIXELS,
            f"target_size must hold at most {megapixels} megapixels, got {tuple(size)}: use (640, 640)",
        )
        return
    below = tuple(max(1, side // CELL_SIZE) * CELL_SIZE for side in size)
    above = tuple(max(1, -(-side // CELL_SIZE)) * CELL_SIZE for side in size)
    raise ConfigError(f"target_size must be multiples of {CELL_SIZE}, got {tuple(size)}: use {below} or {above}")


def _check_positive(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _check(value > 0, f"{name} must be greater than 0, got {value}")


def _check_not_negative(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _check(value >= 0, f"{name} must not be negative, got {value}")
