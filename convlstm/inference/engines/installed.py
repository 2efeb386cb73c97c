"""Which engines are installed, and what to say of the others."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from convlstm.errors import ConfigError

PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime", "export": "onnx"}
"""What the engines need, and what writes their graphs."""


def is_installed(purpose: str) -> bool:
    """Whether the package for it is there; it is not imported."""
    return find_spec(PACKAGES[purpose]) is not None


def require(purpose: str) -> Any:
    """Import the package for it. Raises ConfigError, which names the extra to install, where that fails."""
    package = PACKAGES[purpose]
    try:
        return import_module(package)
    except ImportError as error:
        what, extra = ("exporting", "onnx") if purpose == "export" else (f"engine {purpose}", purpose)
        raise ConfigError(f'{what} needs the package {package}: pip install "convlstm[{extra}]"') from error
