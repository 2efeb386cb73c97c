"""The values that travel through the package.

Shape legend, used in every module: B batch, T time (frames of a window), C channels, H W pixels, GH GW cells
(GH = H / 32, GW = W / 32), N frames or windows, K classes. Row 0 is the top of the picture.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CELL_SIZE = 32
"""Side of one cell, in pixels of the resized frame: five convolutions of stride 2."""

UInt8Array = NDArray[np.uint8]
UInt16Array = NDArray[np.uint16]
Float16Array = NDArray[np.float16]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True, repr=False)
class Frame:
    """One image of a source.

    `pixels` uint8 RGB (H, W, 3); `index` counts from 0 in the source's own rhythm, so that a missing frame leaves a
    gap; `pts_seconds` is the presentation time.
    """

    pixels: UInt8Array
    index: int
    pts_seconds: float

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise ValueError(f"pixels must be uint8 (H, W, 3), got {self.pixels.dtype} {self.pixels.shape}")
        if self.index < 0:
            raise ValueError(f"index must be >= 0, got {self.index}")

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        return f"Frame({width}x{height}, index={self.index}, pts_seconds={self.pts_seconds:.3f})"


@dataclass(frozen=True, repr=False)
class Heatmap:
    """What the network says about one window.

    `probabilities` float32 (GH, GW) in [0, 1]; `first_frame` and `last_frame` (inclusive) are indices of the source,
    `start_seconds` and `end_seconds` their presentation times. `class_probabilities`, one per class, is about the
    window as a whole.
    """

    probabilities: Float32Array
    first_frame: int
    last_frame: int
    start_seconds: float
    end_seconds: float
    class_probabilities: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.probabilities.dtype != np.float32 or self.probabilities.ndim != 2:
            raise ValueError(
                f"probabilities must be float32 (GH, GW), got {self.probabilities.dtype} {self.probabilities.shape}"
            )
        if self.last_frame < self.first_frame:
            raise ValueError(f"last_frame {self.last_frame} lies before first_frame {self.first_frame}")

    def __repr__(self) -> str:
        rows, columns = self.probabilities.shape
        return (
            f"Heatmap({rows}x{columns} cells, frames {self.first_frame}-{self.last_frame}, "
            f"{self.start_seconds:.3f}-{self.end_seconds:.3f} s, max={float(self.probabilities.max()):.3f})"
        )


@dataclass(frozen=True)
class Event:
    """A stretch of time in which a region stays dynamic.

    `box` is (x1, y1, x2, y2), normalised to [0, 1]: all cells that belonged to the region at some time.
    """

    start_frame: int
    end_frame: int
    start_seconds: float
    end_seconds: float
    peak_probability: float
    box: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        x1, y1, x2, y2 = self.box
        if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
            raise ValueError(f"box must be normalised (x1, y1, x2, y2), got {self.box}")
        if self.end_frame < self.start_frame:
            raise ValueError(f"end_frame {self.end_frame} lies before start_frame {self.start_frame}")
