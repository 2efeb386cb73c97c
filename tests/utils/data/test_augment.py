import random
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from convlstm.config import AugmentConfig, TrainConfig
from convlstm.utils.data.augment import (
    CHANNEL_GAIN,
    CONTRAST,
    CROP_ASPECT,
    CROP_SIDE,
    GAIN,
    JPEG_QUALITY,
    KINDS,
    Augmentation,
    Changes,
    draw_changes,
)
from convlstm.utils.data.augment_geometry import Box, crop_frames, crop_shares
from convlstm.utils.data.augment_light import LIGHT_KINDS, Light
from convlstm.utils.data.augment_pixels import BLACK_LEVEL, Look
from convlstm.utils.data.batch import Batch
from convlstm.utils.data.frames import MASK_BLOCK

pytestmark = pytest.mark.pure

HEIGHT, WIDTH = 96, 128
LAGS = (1, 3)
GEOMETRY = ("aug_flip", "aug_flip_vertical", "aug_crop", "aug_shake")
SIDE = 40


def only(*kinds: str) -> AugmentConfig:
    """These kinds for certain, no others."""
    return AugmentConfig(**dict[str, Any]({kind: float(kind in kinds) for kind in KINDS}))


def scene(num_frames: int, *, left: int = 16, step: int = 8) -> tuple[Tensor, Tensor]:
    """A red square that moves over a pattern with a black bar: frames (N, H, W, 3) and its masks bool (N, H, W)."""
    generator = torch.Generator().manual_seed(num_frames)
    pattern = torch.randint(40, 220, (3, HEIGHT // 4, WIDTH // 4), generator=generator)
    pattern = F.interpolate(pattern[None].float(), scale_factor=4, mode="bilinear")[0].permute(1, 2, 0)
    frames = pattern.to(torch.uint8).repeat(num_frames, 1, 1, 1)
    masks = torch.zeros(num_frames, HEIGHT, WIDTH, dtype=torch.bool)
    for index in range(num_frames):
        masks[index, 24 : 24 + SIDE, left + step * index : left + step * index + SIDE] = True
    frames[masks] = torch.tensor([250, 30, 10], dtype=torch.uint8)
    frames[:, -16:] = 0
    return frames, masks


def shares_of(masks: Tensor) -> Tensor:
    return F.avg_pool2d(masks[:, None].float(), MASK_BLOCK)[:, 0].half()


def make_batch(lengths: Sequence[int] = (6, 8), seeds: Sequence[int] = (1, 2), num_context: int = 2) -> Batch:
    """A window of class 1 in each stretch, over all frames after the context."""
    scenes = [scene(length) for length in lengths]
    bounds = [0]
    encode: list[Tensor] = []
    lagged: list[Tensor] = []
    windows: list[Tensor] = []
    for length in lengths:
        windows.append(torch.arange(4) + sum(len(places) for places in encode))
        places = torch.arange(num_context, length)
        encode.append(bounds[-1] + places)
        lagged.append(bounds[-1] + (places[:, None] - torch.tensor(LAGS)).clamp(min=0))
        bounds.append(bounds[-1] + length)
    return Batch(
        frames=torch.cat([frames for frames, _ in scenes]),
        shares=torch.cat([shares_of(masks) for _, masks in scenes]),
        unreadable=torch.zeros(bounds[-1], dtype=torch.bool),
        encode=torch.cat(encode),
        lagged=torch.cat(lagged),
        windows=torch.stack(windows),
        labels=torch.ones(len(lengths), dtype=torch.int64),
        ids=torch.arange(len(lengths)),
        bounds=tuple(bounds),
        seeds=tuple(seeds),
    )


def assert_same(one: Batch, other: Batch) -> None:
    for setting in fields(Batch):
        first, second = getattr(one, setting.name), getattr(other, setting.name)
        if isinstance(first, Tensor):
            torch.testing.assert_close(first, second, atol=0, rtol=0, equal_nan=True)
        else:
            assert first == second, setting.name


def copy_of(batch: Batch) -> Batch:
    tensors = {f.name: getattr(batch, f.name) for f in fields(Batch) if isinstance(getattr(batch, f.name), Tensor)}
    return replace(batch, **{name: tensor.clone() for name, tensor in tensors.items()})


ANY_CONFIG = st.builds(AugmentConfig, **{kind: st.sampled_from([0.0, 0.5, 1.0]) for kind in KINDS})
ANY_SEED = st.integers(0, (1 << 63) - 1)


@pytest.mark.parametrize("config", [AugmentConfig(augment=False), only()])
def test_with_nothing_to_do_the_batch_itself_comes_back(config: AugmentConfig) -> None:
    batch = make_batch()
    assert Augmentation(config)(batch) is batch


def test_a_training_configuration_augments() -> None:
    assert not torch.equal(Augmentation(TrainConfig(aug_noise=1.0))(make_batch()).frames, make_batch().frames)


def test_stretches_with_carried_frames_are_refused() -> None:
    with pytest.raises(AssertionError, match="whole"):
        Augmentation(only("aug_flip"))(replace(make_batch(), num_carried=1))


@given(config=ANY_CONFIG, seed=ANY_SEED)
def test_a_stretch_changes_by_its_seed_alone_and_the_input_never(config: AugmentConfig, seed: int) -> None:
    batch = make_batch((6, 8, 6), (7, seed, 9))
    before = copy_of(batch)
    changed = Augmentation(config)(batch)
    assert_same(batch, before)
    torch.rand(3)  # what the process drew before must not matter
    assert_same(Augmentation(config)(batch), changed)
    alone = Augmentation(config)(make_batch((8,), (seed,)))
    assert torch.equal(changed.frames[6:14], alone.frames)
    assert torch.equal(changed.shares[6:14], alone.shares)
    assert torch.equal(changed.encode[4:10] - 6, alone.encode)
    assert torch.equal(changed.lagged[4:10] - 6, alone.lagged)


@given(config=ANY_CONFIG, seed=ANY_SEED)
def test_what_is_no_picture_stays_and_every_place_lies_in_its_stretch(config: AugmentConfig, seed: int) -> None:
    batch = make_batch((6, 9), (seed, seed + 1))
    changed = Augmentation(config)(batch)
    assert (changed.frames.dtype, changed.frames.shape) == (torch.uint8, batch.frames.shape)
    assert (changed.shares.dtype, changed.shares.shape) == (torch.float16, batch.shares.shape)
    assert changed.frames.is_contiguous() and changed.shares.is_contiguous()
    assert changed.shares.min() >= 0 and changed.shares.max() <= 1
    for name in ("windows", "labels", "ids", "unreadable", "bounds", "seeds"):
        assert getattr(changed, name) is getattr(batch, name)
    for places in (changed.encode, changed.lagged):
        assert places.dtype == torch.int64
        assert places[:4].min() >= 0 and places[:4].max() < 6 <= places[4:].min() and places[4:].max() < 15


@given(seed=ANY_SEED, config=ANY_CONFIG)
def test_what_one_change_draws_does_not_depend_on_the_others(seed: int, config: AugmentConfig) -> None:
    everything = draw_changes(only(*KINDS), seed, 8, (HEIGHT, WIDTH))
    drawn = draw_changes(config, seed, 8, (HEIGHT, WIDTH))
    assert drawn.box in (None, everything.box)
    assert set(drawn.flipped_dims) <= {1, 2}
    for setting in fields(Look):
        assert getattr(drawn.look, setting.name) in (
            getattr(Look(), setting.name),
            getattr(everything.look, setting.name),
        )
    lost = draw_changes(only("aug_frame_drop"), seed, 8, (HEIGHT, WIDTH)).shown
    in_order = torch.arange(8)
    assert everything.shifts is not None
    assert drawn.shifts is None or np.array_equal(drawn.shifts, everything.shifts)
    assert drawn.light == Light(tuple(k for k in LIGHT_KINDS if k in drawn.light.kinds), drawn.light.seed)
    assert drawn.light.seed in (0, everything.light.seed)
    assert any(torch.equal(drawn.shown, order) for order in (in_order, 7 - in_order, lost, 7 - lost))


@pytest.mark.parametrize("kind", KINDS)
def test_each_change_happens_as_often_as_its_setting_says(kind: str) -> None:
    config = replace(only(), **dict[str, Any]({kind: 0.3}))
    nothing = draw_changes(only(), 0, 40, (HEIGHT, WIDTH))

    def happens(changes: Changes) -> bool:
        unchanged = (None, None, (), Light(), Look())
        drawn = (changes.cast_seed, changes.box, changes.flipped_dims, changes.light, changes.look)
        same = drawn == unchanged and changes.shifts is None
        return not (same and torch.equal(changes.shown, nothing.shown))

    number = sum(happens(draw_changes(config, seed, 40, (HEIGHT, WIDTH))) for seed in range(400))
    assert 90 <= number <= 150


def test_strengths_fill_their_ranges() -> None:
    drawn = [draw_changes(only(*KINDS), seed, 200, (640, 640)) for seed in range(300)]
    looks = [changes.look for changes in drawn]
    ranges: list[tuple[list[float], tuple[float, float]]] = [
        ([look.gain for look in looks], GAIN),
        ([look.contrast for look in looks], CONTRAST),
        ([look.saturation for look in looks], (0.5, 1.5)),
        ([look.channel_gains[0] for look in looks], CHANNEL_GAIN),
        ([look.channel_gains[2] for look in looks], CHANNEL_GAIN),
        ([look.blur_sigma for look in looks], (0.5, 1.5)),
        ([look.noise_deviation for look in looks], (1, 8)),
        ([look.jpeg_quality or 0 for look in looks], JPEG_QUALITY),
    ]
    boxes = [changes.box for changes in drawn if changes.box is not None]
    ranges += [([box.height / 640 for box in boxes], CROP_SIDE), ([box.width / 640 for box in boxes], CROP_SIDE)]
    ranges += [([box.height / box.width for box in boxes], (1 / CROP_ASPECT, CROP_ASPECT))]
    ranges += [([box.top / max(1, 640 - box.height) for box in boxes], (0, 1))]
    ranges += [([box.left / max(1, 640 - box.width) for box in boxes], (0, 1))]
    for values, (low, high) in ranges:
        margin = 0.05 * (high - low)
        assert low - 0.002 <= min(values) < low + margin and high - margin < max(values) <= high + 0.002
    assert {look.channel_gains[1] for look in looks} == {1.0}
    assert len({look.noise_seed for look in looks}) == 300
    repeated = [float((changes.shown.diff() == 0).float().mean()) for changes in drawn]
    assert 0.03 < min(repeated) < 0.15 and 0.25 < max(repeated) < 0.42


@pytest.mark.parametrize(("kind", "dim"), [("aug_flip", 2), ("aug_flip_vertical", 1)])
def test_flips_turn_frames_and_masks(kind: str, dim: int) -> None:
    batch = make_batch()
    changed = Augmentation(only(kind))(batch)
    assert torch.equal(changed.frames, batch.frames.flip(dim))
    assert torch.equal(changed.shares, batch.shares.flip(dim))
    assert torch.equal(changed.encode, batch.encode)


@given(seed=ANY_SEED, left=st.integers(0, 40), step=st.integers(-2, 4))
def test_targets_follow_what_is_cropped_and_flipped(seed: int, left: int, step: int) -> None:
    frames, masks = scene(6, left=left + 10, step=step)
    batch = replace(make_batch((6,), (seed,)), frames=frames, shares=shares_of(masks))
    config = only("aug_crop", "aug_flip", "aug_flip_vertical")
    box = draw_changes(config, seed, 6, (HEIGHT, WIDTH)).box
    assert box is not None
    changed = Augmentation(config)(batch)
    pixels = crop_frames(masks[..., None].expand(-1, -1, -1, 3).to(torch.uint8) * 255, box).flip((1, 2))
    exact = F.avg_pool2d(pixels[..., 0].unsqueeze(1).float() / 255, 32)[2:6, 0].amax(dim=0)
    # A block that the square fills in part counts as evenly filled: an edge is off by less than an enlarged block.
    error_of_blocks = MASK_BLOCK / CROP_SIDE[0] / 32
    targets = changed.cell_targets(min_share=0.02)[0]
    assert (targets[exact > 0.02 + error_of_blocks] == 1).all()
    blocks = crop_shares(shares_of((shares_of(masks) > 0).repeat_interleave(8, 1).repeat_interleave(8, 2)), box)
    untouched = F.avg_pool2d(blocks.flip((1, 2))[:, None].float(), 4)[2:6, 0].amax(dim=0) == 0
    assert (targets[untouched] == 0).all()


def test_shares_of_shrunk_frames_are_cropped_alike() -> None:
    batch = make_batch((6,), (3,))
    config = only("aug_crop")
    half = replace(batch, frames=F.avg_pool2d(batch.frames.permute(0, 3, 1, 2).float(), 2).byte().permute(0, 2, 3, 1))
    box = draw_changes(config, 3, 6, (HEIGHT // 2, WIDTH // 2)).box
    assert box is not None
    wanted = crop_shares(batch.shares, Box(2 * box.top, 2 * box.left, 2 * box.height, 2 * box.width))
    torch.testing.assert_close(Augmentation(config)(half).shares, wanted, atol=1e-3, rtol=0)


def test_shrunk_frames_are_shaken_by_fewer_pixels() -> None:
    batch = make_batch((6,), (3,))
    half = replace(batch, frames=batch.frames[:, ::2, ::2].contiguous())
    shaken, shaken_half = (Augmentation(only("aug_shake"))(one) for one in (batch, half))
    assert not torch.equal(shaken.shares, batch.shares) and not torch.equal(shaken_half.frames, half.frames)
    torch.testing.assert_close(shaken_half.shares, shaken.shares, atol=1e-3, rtol=0)


def test_targets_are_exact_where_masks_fill_blocks() -> None:
    for seed in range(30):
        batch = make_batch((6,), (seed,))
        config = only("aug_crop")
        box = draw_changes(config, seed, 6, (HEIGHT, WIDTH)).box
        assert box is not None
        masks = scene(6)[1][..., None].expand(-1, -1, -1, 3).to(torch.uint8) * 255
        exact = F.avg_pool2d(crop_frames(masks, box)[..., 0].unsqueeze(1).float() / 255, 32)[2:6, 0].amax(dim=0)
        targets = Augmentation(config)(batch).cell_targets(min_share=0.02)[0]
        assert (targets[exact == 0] == 0).all() and (targets[exact > 0.04] == 1).all()


def test_what_nobody_knows_is_not_cropped_but_flipped() -> None:
    batch = make_batch()
    batch.shares[:6] = torch.nan
    config = only("aug_crop", "aug_flip")
    changed = Augmentation(config)(batch)
    assert torch.equal(changed.frames[:6], batch.frames[:6].flip(2))
    assert changed.shares[:6].isnan().all()
    assert not torch.equal(changed.frames[6:], batch.frames[6:].flip(2))
    assert not changed.shares[6:].isnan().any()


@given(config=ANY_CONFIG, seed=ANY_SEED)
def test_what_is_static_everywhere_stays_so(config: AugmentConfig, seed: int) -> None:
    batch = make_batch((6, 8), (seed, seed + 1))
    batch.shares.zero_()
    batch.labels.zero_()
    changed = Augmentation(replace(config, aug_actors=0.0))(batch)
    assert (changed.shares == 0).all()
    assert (changed.cell_targets(min_share=0.0) == 0).all()


def test_actors_are_drawn_where_it_is_known_what_moves_and_then_cropped_and_shaken_with_the_rest() -> None:
    batch = make_batch((6, 8), (5, 6))
    batch.shares[:6] = torch.nan
    unknown = Augmentation(only("aug_actors"))(batch)
    assert torch.equal(unknown.frames[:6], batch.frames[:6]) and unknown.shares[:6].isnan().all()
    assert not torch.equal(unknown.frames[6:], batch.frames[6:])
    batch.labels[0] = 0  # static: no masks needed
    known = Augmentation(only("aug_actors"))(batch)
    assert not torch.equal(known.frames[:6], batch.frames[:6]) and not known.shares.isnan().any()
    assert torch.equal(known.frames[6:], unknown.frames[6:])
    flipped = Augmentation(only("aug_actors", "aug_flip"))(batch)
    assert torch.equal(flipped.frames, known.frames.flip(2)) and torch.equal(flipped.shares, known.shares.flip(2))
    batch.unreadable[1] = True
    batch.shares[1] = torch.nan
    unreadable = Augmentation(only("aug_actors"))(batch)
    assert torch.equal(unreadable.frames[:6], batch.frames[:6])


def test_windows_into_which_something_was_drawn_become_dynamic() -> None:
    labels = []
    for seed in range(30):
        batch = make_batch((12,), (seed,))
        batch.shares.zero_()
        batch.labels.zero_()
        changed = Augmentation(only("aug_actors"))(batch).with_labels_of_cells(0.02)
        is_dynamic = bool((changed.cell_targets(0.02) > 0).any())
        assert changed.labels.tolist() == [int(is_dynamic)]
        labels.append(is_dynamic)
    assert 0.3 < np.mean(labels) < 0.9


@given(config=ANY_CONFIG, seed=ANY_SEED)
def test_black_areas_stay_black_whatever_else_happens(config: AugmentConfig, seed: int) -> None:
    batch = make_batch((6,), (seed,))
    changed = Augmentation(config)(batch).frames
    kept = (*GEOMETRY, "aug_actors")  # cropped or shaken, an actor beside black lightens its edge
    same_geometry = replace(config, **dict[str, Any]({kind: 0.0 for kind in KINDS if kind not in kept}))
    moved = Augmentation(same_geometry)(batch).frames
    is_black = moved.amax(dim=3) <= BLACK_LEVEL
    assert torch.equal(changed[is_black], moved[is_black])


@given(config=ANY_CONFIG, seed=ANY_SEED)
def test_frames_that_are_equal_stay_equal_but_for_noise_shake_changing_light_and_actors(
    config: AugmentConfig, seed: int
) -> None:
    batch = make_batch((6,), (seed,))
    batch = replace(batch, frames=batch.frames[:1].repeat(6, 1, 1, 1))
    config = replace(config, aug_clouds=0.0, aug_lights=0.0, aug_exposure=0.0, aug_shake=0.0, aug_actors=0.0)
    changed = Augmentation(replace(config, aug_noise=0.0))(batch).frames
    assert (changed == changed[:1]).all()
    noisy = Augmentation(replace(config, aug_noise=1.0, aug_compression=0.0))(batch).frames
    assert not (noisy[0] == noisy[1]).all()


def test_reversed_time_turns_windows_their_lags_and_their_targets() -> None:
    batch = make_batch()
    changed = Augmentation(only("aug_reverse"))(batch)
    assert torch.equal(changed.frames, batch.frames) and torch.equal(changed.shares, batch.shares)
    assert changed.encode.tolist() == [3, 2, 1, 0, 11, 10, 9, 8, 7, 6]
    # Place 2 of the first stretch looks back 1 to place 1 and 3, clamped, to place 0
    assert changed.lagged[0].tolist() == [4, 5] and changed.lagged[1].tolist() == [3, 5]
    assert changed.lagged[4].tolist() == [12, 13]
    of_frames = changed.shares[changed.encode[changed.windows[0]]]
    assert torch.equal(of_frames, shares_of(scene(6)[1]).flip(0)[2:6])
    assert not torch.equal(changed.cell_targets(0.02), batch.cell_targets(0.02))


def test_lost_frames_show_the_one_before() -> None:
    batch = make_batch((200,), (5,), num_context=0)
    changed = Augmentation(only("aug_frame_drop"))(batch)
    shown = changed.encode
    kept = shown == torch.arange(200)
    assert kept[0] and 0.05 < (~kept).float().mean() < 0.35
    expected = [0]
    for place in range(1, 200):
        expected.append(place if kept[place] else expected[-1])
    assert shown.tolist() == expected
    assert torch.equal(changed.lagged, shown[batch.lagged])
    assert torch.equal(changed.frames, batch.frames)
    assert {int(draw_changes(only("aug_frame_drop"), seed, 8, (HEIGHT, WIDTH)).shown[0]) for seed in range(50)} == {0}


def test_backwards_the_frame_before_is_the_later_one() -> None:
    shown = Augmentation(only("aug_reverse", "aug_frame_drop"))(make_batch((100,), (5,), num_context=0)).encode
    lost = Augmentation(only("aug_frame_drop"))(make_batch((100,), (5,), num_context=0)).encode
    assert shown.tolist() == (99 - lost).tolist()
    assert (shown.diff() <= 0).all() and (shown.diff() == 0).any()


@given(config=ANY_CONFIG, seed=ANY_SEED, data=st.data())
def test_unreadable_frames_stay_black_and_cost_the_same_windows(
    config: AugmentConfig, seed: int, data: st.DataObject
) -> None:
    batch = make_batch((6, 8), (seed, seed + 1))
    bad = data.draw(st.integers(0, 13))
    batch.frames[bad], batch.shares[bad], batch.unreadable[bad] = 0, torch.nan, True
    changed = Augmentation(config)(batch)
    assert (changed.frames[bad] == 0).all() and changed.shares[bad].isnan().all()
    assert changed.readable().ids.tolist() == batch.readable().ids.tolist()
    assert changed.readable().ids.tolist() == Augmentation(config)(batch.readable()).ids.tolist()


def test_the_global_generators_are_left_alone() -> None:
    states = torch.get_rng_state(), random.getstate()
    Augmentation(only(*KINDS))(make_batch())
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]


def test_no_gradient_is_recorded() -> None:
    batch = make_batch()
    with torch.enable_grad():
        assert not Augmentation(only(*KINDS))(batch).frames.requires_grad
