"""A list of cameras in YAML.

front: rtsp://user:${FRONT_PASSWORD}@192.168.1.20/stream1
yard:
  url: http://192.168.1.21/video.mjpg
  sample_fps: 5
  roi: 0 0.3 1 0.3 1 1 0 1
  ignore: [0 0 0.2 0 0.2 0.1 0 0.1, 0.9 0 1 0 1 0.2]
"""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convlstm.config_file import read_yaml
from convlstm.errors import ConfigError
from convlstm.region import Region, parse_polygons
from convlstm.sources.address import is_live

_KEYS = ("url", "sample_fps", "roi", "ignore")
_CAMERA_NAME = re.compile(r"[\w.-]{1,100}", re.ASCII)  # it names a folder of results


@dataclass(frozen=True, repr=False)
class Camera:
    """Where a camera is and how to look at it; None for `sample_fps` looks at all frames."""

    name: str
    address: str
    region: Region
    sample_fps: float | None = None

    def __repr__(self) -> str:
        return f"Camera({self.name})"  # the address may hold a password


def is_camera_list(source: str | Path) -> bool:
    """Whether this is the name of a YAML file."""
    return Path(source).suffix.lower() in (".yaml", ".yml")


def read_cameras(path: Path, default: Camera) -> list[Camera]:
    """The cameras of a YAML file; what one does not say is as in `default`.

    `${NAME}` in an address is taken from the environment, so that passwords need not stand in files. Raises
    ConfigError, which names the camera.
    """
    cameras = [_camera(path, str(name), value, default) for name, value in read_yaml(path).items()]
    if not cameras:
        raise ConfigError(f'{path}: no cameras in it: write lines "name: rtsp://..."')
    folded = [camera.name.casefold() for camera in cameras]
    twice = [name for name in folded if folded.count(name) > 1]
    if twice:
        raise ConfigError(f"{path}: two cameras are called {twice[0]}: their results would share a folder")
    return cameras


def _camera(path: Path, name: str, value: Any, default: Camera) -> Camera:
    origin = f"{path}: {name}"
    if not _CAMERA_NAME.fullmatch(name) or not name.strip("."):
        raise ConfigError(
            f"{origin}: names of cameras are of letters, digits, - and _: results lie in folders so called"
        )
    settings = value if isinstance(value, dict) else {"url": value}
    _check_keys(origin, settings)
    roi = _polygons(origin, "roi", settings)
    ignore = _polygons(origin, "ignore", settings)
    return Camera(
        name,
        _address(origin, settings["url"]),
        Region(default.region.roi if roi is None else roi, default.region.ignore if ignore is None else ignore),
        _sample_fps(origin, settings.get("sample_fps", default.sample_fps)),
    )


def _check_keys(origin: str, settings: Mapping[Any, Any]) -> None:
    for key in settings:
        if key not in _KEYS:
            nearest = difflib.get_close_matches(str(key), _KEYS, n=1)
            advice = f'did you mean "{nearest[0]}"?' if nearest else f"known are: {', '.join(_KEYS)}"
            raise ConfigError(f'{origin}: unknown setting "{key}": {advice}')
    if "url" not in settings:
        raise ConfigError(f'{origin}: no address: write "{origin.rsplit(" ", 1)[-1]}: rtsp://..." or give it a url')


def _address(origin: str, value: Any) -> str:
    address = os.path.expandvars(str(value))
    missing = re.search(r"\$\{(\w+)\}", address)
    if missing:
        raise ConfigError(f"{origin}: the environment has no {missing[1]}: set it, as the address names it")
    if not is_live(address):
        raise ConfigError(
            f"{origin}: not a camera: expected rtsp://, http:// or a camera's number; files go without a list"
        )
    return address


def _polygons(origin: str, key: str, settings: Mapping[str, Any]) -> Any:
    if key not in settings:
        return None
    values = settings[key]
    return parse_polygons(f"{origin}: {key}", values if isinstance(values, list) else [str(values)])


def _sample_fps(origin: str, value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and (not is_number or not value > 0):
        raise ConfigError(f"{origin}: sample_fps must be a number greater than 0, got {value}")
    return None if value is None else float(value)
