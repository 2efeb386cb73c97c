"""Actors drawn by torch: what the generator's numpy draws, several moments and canvases at once."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convlstm.utils.data.batched_actors.actors import BATCHED, batched
from convlstm.utils.data.synthetic.actors import ACTORS, Actor
from convlstm.utils.data.synthetic.scenes import Scene, still_scene

pytestmark = pytest.mark.pure

CPU = torch.device("cpu")
TIMES = (3.0, 4.0, 12.5, 31.25)
ANY_SEED = st.integers(0, 2**32 - 1)

LARGEST_MEAN = {"moving": 0.3, "foliage": 0.3, "flicker": 0.1, "smoke": 0.05, "water": 0.15, "screen": 0.001}
"""Grey levels: OpenCV moves pictures by whole 32ths of a pixel, and a deforming cutout is looked up twice there."""


def stage(kind: str, seed: int, height: int = 96, width: int = 120) -> tuple[Actor, Scene]:
    scene = still_scene(np.random.default_rng(seed), (height, width))
    return ACTORS[kind](np.random.default_rng(seed), scene), scene


def canvas_of(scene: Scene, num_moments: int, num_canvases: int = 1) -> Tensor:
    """float32 (K, N, 3, H, W)."""
    return torch.from_numpy(scene.background).permute(2, 0, 1).repeat(num_canvases, num_moments, 1, 1, 1)


@settings(max_examples=60)
@given(st.sampled_from(sorted(ACTORS)), ANY_SEED, st.integers(64, 130), st.integers(64, 130))
def test_they_are_the_actors_of_the_generator(kind: str, seed: int, height: int, width: int) -> None:
    actor, scene = stage(kind, seed, height, width)
    canvas = canvas_of(scene, len(TIMES))
    masks = batched(actor, CPU).draw(canvas, TIMES)
    assert (masks.dtype, tuple(masks.shape)) == (torch.bool, (len(TIMES), height, width))
    for index, time in enumerate(TIMES):
        picture = scene.background.copy()
        mask = actor.draw(picture, time)
        differences = 255 * np.abs(canvas[0, index].permute(1, 2, 0).numpy() - picture)
        assert differences.mean() < LARGEST_MEAN[kind]
        assert (masks[index].numpy() != mask).mean() < 0.03  # shadows end softly


@pytest.mark.parametrize("kind", sorted(ACTORS))
def test_canvases_are_drawn_on_alike_and_moments_each_for_itself(kind: str) -> None:
    for seed in range(4):
        actor, scene = stage(kind, seed)
        together = canvas_of(scene, len(TIMES), 2)
        masks = batched(actor, CPU).draw(together, TIMES)
        assert torch.equal(together[0], together[1])
        for index, time in enumerate(TIMES):
            alone = canvas_of(scene, 1)
            mask = batched(actor, CPU).draw(alone, [time])
            torch.testing.assert_close(alone[0, 0], together[0, index], atol=1e-4, rtol=0)
            assert (mask[0] != masks[index]).float().mean() < 1e-3


@pytest.mark.parametrize("kind", sorted(ACTORS))
def test_one_moment_is_drawn_onto_all(kind: str) -> None:
    for seed in range(4):
        actor, scene = stage(kind, seed)
        repeated, at_once = canvas_of(scene, 3), canvas_of(scene, 3)
        masks = batched(actor, CPU).draw(repeated, [12.5] * 3)
        mask = batched(actor, CPU).draw(at_once, [12.5])
        torch.testing.assert_close(repeated, at_once, atol=1e-5, rtol=0)
        assert (mask.expand_as(masks) != masks).float().mean() < 1e-3
        assert torch.equal(at_once[0, 0], at_once[0, 2])


@pytest.mark.parametrize("kind", sorted(ACTORS))
def test_most_of_them_are_seen(kind: str) -> None:
    changes = []
    for seed in range(12):
        actor, scene = stage(kind, seed)
        canvas = canvas_of(scene, 2)
        masks = batched(actor, CPU).draw(canvas, (10.0, 19.0))
        change = 255 * (canvas[0, 0] - canvas[0, 1]).abs().amax(dim=0) * masks.any(dim=0)
        changes.append(float(change.max()))
    assert np.median(changes) > 25


def test_every_actor_has_one() -> None:
    assert {type(stage(kind, 1)[0]) for kind in ACTORS} == set(BATCHED)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_draws_the_same() -> None:
    for kind, seed in itertools.product(ACTORS, range(4)):
        actor, scene = stage(kind, seed)
        canvas, there = canvas_of(scene, len(TIMES)), canvas_of(scene, len(TIMES)).cuda()
        mask = batched(actor, CPU).draw(canvas, TIMES)
        mask_there = batched(actor, there.device).draw(there, TIMES)
        assert (canvas - there.cpu()).abs().mean() < 1e-3
        assert (mask != mask_there.cpu()).float().mean() < 1e-2
