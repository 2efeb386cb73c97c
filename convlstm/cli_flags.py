"""Flags of the command line, made from the settings classes."""

from collections.abc import Sequence
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
                converter=_whole_number if hints[setting.name] in (int, int | None) else None,
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
