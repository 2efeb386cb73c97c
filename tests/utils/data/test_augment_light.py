"""Changing light in training: what the generator's numpy does, by torch; where nothing is lit, nothing changes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convlstm.utils.data.augment_light import LARGEST_FIELD, LIGHT_KINDS, Light, apply_light, draw_lighting

pytestmark = pytest.mark.pure

NUM_FRAMES, SIZE = 12, (64, 96)
ANY_SEED = st.integers(0, (1 << 62) - 1)
ANY_KINDS = st.sets(st.sampled_from(LIGHT_KINDS)).map(lambda kinds: tuple(k for k in LIGHT_KINDS if k in kinds))


def still_scene(size: tuple[int, int] = SIZE, lowest: int = 40) -> Tensor:
    """Frames uint8 (N, H, W, 3) in which nothing changes."""
    generator = torch.Generator().manual_seed(3)
    frame = torch.randint(lowest, 200, (*size, 3), generator=generator, dtype=torch.uint8)
    return frame.repeat(NUM_FRAMES, 1, 1, 1)


@pytest.mark.parametrize("kind", LIGHT_KINDS)
@settings(max_examples=30)
@given(seed=ANY_SEED)
def test_light_is_that_of_the_generator(kind: str, seed: int) -> None:
    """But for rounding: OpenCV moves shadows by whole 32ths of a pixel."""
    frames = still_scene()
    lit = apply_light(frames, Light((kind,), seed)).float()
    lighting = draw_lighting(kind, seed, NUM_FRAMES, SIZE)
    for index, frame in enumerate(frames):
        picture = frame.numpy().astype(np.float32) / 255
        expected = lighting.in_camera(lighting.on_scene(picture, index), index)
        difference = np.abs(lit[index].numpy() - 255 * np.clip(expected, 0, 1))
        assert difference.max() < 4 and difference.mean() < 0.5


@settings(max_examples=20)
@given(kinds=ANY_KINDS, seed=ANY_SEED)
def test_light_keeps_form_and_black_and_depends_on_its_seed_alone(kinds: tuple[str, ...], seed: int) -> None:
    frames = still_scene()
    frames[:, 10:20, 30:60] = 2
    before = frames.clone()
    lit = apply_light(frames, Light(kinds, seed))
    assert (lit.dtype, lit.shape) == (frames.dtype, frames.shape)
    assert torch.equal(frames, before)
    assert torch.equal(lit[:, 10:20, 30:60], frames[:, 10:20, 30:60])
    torch.rand(3)  # what the process drew before must not matter
    assert torch.equal(apply_light(frames, Light(kinds, seed)), lit)


@pytest.mark.parametrize("kind", LIGHT_KINDS)
def test_still_scenes_change_visibly_under_most_lights(kind: str) -> None:
    ranges = []
    for seed in range(40):
        lit = apply_light(still_scene(), Light((kind,), seed)).float()
        ranges.append(float((lit.amax(dim=0) - lit.amin(dim=0)).amax()))
    assert np.median(ranges) > 8
    assert len(set(ranges)) > 15


def test_each_kind_of_light_is_drawn_for_itself() -> None:
    for kind in LIGHT_KINDS:
        lighting = draw_lighting(kind, 7, NUM_FRAMES, SIZE)
        assert (lighting.clouds is not None) == (kind == "clouds")
        assert (len(lighting.lamps) > 0) == (kind == "lights")
    assert np.ptp(draw_lighting("exposure", 7, NUM_FRAMES, SIZE).gains) > 0


def test_fields_of_large_frames_are_small_and_enlarged_to_the_frame() -> None:
    size = (320, 640)
    lighting = draw_lighting("lights", 1, NUM_FRAMES, size)
    assert lighting.lamps.shape[1:3] == (LARGEST_FIELD // 2, LARGEST_FIELD)
    frames = still_scene(size)
    lit = apply_light(frames, Light(("clouds", "lights"), 1))
    assert lit.shape == frames.shape and not torch.equal(lit, frames)


def test_without_light_the_frames_themselves_come_back() -> None:
    frames = still_scene()
    assert apply_light(frames, Light()) is frames
