import pytest
import torch

from convlstm.models.stem import CONTRAST_FLOOR, motion_features, take_out_exposure, to_unit_range

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
        features = motion_features(again, greys_again, (1,))
    torch.testing.assert_close(again, normalised)
    torch.testing.assert_close(greys_again, greys)
    assert features.dtype == torch.bfloat16


def test_lags_reach_back_into_the_context_and_stop_at_its_start() -> None:
    greys = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0]).reshape(5, 1, 1)  # the first two are context
    features = motion_features(torch.full((3, 3, 1, 1), 7.0), greys, (1, 3))
    assert features.shape == (3, 5, 1, 1)
    assert (features[:, :3] == 7).all()
    assert features[:, 3, 0, 0].tolist() == [4 - 2, 8 - 4, 16 - 8]
    assert features[:, 4, 0, 0].tolist() == [4 - 1, 8 - 1, 16 - 2]


@pytest.mark.parametrize("given", [False, True])
def test_without_context_lags_stop_at_the_first_frame(given: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    normalised, greys = (torch.rand(4, *rest, generator=generator) for rest in ((3, 8, 8), (8, 8)))
    out = torch.full((4, 6, 8, 8), 9.0) if given else None
    features = motion_features(normalised, greys, (1, 3, 9), out)
    assert out is None or features is out
    torch.testing.assert_close(features[:, :3], normalised)
    assert not features[0, 3:].any()
    torch.testing.assert_close(features[2, 3], greys[2] - greys[1])
    torch.testing.assert_close(features[3, 4], greys[3] - greys[0])
    torch.testing.assert_close(features[3, 5], greys[3] - greys[0])
