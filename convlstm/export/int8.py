"""What the encoder's values look like on given footage: the ranges that int8 needs.

Shapes: N frames, C channels, H W pixels.
"""

from collections.abc import Iterable

import numpy as np
import torch

from convlstm.export.graphs import Scales
from convlstm.models.checkpoint import Checkpoint
from convlstm.types import UInt8Array

PERCENTILE = 99.99
"""Of a layer's values in a frame: the rare ones above are cut off, so that the others are told apart more finely."""


def calibrate(checkpoint: Checkpoint, chunks: Iterable[UInt8Array]) -> Scales:
    """Static scales (Jacob et al. 2018, arXiv:1712.05877) from frames (N, H, W, 3) that follow each other.

    The lags of the motion stem reach back inside a chunk only.
    """
    model = checkpoint.build_model()
    layers = list(model.encoder)
    highest = np.full(len(layers) // 2 - 1, 1e-6)
    with torch.inference_mode():
        for frames in chunks:
            pixels = model.shrink(torch.from_numpy(frames).permute(0, 3, 1, 2))
            places = torch.arange(len(frames))
            lagged = (places[:, None] - torch.tensor(model.config.lags)).clamp(min=0)
            values, _ = model.features(pixels, places, lagged)
            for layer in range(len(highest)):
                values = layers[2 * layer + 1](layers[2 * layer](values))
                reached = np.percentile(values.numpy().reshape(len(frames), -1), PERCENTILE, axis=1).max()
                highest[layer] = max(highest[layer], float(reached))
    return Scales(tuple(float(value) / 255 for value in highest))
