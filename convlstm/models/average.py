"""One set of weights in the middle of several: it keeps most of what each of them knows."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from convlstm.errors import ConfigError
from convlstm.models.checkpoint import Checkpoint


def average_checkpoints(checkpoints: Mapping[str, Checkpoint]) -> Checkpoint:
    """The mean of each weight over checkpoints, by name, that began from the same weights; all else is the first's.

    Of networks that were trained on from common weights the middle is often better than either end on footage that
    neither saw (Wortsman et al. 2022, arXiv:2109.01903); of others it is useless. Raises ConfigError where networks
    or window lengths differ.
    """
    (first_name, first), *others = checkpoints.items()
    for name, other in others:
        if (other.model, other.seq_length) != (first.model, first.seq_length):
            raise ConfigError(f"{name} holds another network than {first_name}: only weights of one can be averaged")
    weights = {
        name: torch.stack([checkpoint.weights[name].double() for checkpoint in checkpoints.values()]).mean(0).float()
        for name in first.weights
    }
    return replace(first, weights=weights, metrics=None, training=None, digest="")
