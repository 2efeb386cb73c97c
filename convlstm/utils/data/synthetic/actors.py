"""What can move in a scene, behind one face.

An actor is drawn for a moment, `time` in frames. Drawn for one moment after the other it is dynamic; drawn for one and
the same moment it is part of a still scene that looks just the same.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from convlstm.types import Float32Array
from convlstm.utils.data.synthetic.fluids import Fire, Smoke, Water
from convlstm.utils.data.synthetic.scenes import BoolArray, Scene
from convlstm.utils.data.synthetic.swaying import Foliage, Screen
from convlstm.utils.data.synthetic.things import Things


class Actor(Protocol):
    """Something in a scene that changes with time."""

    def draw(self, canvas: Float32Array, time: float) -> BoolArray:
        """Draw onto `canvas` (H, W, 3) in place; which pixels (H, W) the actor changes visibly at that moment."""
        ...


ACTORS: dict[str, Callable[[np.random.Generator, Scene], Actor]] = {
    "moving": Things,
    "flicker": Fire,
    "smoke": Smoke,
    "water": Water,
    "foliage": Foliage,
    "screen": Screen,
}
"""Builders of actors by the kind of sequence they make."""
