"""Settings from YAML files and flags: YAML first, then flags, and the flag wins.

Nothing here imports torch.
"""

import difflib
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import Field, asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml

from convlstm.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

AnyConfig = TypeVar("AnyConfig", bound="DataclassInstance")


def load_config(kind: type[AnyConfig], path: Path | None = None, flags: Mapping[str, Any] | None = None) -> AnyConfig:
    """Defaults, then the YAML file `path`, then `flags`; checked.

    Raises ConfigError, which names an unknown key's nearest neighbour.
    """
    values = dict(read_yaml(path)) if path is not None else {}
    values.update(flags or {})
    return config_from_dict(kind, values, origin=str(path) if path is not None else "arguments")


def config_from_dict(kind: type[AnyConfig], values: Mapping[str, Any], *, origin: str) -> AnyConfig:
    """Build `kind` from plain values; `origin` is named in messages."""
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}
    converted = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"{origin}: {_unknown_key(key, list(known))}")
        converted[key] = _convert(value, hints[key], key, origin)
    return kind(**converted)


def _unknown_key(key: object, known: list[str]) -> str:
    nearest = difflib.get_close_matches(str(key).replace("-", "_"), known, n=1)
    advice = f'did you mean "{nearest[0]}"?' if nearest else f"known are: {', '.join(known)}"
    return f'unknown setting "{key}": {advice}'


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of settings as a dict. Raises ConfigError, with the line where YAML gives one."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f'{path} must hold lines "setting: value", got {type(values).__name__}')
    return values


def _convert(value: Any, hint: Any, key: str, origin: str) -> Any:
    try:
        return _convert_value(value, hint)
    except (TypeError, ValueError, OverflowError) as error:
        expected = str(error) if isinstance(error, _ChoiceError) else type_words(hint)
        raise ConfigError(f"{origin}: {key} must be {expected}, got {value!r}") from error


class _ChoiceError(ValueError):
    pass


def _convert_value(value: Any, hint: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _convert_value(value, next(a for a in arguments if a is not type(None)))
    if origin is Literal:
        if value not in arguments:
            raise _ChoiceError("one of " + ", ".join(arguments))
        return value
    if origin is tuple:
        return _convert_tuple(value, arguments)
    if hint is bool or isinstance(value, bool):
        if hint is not bool or not isinstance(value, bool):
            raise TypeError
        return value
    if hint is int and isinstance(value, float) and not value.is_integer():
        raise ValueError
    if hint in (str, Path) and not isinstance(value, str | Path):
        raise TypeError
    result = hint(value)
    if isinstance(result, float) and not math.isfinite(result):
        raise ValueError
    return result


def _convert_tuple(value: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise TypeError
    if arguments[-1] is not Ellipsis and len(value) != len(arguments):
        raise ValueError
    return tuple(_convert_value(item, arguments[0]) for item in value)


def type_words(hint: Any) -> str:
    """A type as a user would say it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return f"{type_words(arguments[0])} or nothing"
    if origin is tuple:
        count = "a list of" if arguments[-1] is Ellipsis else f"{len(arguments)}"
        return f"{count} values, each {type_words(arguments[0])}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
    return words.get(hint, str(hint))


def config_to_dict(config: "DataclassInstance") -> dict[str, Any]:
    """Plain values for YAML and checkpoints; the inverse of `config_from_dict`."""

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return str(value)
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    return {key: plain(value) for key, value in asdict(config).items()}


def setting_help(setting: "Field[Any]") -> str:
    """Help text of one field, with its default."""
    default = setting.default
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
    text = str(setting.metadata["help"])
    return text if default is None else f"{text} [{shown}]"
