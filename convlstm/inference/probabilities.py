"""Logits to probabilities, without torch: what every engine's output goes through.

Shapes: W windows, K output channels (1 for two classes, one per class for more), GH GW cells.
"""

import numpy as np

from convlstm.config import ModelConfig
from convlstm.types import Float32Array


def dynamic_probability(logits: Float32Array, config: ModelConfig) -> Float32Array:
    """Logits (W, K, GH, GW) to heatmaps (W, GH, GW), as `TemporalClassifier.dynamic_probability`."""
    if logits.shape[1] == 1:
        return _sigmoid(logits[:, 0])
    probabilities = _softmax(logits)
    index = config.dynamic_index
    return probabilities[:, index] if index is not None else np.float32(1) - probabilities[:, 0]


def class_probabilities(logits: Float32Array) -> Float32Array:
    """Logits (W, K, GH, GW) to (W, classes), about each window as a whole, as `clip_logits` and its softmax."""
    margins = logits if logits.shape[1] == 1 else logits[:, 1:] - logits[:, :1]
    highest = margins.max(axis=(2, 3))
    return _softmax(np.concatenate([np.zeros_like(highest[:, :1]), highest], axis=1))


def _sigmoid(logits: Float32Array) -> Float32Array:
    """1 / (1 + exp(-x)), which would overflow for large negative x in this form."""
    half = np.float32(0.5)
    return np.asarray(half + half * np.tanh(half * logits), dtype=np.float32)


def _softmax(logits: Float32Array) -> Float32Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)
