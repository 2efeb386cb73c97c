"""The packages that only the YOLO tools need, and what to say where one is missing."""

from importlib import import_module
from typing import Any

from convlstm.errors import ConfigError

_ULTRALYTICS_HINT = (
    ".pt weights need ultralytics (AGPL-3.0), which cannot be imported: export them to .onnx where it can, by "
    "yolo export model=best.pt format=onnx, or install it, and nothing else with it: "
    "pip install --no-deps ultralytics torchvision"
)


def require(package: str) -> Any:
    """Import a package of the extra `yolo`. Raises ConfigError, which tells how to install it, where that fails."""
    try:
        return import_module(package)
    except ImportError as error:
        if package == "ultralytics":
            raise ConfigError(_ULTRALYTICS_HINT) from error
        raise ConfigError(f'the YOLO tools need the package {package}: pip install "convlstm[yolo]"') from error
