"""Settings of the network and of its training."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from convlstm.config.fields import (
    Cache,
    Differences,
    Precision,
    ShortSequences,
    Stem,
    Unhalved,
    check,
    check_not_negative,
    check_positive,
    check_target_size,
    check_threshold,
    setting,
)


@dataclass(frozen=True)
class ModelConfig:
    """What decides the network's weights; saved in every checkpoint."""

    classes: tuple[str, ...] = setting(("static", "dynamic"), "Class names; in the first one nothing happens.")
    stem: Stem = setting("rgb", "rgb: frames as they are; motion: exposure taken out, differences added.")
    lags: tuple[int, ...] = setting((1, 3, 9), "How many frames back the motion stem looks.")
    differences: Differences = setting(
        "frame", "What light is taken out before: that of the whole frame, local light, or both, side by side."
    )
    downsample: int = setting(
        1, "Pixels each way that become one before the stem: 1, or 2, which is faster; cells stay 32x32 pixels."
    )
    unhalved: Unhalved = setting(
        "first", "With downsample 2: which convolution keeps its size; last: the encoder computes a third."
    )

    def __post_init__(self) -> None:
        check(
            len(self.classes) >= 2 and len(set(self.classes)) == len(self.classes) and all(self.classes),
            f"classes must be at least two different names, got {list(self.classes)}",
        )
        check(self.stem in get_args(Stem), f'stem must be "rgb" or "motion", got "{self.stem}"')
        check(
            self.differences in get_args(Differences),
            f'differences must be "frame", "local" or "both", got "{self.differences}"',
        )
        check(
            len(self.lags) > 0 and all(1 <= lag <= 256 for lag in self.lags) and len(set(self.lags)) == len(self.lags),
            f"lags must be different frame counts from 1 to 256, got {list(self.lags)}",
        )
        check(self.downsample in (1, 2), f"downsample must be 1 or 2, got {self.downsample}")
        check(self.unhalved in get_args(Unhalved), f'unhalved must be "first" or "last", got "{self.unhalved}"')
        check(
            self.unhalved == "first" or self.downsample == 2,
            "unhalved last needs downsample 2: with 1 every convolution halves",
        )

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the encoder's five convolutions: 32 with `downsample`, since cells are 32x32 pixels of the frame."""
        if self.downsample == 1:
            return (2, 2, 2, 2, 2)
        return (1, 2, 2, 2, 2) if self.unhalved == "first" else (2, 2, 2, 2, 1)

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

    augment: bool = setting(True, "Change training frames at random, all frames of a stretch alike.")
    aug_flip: float = setting(0.5, "Probability of left and right exchanged.")
    aug_flip_vertical: float = setting(0.0, "Probability of top and bottom exchanged.")
    aug_crop: float = setting(0.3, "Probability of a part of the frame, enlarged.")
    aug_brightness: float = setting(0.3, "Probability of other brightness.")
    aug_contrast: float = setting(0.3, "Probability of other contrast.")
    aug_colour: float = setting(0.2, "Probability of other saturation and white balance.")
    aug_blur: float = setting(0.1, "Probability of blur.")
    aug_noise: float = setting(0.2, "Probability of sensor noise, new in every frame.")
    aug_compression: float = setting(0.1, "Probability of JPEG-like compression.")
    aug_reverse: float = setting(0.2, "Probability of time running backwards.")
    aug_frame_drop: float = setting(0.1, "Probability of frames that are lost and shown as the one before.")
    aug_shake: float = setting(0.1, "Probability of a camera that trembles.")
    aug_clouds: float = setting(0.15, "Probability of shadows that wander, as of clouds.")
    aug_lights: float = setting(0.15, "Probability of lamps that go on, off, fade or flicker.")
    aug_exposure: float = setting(0.1, "Probability of exposure or white balance that changes while filming.")
    aug_actors: float = setting(0.0, "Probability of things, fire, smoke, water, foliage or screens drawn into it.")

    def __post_init__(self) -> None:
        for probability in fields(AugmentConfig):
            value = getattr(self, probability.name)
            check(0 <= value <= 1, f"{probability.name} must lie in [0, 1], got {value}")


@dataclass(frozen=True)
class TrainConfig(AugmentConfig, ModelConfig):
    """A training run; `training.yaml` lists every field with its meaning."""

    stem: Stem = setting("motion", "motion: exposure taken out, differences added; rgb: the original network.")
    data_root: Path = setting(Path("data"), "Folder that holds the manifest and the sequences.")
    manifest: str = setting("data.csv", "Manifest inside data_root: folder_name,type[,group,fps,split].")
    project: Path = setting(Path("runs/train"), "Where runs are kept.")
    name: str = setting("exp", "Name of the run; a number is added when it exists.")
    seq_length: int = setting(10, "Frames per window (T).")
    stride: int = setting(3, "Frames between the starts of neighbouring windows.")
    target_size: tuple[int, int] = setting((640, 640), "Height and width of the resized frame, multiples of 32.")
    short_sequences: ShortSequences = setting("error", "Sequences shorter than a window: error, skip, repeat_last.")
    fps: float = setting(25.0, "Frame rate of sequences for which the manifest gives none.")
    mask_min_share: float = setting(0.02, "A cell with masks is dynamic where more than this share of it is.")
    val_ratio: float = setting(0.2, "Share of the groups kept for validation, where the manifest does not say.")
    weights: str | None = setting(
        None, "First weights: shipped, or a weights file, which bring their network along; default: random."
    )
    epochs: int = setting(10, "Passes over the training windows.")
    batch_size: int = setting(16, "Windows per step, over all processes together.")
    accumulate: int = setting(1, "Parts in which a step is computed, one after another, to save memory.")
    windows_per_sample: int = setting(1, "Neighbouring windows drawn together, whose shared frames are encoded once.")
    optimizer: Literal["adam", "muon"] = setting(
        "adam", "adam, or muon: convolutions learn in orthogonal steps, often in fewer of them."
    )
    lr: float = setting(1e-4, "Learning rate.")
    weight_decay: float = setting(0.0, "Weight decay: added to the gradient by adam, beside the step by muon.")
    scheduler: Literal["plateau", "cosine", "none"] = setting("plateau", "Learning rate after the warm-up.")
    warmup_epochs: float = setting(0.5, "Epochs over which the learning rate rises from 0.")
    grad_clip: float = setting(1.0, "Largest norm of the gradient; 0 switches clipping off.")
    class_weighting: Literal["balanced", "none"] = setting("balanced", "Weigh classes by how rare their windows are.")
    positive_weight: float = setting(1.0, "Weight of dynamic cells against static ones, where masks exist.")
    hard_cell_weight: float = setting(0.0, "Weight of each window's worst cells beside the mean, where masks exist.")
    left_weight: float = setting(1.0, "Weight of still cells that something left just before the window.")
    ema: bool = setting(True, "Keep an exponential moving average of the weights, validate and save it.")
    ema_decay: float = setting(0.998, "Decay of that average per step.")
    early_stopping_patience: int = setting(10, "Stop after so many epochs without a better val_loss; 0: never.")
    threshold: float = setting(
        0.5, "Probability from which a cell or window counts as dynamic; saved with the weights."
    )
    checkpoint_steps: int = setting(0, "Save last.pth every so many steps, beside every epoch's end; 0: never.")
    checkpoint_minutes: float = setting(5.0, "Save last.pth after so many minutes, too; 0: never.")
    report_interval: int = setting(5, "Write report.html every so many epochs, and at the end; 0: never.")
    tensorboard: bool = setting(True, "Write TensorBoard events.")
    device: str = setting("auto", "auto, cpu, cuda, mps, or cuda:N.")
    precision: Precision = setting("auto", "auto: bf16 where the hardware has it, float32 elsewhere.")
    devices: int = setting(1, "Processes on this machine, one per device; torchrun and Slurm tell it themselves.")
    num_nodes: int = setting(1, "Machines that train together.")
    compile: bool = setting(False, "Compile the network with torch.compile.")
    cache: Cache = setting("none", "Resized frames kept: disk, ram, or none, where every window is decoded anew.")
    cache_dir: Path | None = setting(None, "Folder of the disk cache; default: .convlstm_cache in data_root.")
    num_workers: int = setting(2, "Processes that load data; 0: none beside the main one.")
    seed: int = setting(0, "Seed of the split, the order and the first weights.")

    def __post_init__(self) -> None:
        ModelConfig.__post_init__(self)
        AugmentConfig.__post_init__(self)
        check(
            self.aug_actors == 0 or self.classes[1:] == ("dynamic",),
            f"aug_actors draws what moves and needs classes [static, dynamic], got {list(self.classes)}: set it to 0",
        )
        check_positive(self, "seq_length", "stride", "epochs", "batch_size", "lr", "fps")
        check_positive(self, "positive_weight", "left_weight")
        check_positive(self, "accumulate", "windows_per_sample", "devices", "num_nodes")
        check_not_negative(self, "weight_decay", "warmup_epochs", "grad_clip", "early_stopping_patience")
        check_not_negative(self, "hard_cell_weight")
        check_not_negative(self, "report_interval", "num_workers", "seed", "checkpoint_steps", "checkpoint_minutes")
        check(self.seed <= 1 << 40, f"seed must be at most 2**40, got {self.seed}")
        check_target_size(self.target_size)
        check(0 < self.val_ratio < 1, f"val_ratio must lie between 0 and 1, got {self.val_ratio}")
        check(0 < self.ema_decay < 1, f"ema_decay must lie between 0 and 1, got {self.ema_decay}")
        check(0 <= self.mask_min_share < 1, f"mask_min_share must lie in [0, 1), got {self.mask_min_share}")
        check_threshold(self.threshold)
        check(
            self.name not in ("", "..") and Path(self.name).name == self.name,
            f'name must be a plain folder name, got "{self.name}": put the path into project',
        )

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of the frames that training loads: what the network sees of `target_size`."""
        return self.target_size[0] // self.downsample, self.target_size[1] // self.downsample

    def model_config(self) -> ModelConfig:
        """The part that decides the network."""
        return ModelConfig(**{setting.name: getattr(self, setting.name) for setting in fields(ModelConfig)})
