"""One thing in one frame: its box and what of the box it fills, in a form that can be averaged over frames.

    mask in the frame       box in the frame + shape          shape: S x S, stretched to the box, 1 where the thing is
    ..........
    ...##.....              +----+      .##.
    ..####....      <-->    |    |   +  ####
    ..####....              +----+      ####

A thing that moves keeps its shape, so that the mean of two neighbours is the thing halfway between them, and not two
faint ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from convlstm.types import Float32Array, UInt8Array

SHAPE_SIDE = 128
"""Cells along each side of a shape: finer than the masks of a YOLO model, which has 160 for the whole frame."""

FloatBox = NDArray[np.float64]
"""x1 y1 x2 y2 in pixels of the frame."""


@dataclass(frozen=True)
class Instance:
    """A thing of a class in a frame.

    `shape` float32 (S, S) in [0, 1] is the share of each cell of the box that it fills; None: all of it. `confidence`
    in [0, 1] is the detector's; None where the detector missed the thing, and its neighbours in time tell where it is.
    `track` is the number of the thing, from 1, the same in all frames; 0: not known yet.
    """

    box: FloatBox
    class_id: int
    confidence: float | None
    shape: Float32Array | None = None
    track: int = 0


def shape_of(mask: NDArray[np.bool_], box: FloatBox) -> Float32Array:
    """The shape (S, S) of a mask (H, W) in its box."""
    rows, columns = box_slices(box, (mask.shape[0], mask.shape[1]))
    inside = mask[rows, columns].astype(np.float32)
    shrinks = min(inside.shape) >= SHAPE_SIDE
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(inside, (SHAPE_SIDE, SHAPE_SIDE), interpolation=method), dtype=np.float32)


def box_slices(box: FloatBox, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a frame of `size` = (height, width) that a box takes, at least one of each."""
    (x1, x2), (y1, y2) = (
        (start := min(max(round(float(box[low])), 0), length - 1), min(max(round(float(box[high])), start + 1), length))
        for low, high, length in ((0, 2, size[1]), (1, 3, size[0]))
    )
    return slice(y1, y2), slice(x1, x2)


def draw_mask(instances: Iterable[Instance], size: tuple[int, int]) -> UInt8Array:
    """Mask (H, W) of `size`, 255 where any of the instances is, 0 elsewhere."""
    mask = np.zeros(size, dtype=np.uint8)
    for instance in instances:
        rows, columns = box_slices(instance.box, size)
        if instance.shape is None:
            mask[rows, columns] = 255
            continue
        inside = mask[rows, columns]
        stretched = cv2.resize(instance.shape, inside.shape[::-1], interpolation=cv2.INTER_LINEAR)
        inside[stretched >= 0.5] = 255
    return mask


def mix(instances: "list[tuple[float, Instance]]", *, confidence: float | None) -> Instance:
    """The weighted mean, of box and shape, of instances of one thing; weights need not add up to 1."""
    total = sum(weight for weight, _ in instances)
    box = sum(weight / total * instance.box for weight, instance in instances)
    shapes = [(weight / total, instance.shape) for weight, instance in instances if instance.shape is not None]
    shape = sum(weight * shape for weight, shape in shapes) if shapes else None
    first = instances[0][1]
    mean_shape = None if shape is None else np.asarray(shape, dtype=np.float32)
    return Instance(np.asarray(box, dtype=np.float64), first.class_id, confidence, mean_shape, first.track)
