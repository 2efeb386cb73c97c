"""Flags of the command line, made from the settings classes."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Annotated, Any, TypedDict, get_type_hints

from cyclopts import Parameter, Token

from convlstm.config_file import setting_help


def flags_of(config: type[Any]) -> Any:
    """The fields of a config as optional flags: only those that were given come back, so that YAML keeps the others."""
    hints = get_type_hints(config)
    flags = {
        setting.name: Annotated[
            hints[setting.name],
            Parameter(
                help=setting_help(setting),
                consume_multiple=True,
                negative_iterable=(),
                converter=_CONVERTERS.get(hints[setting.name]),
            ),
        ]
        for setting in fields(config)
    }
    return TypedDict(f"{config.__name__}Flags", flags, total=False)  # type: ignore[operator]


def _whole_number(hint: Any, tokens: Sequence[Token]) -> int:
    """Cyclopts alone would round 1.5."""
    del hint
    try:
        return int(tokens[0].value)
    except ValueError as error:
        raise ValueError(f'"{tokens[0].value}" is not a whole number') from error


def _numbers(hint: Any, tokens: Sequence[Token]) -> tuple[float, ...]:
    """0.7 0.2 0.1, or as people write shares: 0.7/0.2/0.1."""
    del hint
    words = [word for token in tokens for word in token.value.split("/")]
    try:
        return tuple(float(word) for word in words)
    except ValueError as error:
        raise ValueError(f'"{" ".join(words)}" is not a list of numbers') from error


_CONVERTERS: dict[Any, Callable[..., Any]] = {
    int: _whole_number,
    int | None: _whole_number,
    tuple[float, ...] | None: _numbers,
}
