from dataclasses import replace

import numpy as np
import pytest
import torch

from convlstm.errors import DataError
from convlstm.export.parity import heatmaps_of, measure_ap_loss, measure_parity, synthetic_clip
from convlstm.inference.engines.torch import TorchEngine
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.types import Frame


def make_engine(change: float = 0.0, threshold: float = 0.5, noise: float = 0.0) -> TorchEngine:
    """`change` is added to all logits."""
    torch.manual_seed(0)
    model = TemporalClassifier(stem="motion")
    with torch.no_grad():
        model.final_classifier.weight.mul_(10)
        assert model.final_classifier.bias is not None
        model.final_classifier.bias.add_(change)
        for parameter in model.encoder.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    checkpoint = Checkpoint(model.state_dict(), model.config, 4, (64, 96), threshold, fps=25)
    return TorchEngine(checkpoint, device="cpu")


def clip() -> list[Frame]:
    return [Frame(pixels, i, i / 25) for i, pixels in enumerate(synthetic_clip(19, (64, 96)))]


def middle_threshold() -> float:
    return float(np.median([heatmap.probabilities for heatmap in heatmaps_of(make_engine(), clip())]))


def test_the_clip_is_always_the_same_and_moves() -> None:
    frames = synthetic_clip(19, (64, 96))
    assert frames.shape == (19, 64, 96, 3) and frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, synthetic_clip(19, (64, 96)))
    assert all((frames[i] != frames[i + 1]).mean() > 0.5 for i in range(18))


def test_parity_is_the_largest_difference() -> None:
    assert measure_parity(make_engine(), make_engine()) == 0
    wanted = max(
        np.abs(a.probabilities - b.probabilities).max()
        for a, b in zip(heatmaps_of(make_engine(), clip()), heatmaps_of(make_engine(0.3), clip()), strict=True)
    )
    assert measure_parity(make_engine(), make_engine(0.3)) == pytest.approx(float(wanted), abs=1e-6) and wanted > 0.01


def test_ap_loss_is_about_order_not_about_level() -> None:
    reference = make_engine(threshold=middle_threshold())
    assert measure_ap_loss(reference, reference, clip(), "clip") == pytest.approx(0, abs=1e-3)
    assert measure_ap_loss(reference, make_engine(0.5), clip(), "clip") == pytest.approx(0, abs=1e-3)
    assert measure_ap_loss(reference, make_engine(noise=0.2), clip(), "clip") > 0.05


@pytest.mark.parametrize(("threshold", "which"), [(0.999999, "no"), (1e-6, "all")])
def test_footage_that_tells_nothing(threshold: float, which: str) -> None:
    with pytest.raises(DataError, match=f"yard: {which} cells of it are dynamic to these weights"):
        measure_ap_loss(make_engine(threshold=threshold), make_engine(), clip(), "yard")


def test_windows_of_frames_that_come_one_by_one() -> None:
    found = list(heatmaps_of(make_engine(), iter(clip()), stride=2))
    assert [heatmap.first_frame for heatmap in found] == list(range(0, 16, 2))
    assert replace(found[0]).last_frame == 3
