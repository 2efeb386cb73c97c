"""What the settings are made of: fields with a help text, names of choices, checks that say what was expected."""

from dataclasses import field
from typing import Any, Literal

from convlstm.errors import ConfigError
from convlstm.types import CELL_SIZE

Stem = Literal["rgb", "motion"]
Differences = Literal["frame", "local", "both"]
Unhalved = Literal["first", "last"]
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


def setting(default: Any, help: str) -> Any:
    """A field of a settings class, with the help text that the command line shows."""
    return field(default=default, metadata={"help": help})


def check(condition: bool, message: str) -> None:
    """Raise ConfigError with `message` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


def default_of(config: Any, name: str) -> Any:
    """Default of the field `name`."""
    return type(config).__dataclass_fields__[name].default


def check_threshold(threshold: float) -> None:
    """Raise ConfigError unless `threshold` is a usable probability."""
    check(0 < threshold < 1, f"threshold must lie between 0 and 1, got {threshold}")


def check_target_size(size: tuple[int, int]) -> None:
    """Raise ConfigError unless height and width are positive multiples of 32, and no larger than images may be."""
    if all(side > 0 and side % CELL_SIZE == 0 for side in size):
        megapixels = MAX_IMAGE_PIXELS // 10**6
        check(
            size[0] * size[1] <= MAX_IMAGE_PIXELS,
            f"target_size must hold at most {megapixels} megapixels, got {tuple(size)}: use (640, 640)",
        )
        return
    below = tuple(max(1, side // CELL_SIZE) * CELL_SIZE for side in size)
    above = tuple(max(1, -(-side // CELL_SIZE)) * CELL_SIZE for side in size)
    raise ConfigError(f"target_size must be multiples of {CELL_SIZE}, got {tuple(size)}: use {below} or {above}")


def check_positive(config: object, *names: str) -> None:
    """Raise ConfigError unless all of these fields are greater than 0."""
    for name in names:
        value = getattr(config, name)
        check(value > 0, f"{name} must be greater than 0, got {value}")


def check_not_negative(config: object, *names: str) -> None:
    """Raise ConfigError where one of these fields is below 0."""
    for name in names:
        value = getattr(config, name)
        check(value >= 0, f"{name} must not be negative, got {value}")
