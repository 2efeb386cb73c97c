"""What the tools ask of a detector, and which of its classes are meant.

`supervision.Detections` of a frame: `xyxy` (N, 4) in pixels of the frame, `confidence` and `class_id` (N,), `mask`
bool (N, H, W) where masks were asked for.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from convlstm.errors import ConfigError
from convlstm.types import UInt8Array

if TYPE_CHECKING:
    import supervision as sv


@dataclass(frozen=True)
class DetectionSettings:
    """What is to be found, and by what.

    Of `classes`, names or numbers (none named: all), what has at least `confidence`; boxes of one class that overlap by
    more than `iou` count as one. With its mask where `masks` are wanted. `num_threads` is that of the CPU, 0 leaves it
    to the library.
    """

    weights: Path
    confidence: float
    iou: float
    classes: tuple[str, ...] = ()
    masks: bool = False
    device: str = "auto"
    num_threads: int = 0


class Detector(Protocol):
    """Finds things in frames. `names` are those of its classes by number, empty where nobody knows them."""

    names: Mapping[int, str]

    def detect(self, frames: Sequence[UInt8Array]) -> "Iterator[sv.Detections]":
        """What is in each of the RGB frames (H, W, 3), all of one size, in their order."""


def choose_classes(wanted: Sequence[str], names: Mapping[int, str]) -> tuple[int, ...] | None:
    """Numbers of the classes that a user names, by name (capitals do not count) or number; None, all, for none named.

    Raises ConfigError for a class that the model has not.
    """
    if not wanted:
        return None
    numbers = {name.casefold(): number for number, name in names.items()}
    chosen = set()
    for word in wanted:
        if word.casefold() in numbers:
            chosen.add(numbers[word.casefold()])
        elif word.isdecimal() and (not names or int(word) in names):
            chosen.add(int(word))
        else:
            raise ConfigError(f'the model knows no class "{word}": {_advice(word, names)}')
    return tuple(sorted(chosen))


def _advice(word: str, names: Mapping[int, str]) -> str:
    if not names:
        return "its file holds no names: give numbers"
    nearest = difflib.get_close_matches(word, names.values(), n=1)
    known = ", ".join(f"{number} {name}" for number, name in list(names.items())[:20])
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return (f'did you mean "{nearest[0]}"? ' if nearest else "") + f"known are {known}{more}"
