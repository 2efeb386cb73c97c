"""What every source offers, whatever is behind it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from convlstm.types import Frame, UInt8Array


@dataclass
class Damage:
    """What could not be used, with names, so that nothing is left out in silence.

    `unreadable` names frames that gave no pixels; `num_concealed` counts frames whose errors the decoder painted over;
    `gaps` names places where frames are missing from the source itself.
    """

    unreadable: list[str] = field(default_factory=list)
    num_concealed: int = 0
    gaps: list[str] = field(default_factory=list)

    @property
    def is_incomplete(self) -> bool:
        """Whether a part of what was given could not be used."""
        return bool(self.unreadable or self.num_concealed)

    def describe(self, decoded: int) -> str:
        """One line; empty where all is well."""
        parts = []
        if self.unreadable:
            expected = decoded + len(self.unreadable)
            parts.append(f"decoded {decoded} of {expected} frames; unreadable: {name_some(self.unreadable)}")
        if self.num_concealed:
            parts.append(f"{self.num_concealed} of {decoded} decoded frames are damaged")
        if self.gaps:
            parts.append(f"{name_some(self.gaps, 3)}: no window spans a gap")
        return "; ".join(parts)


def name_some(names: Sequence[str], limit: int = 5) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


class Source(ABC):
    """Frames in time order.

    `name` is what the user called it. Iterating gives every frame that can be decoded; the others are named in `damage`
    and leave a gap in the frames' `index`, so that no window ever spans them.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.damage = Damage()

    @property
    @abstractmethod
    def num_frames(self) -> int | None:
        """How many frames are to be expected; None where nobody knows."""

    @property
    @abstractmethod
    def fps(self) -> float:
        """Nominal frames per second."""

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Decode from the start. Raises DataError where nothing can be read at all."""

    def place(self, index: int) -> int:
        """The number, in what the user gave, of the frame given out as `index`: another where frames are left out."""
        return index

    def num_decoded(self, num_given: int) -> int:
        """How many frames were decoded where `num_given` were given out."""
        return num_given


class SeekableSource(Source):
    """A source of known length whose frames can be read in any order: what training needs."""

    @property
    @abstractmethod
    def runs(self) -> list[range]:
        """Gapless stretches of frame indices."""

    @abstractmethod
    def read(self, indices: Sequence[int]) -> list[UInt8Array]:
        """RGB frames (H, W, 3) of increasing `indices`; repeated ones are decoded once.

        Raises DataError where one cannot be decoded.
        """
