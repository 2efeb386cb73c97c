"""Scenes: valid pixels at every size, photographs in half of them, and cutouts that say what they change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.types import UInt8Array
from convlstm.utils.data.synthetic.cutouts import cutout
from convlstm.utils.data.synthetic.scenes import Photos, Scene, paste, soft_spot, still_scene

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(64, 150)


def photo(colour: tuple[int, int, int], height: int = 90, width: int = 120) -> UInt8Array:
    return np.full((height, width, 3), colour, dtype=np.uint8)


@settings(max_examples=25)
@given(seeds, sides, sides, st.booleans())
def test_scenes_are_colours_at_every_size(seed: int, height: int, width: int, has_photos: bool) -> None:
    photos = (photo((9, 200, 9)), photo((255, 255, 255), 1, 1), photo((0, 0, 0), 3, 200), photo((1, 2, 3), 200, 3))
    scene = still_scene(np.random.default_rng(seed), (height, width), photos if has_photos else ())
    assert scene.size == (height, width)
    assert scene.background.shape == (height, width, 3) and scene.background.dtype == np.float32
    assert scene.background.min() >= 0 and scene.background.max() <= 1
    assert 0.1 < scene.ambient < 1.2
    if scene.foreground is not None:
        assert scene.foreground.shape == (height, width, 4)
        assert scene.foreground.min() >= 0 and scene.foreground.max() <= 1
        assert np.all(scene.foreground[..., :3] <= scene.foreground[..., 3:] + 1e-6)  # premultiplied


def scenes(count: int, photos: Photos = ()) -> list[Scene]:
    return [still_scene(np.random.default_rng(seed), (64, 70), photos) for seed in range(count)]


def is_green(scene: Scene) -> bool:
    red, green, blue = np.median(scene.background.reshape(-1, 3), axis=0)
    return bool(green > 1.3 * max(red, blue))


def test_half_of_the_scenes_are_parts_of_photographs() -> None:
    painted, mixed = scenes(20), scenes(40, (photo((10, 180, 10)),))
    assert sum(map(is_green, painted)) < 4
    assert 11 <= sum(map(is_green, mixed)) <= 26  # half of them, less what is seen in infrared


@pytest.mark.parametrize("size", [(1, 1), (2, 90), (90, 2)])
def test_tiny_photographs_will_do(size: tuple[int, int]) -> None:
    for seed in range(24):
        frame = (64, 100) if seed % 2 else (100, 64)
        scene = still_scene(np.random.default_rng(seed), frame, (photo((10, 180, 10), *size),))
        assert scene.size == frame and np.isfinite(scene.background).all()


def test_a_photograph_shows_a_part_of_itself_upright() -> None:
    """Dark above, bright below: so must be every scene made of it."""
    picture = np.repeat(np.linspace(0, 255, 160).astype(np.uint8)[:, None, None], 200, axis=1).repeat(3, axis=2)
    found = 0
    for seed in range(40):
        rows = still_scene(np.random.default_rng(seed), (64, 64), (picture,)).background.mean(axis=(1, 2))
        found += bool(np.corrcoef(rows, np.arange(64))[0, 1] > 0.97)
    assert found >= 8


def test_some_scenes_are_infrared_and_some_have_a_foreground() -> None:
    made = scenes(60)
    grey = [scene for scene in made if np.ptp(scene.background, axis=2).max() < 1e-3]
    assert 3 <= len(grey) <= 18
    foregrounds = [scene.foreground for scene in made if scene.foreground is not None]
    assert 7 <= len(foregrounds) <= 26
    assert all(layer[..., 3].max() > 0.9 for layer in foregrounds)
    assert any(scene.ambient < 0.4 for scene in made) and any(scene.ambient > 0.5 for scene in made)


@settings(max_examples=40)
@given(seeds, st.integers(2, 80))
def test_cutouts_are_premultiplied_and_end_inside(seed: int, length: int) -> None:
    rgba = cutout(np.random.default_rng(seed), length)
    assert rgba.dtype == np.float32 and rgba.shape[2] == 4
    assert rgba.min() >= 0 and rgba.max() <= 1
    assert np.all(rgba[..., :3] <= rgba[..., 3:] + 1e-6)
    assert not rgba[0].any() and not rgba[-1].any() and not rgba[:, 0].any() and not rgba[:, -1].any()
    longest = max(rgba.shape[:2]) - 2
    assert max(6, length) * 0.3 <= longest <= max(6, length) * 1.05 + 1


@settings(max_examples=60)
@given(
    seeds,
    st.floats(-30, 110),
    st.floats(-30, 90),
    st.floats(-3.2, 3.2),
    st.floats(0.5, 1.5),
    st.sampled_from([0.0, 0.4]),
)
def test_paste_changes_what_it_says_and_nothing_else(
    seed: int, x: float, y: float, angle: float, scale: float, shadow: float
) -> None:
    rng = np.random.default_rng(seed)
    canvas = rng.random((60, 80, 3), dtype=np.float32)
    before = canvas.copy()
    pasted = paste(canvas, cutout(rng, 30), (x, y), angle=angle, scale=scale, shadow=shadow)
    told = np.zeros((60, 80), dtype=np.float32)
    if pasted is not None:
        region, changed = pasted
        told[region] = changed
    assert told.min() >= 0 and told.max() <= 1 + 1e-6
    assert np.all(np.abs(canvas - before).max(axis=2) <= 2 * told + 1e-6)  # a shadow under a soft edge counts twice


def test_paste_puts_the_middle_where_it_is_asked_to() -> None:
    rgba = np.zeros((13, 11, 4), dtype=np.float32)
    rgba[1:-1, 1:-1] = 1
    canvas = np.zeros((60, 80, 3), dtype=np.float32)
    assert paste(canvas, rgba, (50.0, 20.0)) is not None
    ys, xs = np.nonzero(canvas[..., 0])
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (46, 54, 15, 25)
    assert paste(canvas, rgba, (-40.0, 20.0)) is None


def test_a_shadow_darkens_and_never_brightens() -> None:
    canvas = np.ones((60, 80, 3), dtype=np.float32)
    white = np.pad(np.ones((15, 15, 4), dtype=np.float32), ((1, 1), (1, 1), (0, 0)))
    assert paste(canvas, white, (40.0, 30.0), shadow=0.5) is not None
    assert 0.4 < canvas.min() < 0.8 and canvas.max() <= 1
    assert canvas[30, 40].min() == pytest.approx(1)  # on the thing itself there is none


def test_a_soft_spot_is_a_gaussian() -> None:
    spot = soft_spot((80, 120), (60, 30), 8.0, 1.5)
    assert spot[30, 60] == 1
    assert spot[38, 60] == pytest.approx(np.exp(-0.5), abs=1e-6)
    assert spot[30, 72] == pytest.approx(np.exp(-0.5), abs=1e-6)
