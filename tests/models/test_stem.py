from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from convlstm.config import Differences
from convlstm.models.stem import (
    CONTRAST_FLOOR,
    FRAMES_AT_ONCE,
    LOCAL_FLOOR,
    motion_features,
    rgb_features,
    take_out_exposure,
    take_out_local_light,
    to_unit_range,
)

pytestmark = pytest.mark.pure


def random_frames(count: int = 4, height: int = 32, width: int = 48) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.5 * torch.rand(count, 3, height, width, generator=generator)


def test_bytes_become_the_unit_range_and_floats_stay() -> None:
    unit = to_unit_range(torch.tensor([0, 51, 255], dtype=torch.uint8))
    assert unit.dtype == torch.float32
    torch.testing.assert_close(unit, torch.tensor([0.0, 0.2, 1.0]))
    floats = torch.rand(3)
    assert to_unit_range(floats) is floats


def test_exposure_is_mean_and_contrast_of_each_channel_and_frame() -> None:
    frames = random_frames()
    normalised, greys = take_out_exposure(frames)
    deviation, mean = torch.std_mean(frames, dim=(-2, -1), keepdim=True, correction=0)
    expected = (frames - mean) / (deviation + CONTRAST_FLOOR)
    torch.testing.assert_close(normalised, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(greys, expected.mean(dim=1), atol=1e-5, rtol=1e-5)
    assert (normalised.shape, greys.shape) == ((4, 3, 32, 48), (4, 32, 48))


def test_bytes_and_floats_give_the_same_whatever_the_memory_layout() -> None:
    frames = (random_frames() * 255).to(torch.uint8)
    normalised, greys = take_out_exposure(frames)
    for same in (frames.float() / 255, frames.contiguous(memory_format=torch.channels_last)):
        again, greys_again = take_out_exposure(same)
        torch.testing.assert_close(again, normalised, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(greys_again, greys, atol=1e-5, rtol=1e-5)


def test_an_offset_vanishes_and_a_gain_nearly() -> None:
    frames = random_frames()
    normalised, _ = take_out_exposure(frames)
    shifted, _ = take_out_exposure(frames + torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1))
    torch.testing.assert_close(shifted, normalised, atol=1e-5, rtol=0)
    brighter, _ = take_out_exposure(1.4 * frames)
    deviation = frames.std(dim=(-2, -1), correction=0, keepdim=True)
    left_by_the_floor = (deviation + CONTRAST_FLOOR) / (deviation + CONTRAST_FLOOR / 1.4)
    torch.testing.assert_close(brighter, normalised * left_by_the_floor, atol=1e-5, rtol=1e-4)


def test_a_flat_frame_becomes_zeros() -> None:
    normalised, greys = take_out_exposure(torch.full((1, 3, 8, 8), 0.7))
    assert normalised.abs().max() < 1e-5 and greys.abs().max() < 1e-5


def test_statistics_stay_in_full_precision_under_autocast() -> None:
    frames = random_frames()
    normalised, greys = take_out_exposure(frames)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again, greys_again = take_out_exposure(frames)
        features, kept = motion_features(frames, torch.tensor([1, 3]), torch.tensor([[0], [2]]))
    torch.testing.assert_close(again, normalised)
    torch.testing.assert_close(greys_again, greys)
    torch.testing.assert_close(kept, greys[:, None])
    assert features.dtype == torch.bfloat16
    expected = torch.cat([normalised[1::2], (greys[1::2] - greys[::2])[:, None]], dim=1)
    torch.testing.assert_close(features, expected.bfloat16())


def places(highest: int, lowest: int = 0) -> st.SearchStrategy[int]:
    return st.integers(lowest, highest - 1)


@st.composite
def motion_calls(draw: st.DrawFn) -> tuple[Tensor, int, list[int], list[list[int]]]:
    """Frames, how many of them came in an earlier call, and what to encode of the rest, in any order."""
    num_frames, num_lags = draw(st.integers(1, 2 * FRAMES_AT_ONCE + 3)), draw(st.integers(0, 3))
    num_earlier = draw(places(num_frames))
    encode = draw(st.one_of(st.just(list(range(num_earlier, num_frames))), st.lists(places(num_frames, num_earlier))))
    lagged = [[draw(places(num_frames)) for _ in range(num_lags)] for _ in encode]
    frames = torch.randint(0, 256, (num_frames, 3, 16, 32), generator=torch.Generator().manual_seed(num_frames))
    return frames.to(torch.uint8), num_earlier, encode, lagged


@given(motion_calls(), st.sampled_from(get_args(Differences)))
def test_motion_is_normalised_frames_and_differences_to_those_named(
    call: tuple[Tensor, int, list[int], list[list[int]]], differences: Differences
) -> None:
    frames, num_earlier, encode, lagged = call
    normalised, grey = take_out_exposure(frames)
    kinds = {"frame": [grey], "local": [take_out_local_light(grey)], "both": [grey, take_out_local_light(grey)]}
    greys = torch.stack(kinds[differences], dim=1)
    earlier = greys[:num_earlier].clone() if num_earlier else None
    shape = (len(encode), len(lagged[0]) if lagged else 0)
    features, kept = motion_features(
        frames[num_earlier:],
        torch.tensor(encode, dtype=torch.int64),
        torch.tensor(lagged).long().reshape(shape),
        earlier,
        differences,
    )
    torch.testing.assert_close(kept, greys, atol=1e-5, rtol=1e-5)
    assert features.dtype == torch.float32 and features.is_contiguous(memory_format=torch.channels_last)
    assert features.shape == (len(encode), 3 + greys.shape[1] * shape[1], 16, 32)
    for row, (place, lags) in enumerate(zip(encode, lagged, strict=True)):
        parts = [greys[place, kind] - greys[lag, kind] for kind in range(greys.shape[1]) for lag in lags]
        expected = torch.stack([*normalised[place], *parts])
        torch.testing.assert_close(features[row], expected, atol=1e-4, rtol=1e-4)


def test_local_light_is_mean_and_contrast_of_the_neighbourhood() -> None:
    grey = torch.rand(1, 48, 48, generator=torch.Generator().manual_seed(0))
    grey[0, 0, 0] = 9.0
    # In the middle of the middle block all of its neighbours count alike: mean and deviation of all 48 x 48 pixels.
    expected = (grey[0, 23:25, 23:25] - grey.mean()) / (grey.std(correction=0) + LOCAL_FLOOR)
    torch.testing.assert_close(take_out_local_light(grey)[0, 23:25, 23:25], expected, atol=0.02, rtol=0.02)


def test_an_offset_and_a_flat_frame_leave_nothing() -> None:
    grey = torch.rand(1, 64, 96, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(take_out_local_light(grey + 0.3), take_out_local_light(grey), atol=1e-4, rtol=0)
    assert take_out_local_light(torch.full((1, 32, 32), 0.7)).abs().max() < 1e-3


def test_a_shadow_over_a_part_of_the_frame_leaves_less_in_local_differences() -> None:
    texture = torch.rand(1, 128, 128, generator=torch.Generator().manual_seed(1)).sub(0.5) * 4
    x = torch.arange(128) / 128
    lit = texture * (1 + 0.5 * x) + x  # light rises smoothly to the right
    local = (take_out_local_light(lit) - take_out_local_light(texture)).abs().mean()
    assert local < 0.15 * (lit - texture).abs().mean()
    moved = (take_out_local_light(texture.roll(2, 2)) - take_out_local_light(texture)).abs().mean()
    assert moved > 5 * local


@given(st.lists(places(20)), st.sampled_from([torch.uint8, torch.float32]))
def test_rgb_is_the_frames_named(encode: list[int], dtype: torch.dtype) -> None:
    frames = (random_frames(20, 4, 6) * 255).to(torch.uint8)
    given_frames = frames if dtype == torch.uint8 else frames / 255
    features = rgb_features(given_frames, torch.tensor(encode, dtype=torch.int64))
    torch.testing.assert_close(features, frames[encode] / 255)
    assert features.dtype == torch.float32 and features.is_contiguous(memory_format=torch.channels_last)


def test_features_have_the_type_that_convolutions_compute_in() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert rgb_features(random_frames(), torch.arange(4)).dtype == torch.bfloat16
