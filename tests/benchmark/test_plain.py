"""The baseline computes what our network computes, written another way."""

import numpy as np
import pytest
import torch

from convlstm.benchmark.plain import plain_heatmaps, plain_network
from convlstm.config import Differences, Stem, Unhalved
from convlstm.inference.engines.torch import TorchEngine
from convlstm.inference.stream import HeatmapStream
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.types import Frame

NETWORKS: list[tuple[Stem, Differences, tuple[str, ...]]] = [
    ("rgb", "frame", ("static", "dynamic")),
    ("motion", "frame", ("static", "dynamic", "negative")),
    ("motion", "local", ("static", "dynamic")),
    ("motion", "both", ("static", "dynamic")),
]


def make_model(
    stem: Stem,
    differences: Differences,
    classes: tuple[str, ...],
    downsample: int = 1,
    unhalved: Unhalved = "first",
) -> TemporalClassifier:
    torch.manual_seed(0)
    return TemporalClassifier(
        stem=stem, differences=differences, classes=classes, downsample=downsample, unhalved=unhalved
    )


@pytest.mark.parametrize(("downsample", "unhalved"), [(1, "first"), (2, "first"), (2, "last")])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: "-".join(network[:2]))
def test_the_plain_network_computes_what_ours_computes(
    network: tuple[Stem, Differences, tuple[str, ...]], downsample: int, unhalved: Unhalved
) -> None:
    model = make_model(*network, downsample, unhalved)
    plain = plain_network(model.config, model.state_dict())
    clips = torch.rand(2, 7 + model.config.num_context, 3, 64, 96)
    torch.testing.assert_close(plain(clips), model(clips, model.config.num_context), atol=1e-5, rtol=1e-4)
    first = plain.encoder[0].weight
    assert isinstance(first, torch.Tensor) and first.is_contiguous(), "plain means PyTorch's default layout"


@pytest.mark.parametrize("network", [NETWORKS[0], NETWORKS[2]], ids=["rgb", "motion"])
def test_its_windows_are_those_of_detection(network: tuple[Stem, Differences, tuple[str, ...]]) -> None:
    model = make_model(*network)
    frames = np.random.RandomState(0).randint(0, 256, (16, 64, 96, 3)).astype(np.uint8)
    plain = plain_network(model.config, model.state_dict())
    found = list(plain_heatmaps(plain, frames, seq_length=4, stride=3, device=torch.device("cpu")))
    checkpoint = Checkpoint(model.state_dict(), model.config, 4, (64, 96), threshold=0.5, fps=25)
    stream = HeatmapStream(TorchEngine(checkpoint, device="cpu"), stride=3)
    wanted = stream.process([Frame(pixels, i, 0.0) for i, pixels in enumerate(frames)])
    assert len(found) == len(wanted) == 5
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one[0], other.probabilities, atol=1e-5, rtol=0)
