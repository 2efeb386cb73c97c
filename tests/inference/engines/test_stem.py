"""The stem by OpenCV gives what the stem of the network gives."""

from collections import deque
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.config import Differences, ModelConfig
from convlstm.inference.engines import stem
from convlstm.inference.engines.openvino import LOST, pack_bf16
from convlstm.inference.engines.stem import FrameStem, Greys
from convlstm.models import stem as network
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.types import Float32Array, UInt8Array

pytestmark = pytest.mark.pure

SIZE = (64, 96)


def test_constants_are_those_of_the_network() -> None:
    assert stem.CONTRAST_FLOOR == network.CONTRAST_FLOOR * 255
    assert (stem.NEIGHBOURHOOD, stem.LOCAL_FLOOR) == (network.NEIGHBOURHOOD, network.LOCAL_FLOOR)


def clip_of(seed: int, num_frames: int, low: int, span: int) -> UInt8Array:
    """Frames (T, H, W, 3): blotches that change a little, from flat ones to full contrast."""
    random = np.random.RandomState(seed)
    coarse = random.rand(num_frames, SIZE[0] // 8, SIZE[1] // 8, 3).cumsum(axis=0) % 1
    blotches = np.kron(coarse, np.ones((1, 8, 8, 1))) * span + low + random.rand(num_frames, *SIZE, 3) * 3
    return blotches.clip(0, 255).astype(np.uint8)


def features_of(config: ModelConfig, frames: UInt8Array, amplify: float = 1.0) -> tuple[Float32Array, deque[Greys]]:
    """Features (T, C, H, W), frame by frame, and the greys that are kept."""
    in_opencv, earlier = FrameStem(config, SIZE, amplify=amplify), deque[Greys](maxlen=config.num_context)
    num_features = TemporalClassifier(config).state_dict()["encoder.0.weight"].shape[1]
    size = (SIZE[0] // config.downsample, SIZE[1] // config.downsample)
    features = np.full((len(frames), num_features, *size), np.nan, np.float32)
    for frame, out in zip(frames, features, strict=True):
        in_opencv(frame, earlier, out)
    return features, earlier


@given(
    seed=st.integers(0, 99),
    low=st.integers(0, 255),
    span=st.integers(0, 255),
    lags=st.sets(st.integers(1, 6), min_size=1, max_size=3).map(lambda lags: tuple(sorted(lags))),
    differences=st.sampled_from(get_args(Differences)),
    downsample=st.sampled_from([1, 2]),
)
@settings(max_examples=40)
def test_motion_features_equal_those_of_the_network(
    seed: int, low: int, span: int, lags: tuple[int, ...], differences: Differences, downsample: int
) -> None:
    frames = clip_of(seed, 8, low, span)
    config = ModelConfig(stem="motion", lags=lags, differences=differences, downsample=downsample)
    found, earlier = features_of(config, frames)
    lagged = torch.tensor([[max(0, index - lag) for lag in lags] for index in range(8)])
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)
    model = TemporalClassifier(config)
    wanted, greys = model.features(model.shrink(pixels), torch.arange(8), lagged)
    assert greys is not None
    np.testing.assert_allclose(found, wanted.numpy(), atol=2e-4, rtol=0)
    assert len(earlier) == max(lags) and len(earlier[-1]) == network.num_differences(differences)
    np.testing.assert_allclose(np.stack(earlier[-1]), greys[-1].numpy(), atol=2e-4, rtol=0)


def test_shrunk_frames_are_exactly_those_of_the_network() -> None:
    frames = np.random.RandomState(3).randint(0, 256, (3, *SIZE, 3)).astype(np.uint8)
    found, _ = features_of(ModelConfig(stem="rgb", downsample=2), frames)
    for pixels in (torch.from_numpy(frames), torch.from_numpy(frames) / 255):
        shrunk = network.to_unit_range(network.shrink(pixels.permute(0, 3, 1, 2), 2))
        np.testing.assert_allclose(found, shrunk.numpy(), atol=1e-6, rtol=0)


def test_rgb_features_are_frames_in_the_unit_range() -> None:
    frames = clip_of(0, 3, 0, 255)
    found, _ = features_of(ModelConfig(stem="rgb"), frames)
    np.testing.assert_allclose(found, frames.transpose(0, 3, 1, 2) / 255, atol=1e-6, rtol=0)


@pytest.mark.parametrize("config", [ModelConfig(stem="rgb"), ModelConfig(stem="motion", differences="both")])
def test_amplified_features_are_larger_by_that_factor_all_of_them(config: ModelConfig) -> None:
    frames = clip_of(1, 5, 20, 150)
    np.testing.assert_allclose(
        features_of(config, frames, 1.5)[0], 1.5 * features_of(config, frames)[0], atol=2e-4, rtol=0
    )


def test_what_packing_cuts_off_is_what_is_said() -> None:
    features = np.exp(np.random.RandomState(0).uniform(-5, 5, (1, *SIZE))).astype(np.float32)
    packed = np.zeros((*SIZE, 1), dtype=np.uint16)
    pack_bf16(features, packed)
    found = torch.from_numpy(packed.view(np.int16)).view(torch.bfloat16).float().numpy().transpose(2, 0, 1)
    assert (1 - found / features).mean() == pytest.approx(LOST, rel=0.05)


@given(seed=st.integers(0, 99), num_features=st.integers(1, 9))
def test_packed_features_are_those_of_bf16_next_to_zero(seed: int, num_features: int) -> None:
    features = (np.random.RandomState(seed).randn(num_features, *SIZE) * 3).astype(np.float32)
    packed = np.zeros((*SIZE, num_features), dtype=np.uint16)
    pack_bf16(features, packed)
    found = torch.from_numpy(packed.view(np.int16)).view(torch.bfloat16).float().numpy().transpose(2, 0, 1)
    rounded = torch.from_numpy(features).bfloat16().float().numpy()
    assert (np.abs(found) <= np.abs(features)).all()
    assert (np.abs(found - features) <= np.abs(features) / 128).all()
    assert (np.abs(found) <= np.abs(rounded)).all()
