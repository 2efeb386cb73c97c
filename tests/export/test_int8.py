import numpy as np
import pytest
import torch

from convlstm.config import Stem
from convlstm.export.int8 import PERCENTILE, calibrate
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.types import UInt8Array


def make_checkpoint(stem: Stem) -> Checkpoint:
    torch.manual_seed(0)
    model = TemporalClassifier(stem=stem)
    return Checkpoint(model.state_dict(), model.config, 4, (64, 96), threshold=0.5, fps=25)


def frames_of(seed: int, high: int = 256) -> UInt8Array:
    return np.random.RandomState(seed).randint(0, high, (3, 64, 96, 3)).astype(np.uint8)


def test_scales_cover_what_the_layers_give() -> None:
    checkpoint = make_checkpoint("rgb")
    scales = calibrate(checkpoint, [frames_of(0)]).activations
    values = torch.from_numpy(frames_of(0)).permute(0, 3, 1, 2).float() / 255
    layers = list(checkpoint.build_model().encoder)
    assert len(scales) == 4
    with torch.inference_mode():
        for i, scale in enumerate(scales):
            values = layers[2 * i + 1](layers[2 * i](values))
            wanted = max(np.percentile(frame.numpy(), PERCENTILE) for frame in values)
            assert scale * 255 == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("stem", ["rgb", "motion"])
def test_the_largest_of_all_stretches_counts(stem: Stem) -> None:
    checkpoint = make_checkpoint(stem)
    one, other = (np.array(calibrate(checkpoint, [frames_of(seed)]).activations) for seed in (1, 2))
    both = np.array(calibrate(checkpoint, [frames_of(1), frames_of(2)]).activations)
    np.testing.assert_allclose(both, np.maximum(one, other), rtol=1e-6)


def test_nothing_seen_still_gives_usable_scales() -> None:
    assert all(scale > 0 for scale in calibrate(make_checkpoint("rgb"), []).activations)
