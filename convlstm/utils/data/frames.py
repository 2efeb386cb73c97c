"""Resized frames and mask shares of sequences, straight from the files; `cache.py` offers the same from what it keeps.

Shapes: N frames, H W pixels of the frame as the network sees it (`TrainConfig.frame_size`), MH MW blocks of the mask:
target_size / 8.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from convlstm.clips import mask_share, resize_frame
from convlstm.errors import DataError
from convlstm.sources.images import read_mask
from convlstm.types import CELL_SIZE, Float16Array, UInt8Array
from convlstm.utils.data.sequences import LabelledSequence

MASK_BLOCK = 8
"""Masks are kept as the share of dynamic pixels per block of 8x8 pixels of target_size."""

BLOCKS_PER_CELL = CELL_SIZE // MASK_BLOCK


class FrameStore(Protocol):
    """Where the dataset takes frames from."""

    def read(self, sequence: int, span: range, frames: UInt8Array, shares: Float16Array) -> dict[int, str]:
        """Fill `frames` uint8 (N, H, W, 3) RGB and `shares` float16 (N, MH, MW) with those of frames `span`.

        `span` lies inside one gapless run of the sequence at that place. Shares in [0, 1], NaN where the sequence has
        no masks. Returns a reason for each index that cannot be read, whose frame is black and whose shares are NaN.
        """


class FrameDecoder:
    """Decodes whatever is asked for, every time anew."""

    def __init__(self, sequences: Sequence[LabelledSequence], size: tuple[int, int], downsample: int = 1) -> None:
        self.sequences = list(sequences)
        self.size = size
        self.downsample = downsample

    def read(self, sequence: int, span: range, frames: UInt8Array, shares: Float16Array) -> dict[int, str]:
        """As `FrameStore.read`."""
        opened = self.sequences[sequence]
        try:
            for place, pixels in enumerate(opened.source.read(span)):
                frames[place] = resize_frame(pixels, self.size, self.downsample)
            unreadable = {}
        except DataError:  # one of them: find out which
            unreadable = self._read_one_by_one(opened, span, frames)
        for place, index in enumerate(span):
            try:
                shares[place] = np.nan if index in unreadable else read_shares(opened, index, self.size)
            except DataError as error:
                unreadable[index] = str(error)
                frames[place], shares[place] = 0, np.nan
        return unreadable

    def _read_one_by_one(self, opened: LabelledSequence, span: range, frames: UInt8Array) -> dict[int, str]:
        unreadable = {}
        for place, index in enumerate(span):
            try:
                frames[place] = resize_frame(opened.source.read([index])[0], self.size, self.downsample)
            except DataError as error:
                frames[place] = 0
                unreadable[index] = str(error)
        return unreadable


def read_shares(sequence: LabelledSequence, index: int, size: tuple[int, int]) -> Float16Array | float:
    """Mask shares of one frame, float16 (MH, MW) in [0, 1]; NaN where the sequence has no masks.

    Raises DataError where the mask cannot be read.
    """
    file = sequence.mask_file(index)
    if file is None:
        return np.nan
    return mask_share(read_mask(file), (size[0] // MASK_BLOCK, size[1] // MASK_BLOCK)).astype(np.float16)
