"""The weights that come with the package, and how weights are named."""

from importlib.resources import files
from pathlib import Path

from convlstm.config import SHIPPED
from convlstm.errors import CheckpointError


def shipped_weights() -> Path:
    """Path of the weights that come with the package; MODEL_CARD.md beside them says what they can do.

    Raises CheckpointError where the installation lacks them.
    """
    return _asset("shipped.safetensors")


def shipped_graphs() -> Path:
    """Path of the same weights as an export, which runs without torch. Raises CheckpointError as `shipped_weights`."""
    return _asset("shipped_onnx")


def _asset(name: str) -> Path:
    path = Path(str(files("convlstm"))) / "assets" / name
    if not path.exists():
        raise CheckpointError(f"{path}: the weights that come with the package are missing: install it again")
    return path


def resolve_weights(weights: str | Path) -> Path:
    """The file that `weights` names: the text "shipped" stands for `shipped_weights()`, all else is a path.

    A file of that name in the working folder is "./shipped", or a Path.
    """
    return shipped_weights() if weights == SHIPPED else Path(weights)
