"""The weights that come with the package, and how weights are named."""

from importlib.resources import files
from pathlib import Path
from typing import TypeGuard

from convlstm.config import SHIPPED, SHIPPED_FAST
from convlstm.errors import CheckpointError

FILE_NAMES = {SHIPPED: "shipped", SHIPPED_FAST: "shipped_fast"}


def shipped_weights(name: str = SHIPPED) -> Path:
    """Path of the weights of that name that come with the package; MODEL_CARD.md beside them says what they can do.

    Raises CheckpointError where the installation lacks them.
    """
    return _asset(f"{FILE_NAMES[name]}.safetensors")


def shipped_graphs(name: str = SHIPPED) -> Path:
    """Path of the same weights as an export, which runs without torch. Raises CheckpointError as `shipped_weights`."""
    return _asset(f"{FILE_NAMES[name]}_onnx")


def _asset(name: str) -> Path:
    path = Path(str(files("convlstm"))) / "assets" / name
    if not path.exists():
        raise CheckpointError(f"{path}: the weights that come with the package are missing: install it again")
    return path


def resolve_weights(weights: str | Path) -> Path:
    """The file that `weights` names: the texts "shipped" and "shipped-fast" stand for what comes along, else a path.

    A file of such a name in the working folder is "./shipped", or a Path.
    """
    return shipped_weights(weights) if is_shipped(weights) else Path(weights)


def is_shipped(weights: object) -> TypeGuard[str]:
    """Whether that is the name of weights that come with the package."""
    return isinstance(weights, str) and weights in FILE_NAMES
