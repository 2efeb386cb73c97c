"""The worst windows of an evaluation, few enough to keep their pictures.

Shapes: H W pixels of the resized frame, GH GW cells.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from convlstm.evaluation.truth import WindowTruth
from convlstm.types import Float32Array, Heatmap, UInt8Array


@dataclass(frozen=True, repr=False, eq=False)  # arrays have no single answer to whether they are equal
class WorstWindow:
    """A window of a sequence, with its last frame, uint8 RGB (H, W, 3), and what to draw over it.

    `size` is the frame's (height, width) before it was resized; `error` orders windows, worst highest: from 1 on
    the window is a mistake, below it only came near to one.
    """

    sequence: str
    error: float
    heatmap: Heatmap
    truth: WindowTruth
    pixels: UInt8Array
    size: tuple[int, int]

    @property
    def is_mistake(self) -> bool:
        """Whether the window was decided wrongly."""
        return self.error >= 1

    def overlaps(self, other: "WorstWindow") -> bool:
        """Whether both show some of the same frames."""
        a, b = self.heatmap, other.heatmap
        return self.sequence == other.sequence and a.first_frame <= b.last_frame and b.first_frame <= a.last_frame


def false_alarm_error(heatmap: Float32Array, threshold: float, region: NDArray[np.bool_], false_cells: int) -> float:
    """How wrong a heatmap (GH, GW) is where nothing moves: hot cells as a share of those that make a window false.

    Below 1 by the highest probability, too, so that near misses are in order.
    """
    num_hot = int((heatmap[region] >= np.float32(threshold)).sum())
    if num_hot >= false_cells:
        return num_hot / false_cells
    return (num_hot + float(heatmap[region].max())) / (false_cells + 1)


def missed_error(heatmap: Float32Array, threshold: float, truth: WindowTruth, region: NDArray[np.bool_]) -> float:
    """How wrong a heatmap (GH, GW) is where something moves: the number of dynamic cells, where none is found.

    Where one is found, less than 1: what the highest probability lacks.
    """
    highest = float(np.max(heatmap, where=truth.not_static & region, initial=0.0))
    if np.float32(highest) >= np.float32(threshold):
        return 1 - highest - 1e-6
    return 1 + int((truth.cells == 1).sum()) * (1 - highest)


@dataclass
class WorstWindows:
    """Keeps the `limit` worst of all that are offered, at most `per_sequence` of one sequence, none overlapping."""

    limit: int
    per_sequence: int
    kept: list[WorstWindow] = field(default_factory=list)

    def wants(self, error: float) -> bool:
        """Whether a window of that error may be kept, so that others need not be made."""
        return len(self.kept) < self.limit or error > self.kept[-1].error

    def offer(self, window: WorstWindow) -> None:
        """Keep it, if it is among the worst."""
        overlapping = [kept for kept in self.kept if kept.overlaps(window)]
        if any(kept.error >= window.error for kept in overlapping):
            return
        self.kept = [kept for kept in self.kept if kept not in overlapping]
        of_sequence = [kept for kept in self.kept if kept.sequence == window.sequence]
        if len(of_sequence) >= self.per_sequence:
            least = min(of_sequence, key=lambda kept: kept.error)
            if least.error >= window.error:
                return
            self.kept.remove(least)
        self.kept = sorted([*self.kept, window], key=lambda kept: -kept.error)[: self.limit]
