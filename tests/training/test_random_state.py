import random
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from convlstm.models.checkpoint import content_digest
from convlstm.training.random_state import random_state, restore_random_state, seed_everything


def draw() -> list[Any]:
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(3).tolist()]


@given(st.integers(0, 2**40), st.integers(0, 5))
def test_what_is_drawn_after_restoring_is_what_would_have_been_drawn(seed: int, num_before: int) -> None:
    seed_everything(seed)
    for _ in range(num_before):
        draw()
    state = random_state()
    expected = [draw() for _ in range(3)]
    seed_everything(seed + 1)
    restore_random_state(state)
    assert [draw() for _ in range(3)] == expected


def test_the_same_seed_begins_alike() -> None:
    seed_everything(7)
    first = draw()
    seed_everything(7)
    assert draw() == first
    seed_everything(8)
    assert draw() != first


def test_the_state_is_plain_enough_for_a_checkpoint() -> None:
    seed_everything(3)
    assert content_digest(random_state()) == content_digest(random_state())
