"""The order of frames by the numbers in their names.

frame_1.png frame_2.png frame_10.png        counted
frame_000.png frame_003.png frame_006.png   every third one: the step is 3, nothing is missing
2026-01-31_12-00-00-040.png                 date and time, down to milliseconds
frame_0001.png img_0001.png                 two numberings: an error
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import PurePath
from statistics import median

from convlstm.errors import DataError

_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class NumberedFrame:
    """A file name with its place: neighbours in time have neighbouring `index`, a missing frame leaves a gap."""

    name: str
    index: int


def order_frames(folder: str, names: Sequence[str]) -> list[NumberedFrame]:
    """Sort file names into time order and give each its index from 0.

    The step of the numbering is the median difference of neighbours; where two differ by more than one and a half
    steps, frames are missing between them. Raises DataError for names without a number, two
    numberings, or one number twice.
    """
    numbers = _numbers(folder, names)
    ordered = sorted(zip(numbers, names, strict=True))
    for (number, name), (next_number, next_name) in pairwise(ordered):
        if number == next_number:
            raise DataError(f"{folder}: {name} and {next_name} have the same number: keep one numbering in a folder")
    differences = [b[0] - a[0] for a, b in pairwise(ordered)]
    step = median(differences) if differences else 1
    frames, index = [], 0
    for position, (_, name) in enumerate(ordered):
        if position:
            index += _steps(differences[position - 1], step)
        frames.append(NumberedFrame(name, index))
    return frames


def _steps(difference: int, step: float) -> int:
    if 0.5 * step <= difference <= 1.5 * step:
        return 1
    return max(2, round(difference / step))


def _numbers(folder: str, names: Sequence[str]) -> list[int]:
    """One number per name, comparable within the folder."""
    if len(names) == 1:
        return [0]
    fields = [_DIGITS.findall(PurePath(name).stem) for name in names]
    skeletons = defaultdict(list)
    for name, digits in zip(names, fields, strict=True):
        if not digits:
            raise DataError(f"{folder}: no frame number in {name}: name frames like frame_000001.png")
        skeletons[_DIGITS.sub("#", PurePath(name).stem)].append(name)
    if len(skeletons) > 1:
        raise _two_numberings(folder, [examples[0] for examples in skeletons.values()])
    return _field_numbers(folder, names, [[int(digit) for digit in digits] for digits in fields])


def _field_numbers(folder: str, names: Sequence[str], fields: list[list[int]]) -> list[int]:
    times = [_milliseconds(row) for row in fields]
    if all(time is not None for time in times):
        return [time for time in times if time is not None]
    varying = [i for i in range(len(fields[0])) if len({row[i] for row in fields}) > 1]
    if len(varying) <= 1:
        column = varying[0] if varying else -1
        return [row[column] for row in fields]
    first = fields[0]
    other = next(name for name, row in zip(names, fields, strict=True) if _differs(first, row, varying[:-1]))
    raise _two_numberings(folder, [names[0], other])


def _differs(first: list[int], row: list[int], columns: list[int]) -> bool:
    return any(first[column] != row[column] for column in columns)


def _milliseconds(fields: list[int]) -> int | None:
    """Year, month, day, hour, minute, second and, where given, milliseconds; None where the fields are no date.

    Date and time may also be one number each: 20260131_120000.
    """
    if len(fields) in (2, 3) and 1900_01_01 <= fields[0] <= 9999_12_31:
        parts = [part for number in fields[:2] for part in (number // 10000, number // 100 % 100, number % 100)]
        fields = [*parts, *fields[2:]]
    if len(fields) not in (6, 7) or (len(fields) == 7 and fields[6] >= 1000):
        return None
    try:
        moment = datetime(*fields[:6])  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return None
    since = moment - datetime(1970, 1, 1)
    return (since.days * 86400 + since.seconds) * 1000 + (fields[6] if len(fields) == 7 else 0)


def _two_numberings(folder: str, examples: list[str]) -> DataError:
    return DataError(
        f"{folder}: two numberings in one folder, {examples[0]} and {examples[1]}: give each its own folder"
    )
