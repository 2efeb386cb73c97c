from dataclasses import replace

import pytest
import torch

from convlstm.config import Differences
from convlstm.errors import ConfigError
from convlstm.models.average import average_checkpoints
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier

pytestmark = pytest.mark.pure


def checkpoint(seed: int, threshold: float = 0.5, differences: Differences = "frame") -> Checkpoint:
    torch.manual_seed(seed)
    model = TemporalClassifier(stem="motion", differences=differences)
    metrics = {"cell_ap": 0.9}
    return Checkpoint(model.state_dict(), model.config, 4, (64, 96), threshold, 25, metrics=metrics, digest=str(seed))


def test_every_weight_is_the_mean_and_the_rest_is_of_the_first() -> None:
    a, b, c = (checkpoint(seed, threshold=0.3 + seed / 10) for seed in range(3))
    mean = average_checkpoints({"a": a, "b": b, "c": c})
    assert set(mean.weights) == set(a.weights)
    for name, weight in mean.weights.items():
        torch.testing.assert_close(weight, (a.weights[name] + b.weights[name] + c.weights[name]) / 3)
        assert weight.dtype == torch.float32
    assert (mean.model, mean.seq_length, mean.target_size, mean.threshold) == (a.model, 4, (64, 96), 0.3)
    assert (mean.metrics, mean.digest) == (None, "")  # both are of other weights


def test_the_mean_of_one_is_the_same_to_the_last_bit() -> None:
    a = checkpoint(0)
    assert all(torch.equal(weight, a.weights[name]) for name, weight in average_checkpoints({"a": a}).weights.items())


def test_only_weights_of_one_network_have_a_mean() -> None:
    a = checkpoint(0)
    for other in (checkpoint(1, differences="local"), replace(checkpoint(1), seq_length=5)):
        with pytest.raises(ConfigError, match=r"^b\.pth holds another network than a\.pth: only weights of one can be"):
            average_checkpoints({"a.pth": a, "b.pth": other})
