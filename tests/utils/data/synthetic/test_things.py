"""Things that move: sizes, speeds, paths, shadows, and disguise."""

from collections.abc import Callable

import numpy as np
import pytest

from convlstm.types import Float32Array
from convlstm.utils.data.synthetic.scenes import BoolArray, Scene
from convlstm.utils.data.synthetic.things import PASSING_LENGTHS, SMALLEST_LENGTH, Passing, Thing, Things, large_thing

Perform = Callable[..., tuple[list[Float32Array], list[BoolArray]]]


def things(scene: Scene, count: int) -> list[Thing]:
    return [Thing(np.random.default_rng(seed), scene) for seed in range(count)]


def length(thing: Thing) -> int:
    return int(max(thing.rgba.shape[:2])) - 2  # a transparent border of one pixel


def test_sizes_and_speeds_span_small_to_large_and_slow_to_fast(flat_scene: Callable[..., Scene]) -> None:
    made = things(flat_scene(size=(320, 320)), 120)
    lengths, speeds = np.array([length(t) for t in made]), np.array([t.speed for t in made])
    assert SMALLEST_LENGTH - 2 <= lengths.min() <= 8 and 130 <= lengths.max() <= 161
    assert 0.3 <= speeds.min() < 0.4 and 22 < speeds.max() <= 30
    # Half a pixel to three per frame is what people and cars far away do: it must not be rare.
    assert 0.2 < ((speeds > 0.5) & (speeds < 3)).mean() < 0.8
    assert 0.2 < (lengths < 24).mean() < 0.6
    fast = speeds > 12
    assert lengths[fast].min() > 24  # nothing tiny crosses the frame in no time


def centre(mask: BoolArray) -> Float32Array:
    return np.asarray(np.argwhere(mask).mean(axis=0), dtype=np.float32)


def test_a_thing_goes_its_speed(flat_scene: Callable[..., Scene], perform: Perform) -> None:
    scene = flat_scene(size=(160, 160))
    measured, asked = [], []
    for thing in things(scene, 60):
        if thing.deformation or thing.shadow or thing.scales != (1.0, 1.0) or thing.follows_path:
            continue
        thing.sway = 0.0, *thing.sway[1:]  # it does not rock either
        steps = np.diff([centre(m) for m in perform(thing, scene, range(4))[1] if _is_inside(m)], axis=0)
        if len(steps) == 3:
            measured.append(np.linalg.norm(steps, axis=1).mean())
            asked.append(thing.speed)
    assert len(asked) > 5
    np.testing.assert_allclose(measured, asked, rtol=0.1, atol=0.25)


def _is_inside(mask: BoolArray) -> bool:
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return bool(mask.any() and not edge.any())


def test_things_are_in_view_from_the_first_frame_on_and_come_back(
    flat_scene: Callable[..., Scene], perform: Perform
) -> None:
    scene = flat_scene()
    for seed in range(30):
        thing = Thing(np.random.default_rng(seed), scene)
        round_trip = float(thing.travelled[-1]) / thing.speed
        _, masks = perform(thing, scene, [0.0, round_trip])
        assert masks[0].any()
        assert np.linalg.norm(centre(masks[0]) - centre(masks[1])) < 3


def test_those_behind_follow_on_the_same_way(flat_scene: Callable[..., Scene], perform: Perform) -> None:
    scene = flat_scene(size=(160, 200))
    leader, follower = things(scene, 2)
    follower.follow(leader, gap=20.0)
    delay = 20.0 / leader.speed
    leader.rgba = follower.rgba
    for name in ("shadow", "sway", "deformation", "follows_path"):
        setattr(leader, name, getattr(follower, name))
    if follower.deformation or follower.sway[0]:
        leader.deformation = follower.deformation = 0.0
        leader.sway = follower.sway = (0.0, 0.1, 0.0)
    _, ahead = perform(leader, scene, [1.0, 2.0])
    _, behind = perform(follower, scene, [1.0 + delay, 2.0 + delay])
    np.testing.assert_array_equal(ahead, behind)


def test_one_in_four_takes_on_the_colours_of_the_scene(flat_scene: Callable[..., Scene]) -> None:
    """What is disguised depends on the background; so the same things in two scenes tell which ones are."""
    dark, bright = things(flat_scene(0.25), 80), things(flat_scene(0.75), 80)
    disguised = []
    for one, other in zip(dark, bright, strict=True):
        solid = one.rgba[..., 3] > 0.999
        shift = (other.rgba - one.rgba)[solid][:, :3]
        if not shift.size or not shift.any():
            continue
        own = 1 - shift / 0.5  # the share that is left of its own colours
        assert own.min() >= 0.1 - 1e-3 and own.max() <= 0.5 + 1e-3
        assert np.abs(one.rgba[solid][:, :3] - 0.25).max() <= 0.5 * 0.75 + 1e-3
        disguised.append(one)
    assert 10 <= len(disguised) <= 32


def test_shadows_belong_to_the_mask(flat_scene: Callable[..., Scene], perform: Perform) -> None:
    scene = flat_scene(size=(200, 200))
    thing = next(t for t in things(scene, 100) if t.shadow > 0.4 and length(t) > 30)
    [with_shadow], [mask] = perform(thing, scene, [1.0])
    thing.shadow = 0.0
    [without], [body] = perform(thing, scene, [1.0])
    shaded = mask & ~body
    assert shaded.sum() > 0.1 * body.sum()
    assert np.all(with_shadow[shaded] <= without[shaded] + 1e-6)
    assert np.all(mask | ~body)


def test_no_shadows_at_night(flat_scene: Callable[..., Scene]) -> None:
    assert not any(thing.shadow for thing in things(flat_scene(ambient=0.3), 30))
    assert 8 <= sum(thing.shadow > 0 for thing in things(flat_scene(), 30)) <= 22


def test_casts_of_one_to_three(flat_scene: Callable[..., Scene]) -> None:
    casts = [Things(np.random.default_rng(seed), flat_scene()) for seed in range(40)]
    assert {len(cast.things) for cast in casts} == {1, 2, 3}
    rows = [cast for cast in casts if len(cast.things) > 1 and cast.things[0].path is cast.things[1].path]
    assert rows and len(rows) < len(casts) / 2


def test_what_passes_is_there_between_two_moments_and_no_other(
    flat_scene: Callable[..., Scene], perform: Perform
) -> None:
    scene = flat_scene(size=(160, 160))
    passing = Passing(large_thing(np.random.default_rng(1), scene, 1), comes_at=10, num_frames=20)
    pictures, masks = perform(passing, scene, range(40))
    seen = [index for index, mask in enumerate(masks) if mask.any()]
    assert seen and seen[0] >= 10 and seen[-1] < 30 and seen == list(range(seen[0], seen[-1] + 1))
    assert len(seen) >= 15  # it begins and ends just outside
    for index in set(range(40)) - set(seen):
        np.testing.assert_array_equal(pictures[index], scene.background)
    way = np.linalg.norm(centre(masks[seen[-3]]) - centre(masks[seen[2]]))
    assert way > 80  # from one side to the other


@pytest.mark.parametrize("num_frames", [20, 90])
def test_something_comes_or_leaves_within_the_sequence(
    num_frames: int, flat_scene: Callable[..., Scene], perform: Perform
) -> None:
    scene = flat_scene(size=(128, 128))
    comes, leaves = 0, 0
    for seed in range(20):
        passing = Passing.sample(np.random.default_rng(seed), scene, num_frames)
        end = passing.comes_at + passing.num_frames
        assert 0.4 * num_frames <= passing.num_frames <= 3 * num_frames
        comes += 0.1 * num_frames <= passing.comes_at <= 0.9 * num_frames
        leaves += 0.1 * num_frames <= end <= 0.9 * num_frames
        assert 0 < passing.comes_at < num_frames or 0 < end < num_frames
        assert any(mask.any() for mask in perform(passing, scene, range(num_frames))[1])
    assert comes >= 5 and leaves >= 5


def test_of_more_candidates_the_one_told_best_passes(flat_scene: Callable[..., Scene]) -> None:
    scene = flat_scene(size=(200, 200))

    def contrast(candidates: int, seed: int) -> float:
        rgba = large_thing(np.random.default_rng(seed), scene, candidates).rgba
        assert PASSING_LENGTHS[0] * 200 < max(rgba.shape[:2]) < PASSING_LENGTHS[1] * 200
        colour = rgba[..., :3].sum(axis=(0, 1)) / rgba[..., 3].sum()
        return float(np.abs(colour - scene.background.mean(axis=(0, 1))).mean())

    one, six = ([contrast(count, seed) for seed in range(12)] for count in (1, 6))
    assert all(more >= less for less, more in zip(one, six, strict=True)) and sum(six) > 1.3 * sum(one)
