"""Actors in training frames: masks say what moves, as in synthetic footage; what stands still is none of it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convlstm.utils.data.augment_actors import AMBIENT, Role, apply_actors, draw_cast
from convlstm.utils.data.augment_pixels import BLACK_LEVEL
from convlstm.utils.data.synthetic.actors import ACTORS
from convlstm.utils.data.synthetic.recordings import UNKNOWN_SHARE, training_mask
from convlstm.utils.data.synthetic.scenes import Scene
from convlstm.utils.data.synthetic.sequences import label_performance

pytestmark = pytest.mark.pure

NUM_FRAMES, SIZE, BLOCK = 12, (96, 128), 8
ANY_SEED = st.integers(0, (1 << 62) - 1)
Stretch = tuple[Tensor, Tensor]


def still_stretch(*, is_grey: bool = False, share: float = 0.0) -> Stretch:
    """Frames uint8 (N, H, W, 3) in which nothing changes, the last 16 rows black, and shares that are all `share`."""
    generator = torch.Generator().manual_seed(3)
    pattern = torch.randint(40, 220, (1, 3, SIZE[0] // 4, SIZE[1] // 4), generator=generator)
    frame = F.interpolate(pattern.float(), scale_factor=4, mode="bilinear")[0].permute(1, 2, 0)
    frame = frame.mean(dim=2, keepdim=True).expand_as(frame) if is_grey else frame
    frames = frame.round().to(torch.uint8).repeat(NUM_FRAMES, 1, 1, 1)
    frames[:, -16:] = 2
    return frames, torch.full((NUM_FRAMES, SIZE[0] // BLOCK, SIZE[1] // BLOCK), share, dtype=torch.float16)


def roles_of(seed: int, frames: Tensor | None = None) -> list[Role]:
    frames = still_stretch()[0] if frames is None else frames
    background = frames[0].numpy().astype(np.float32) / np.float32(255)
    ambient = float(np.clip(2 * background.mean(), *AMBIENT))
    return draw_cast(Scene(background, ambient), len(frames), seed)


def seeds_where(wanted: Callable[[list[Role]], bool], count: int) -> list[int]:
    return [seed for seed in range(400) if wanted(roles_of(seed))][:count]


@settings(max_examples=25)
@given(seed=ANY_SEED)
def test_form_black_and_the_given_frames_stay_and_the_seed_decides(seed: int) -> None:
    frames, shares = still_stretch()
    before = frames.clone()
    drawn, moving = apply_actors(frames, shares, seed)
    assert torch.equal(frames, before) and (shares == 0).all()
    assert (drawn.dtype, drawn.shape) == (frames.dtype, frames.shape)
    assert (moving.dtype, moving.shape) == (shares.dtype, shares.shape)
    assert (moving >= 0).all() and (moving <= 1).all()
    is_black = frames.amax(dim=3) <= BLACK_LEVEL
    assert torch.equal(drawn[is_black], frames[is_black])
    assert (moving[:, -2:] <= UNKNOWN_SHARE).all()
    torch.rand(3)  # what the process drew before must not matter
    again = apply_actors(frames, shares, seed)
    assert torch.equal(again[0], drawn) and torch.equal(again[1], moving)


def test_what_stands_still_is_drawn_and_moves_nothing() -> None:
    num_seen = 0
    seeds = seeds_where(lambda roles: not any(role.moves for role in roles), 12)
    for seed in seeds:
        frames, shares = still_stretch()
        drawn, moving = apply_actors(frames, shares, seed)
        assert torch.equal(drawn, drawn[:1].expand_as(drawn))
        assert (moving == 0).all()
        num_seen += int(not torch.equal(drawn, frames))
    assert num_seen >= 10


def test_masks_are_those_of_synthetic_footage() -> None:
    for seed in seeds_where(lambda roles: [role.moves for role in roles] == [True], 15):
        frames, shares = still_stretch()
        frames[:] = frames.clamp(min=40)  # nothing black
        (role,) = roles_of(seed, frames)
        scene = Scene(frames[0].numpy().astype(np.float32) / np.float32(255), 1.0)
        pictures = [scene.background.copy() for _ in role.times]
        masks = [role.actor.draw(picture, time) for picture, time in zip(pictures, role.times, strict=True)]
        labels = label_performance(scene, pictures, [mask.astype(np.float32) for mask in masks])
        wanted = torch.from_numpy(np.stack([training_mask(frame) for frame in labels])).float() / 255
        blocks = F.avg_pool2d(wanted, BLOCK)
        _, found = apply_actors(frames, shares, seed)
        is_moving, is_found = blocks > UNKNOWN_SHARE, found > UNKNOWN_SHARE
        assert (is_moving != is_found).float().mean() < 0.02
        assert (found - blocks).abs().mean() < 0.01
        is_still, is_found_still = blocks == 0, found == 0
        assert (is_found_still & ~is_still).float().mean() < 0.01  # what is unknown there is not called still here
        assert (is_still & ~is_found_still).float().mean() < 0.1  # here whole blocks are unknown


def test_what_moved_before_still_does_but_for_what_hides_it() -> None:
    for seed in seeds_where(lambda roles: [role.moves for role in roles] == [False], 10):
        frames, shares = still_stretch(share=1.0)
        drawn, moving = apply_actors(frames, shares, seed)
        assert set(moving.unique().tolist()) <= {UNKNOWN_SHARE, 1.0}
        differs = F.max_pool2d((drawn != frames).any(dim=3).float(), BLOCK) > 0
        assert not (moving == UNKNOWN_SHARE)[~differs].any()
    for seed in seeds_where(lambda roles: [role.moves for role in roles] == [True], 10):
        frames, shares = still_stretch(share=0.25)
        assert (apply_actors(frames, shares, seed)[1] >= 0.25).all()


def test_footage_without_colour_stays_so() -> None:
    for seed in range(12):
        drawn, _ = apply_actors(*still_stretch(is_grey=True), seed)
        assert (drawn == drawn[..., :1]).all()
    coloured, _ = apply_actors(*still_stretch(), 3)
    assert not torch.equal(coloured, coloured[..., :1].expand_as(coloured))


def test_casts_hold_everyone_and_half_of_them_stand_still() -> None:
    casts = [roles_of(seed) for seed in range(200)]
    roles = [role for cast in casts for role in cast]
    assert {len(cast) for cast in casts} == {1, 2}
    assert {type(role.actor) for role in roles} == {type(role.actor) for role in roles if role.moves}
    assert len({type(role.actor) for role in roles}) == len(ACTORS)
    assert 0.4 < sum(role.moves for role in roles) / len(roles) < 0.6
    assert all(sorted(role.moves for role in cast) == [role.moves for role in cast] for cast in casts)
    assert all(len(role.times) == NUM_FRAMES for role in roles)
    steps = {round(b - a, 6) for role in roles for a, b in zip(role.times, role.times[1:], strict=False)}
    assert steps == {0.0, 1.0}
