"""Training and validation are told apart by group, never by window: no video ever stands on both sides."""

import random
from collections import defaultdict
from collections.abc import Sequence

from convlstm.errors import ManifestError
from convlstm.utils.data.manifest import ManifestRow


def split_rows(rows: Sequence[ManifestRow], *, val_ratio: float, seed: int) -> dict[str, list[ManifestRow]]:
    """Rows by split: train, val, test.

    A group with a `split` in the manifest goes there as a whole. Where no group is sent to val, of each
    mixture of types about `val_ratio` is drawn for it with `seed`, so that both sides hold all types where the groups
    allow it; the rest trains.
    Raises ManifestError where a group is asked to stand on two sides, or where training or validation would be empty.
    """
    groups: dict[str, list[ManifestRow]] = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    assigned = given_splits(rows)
    free = [group for group, split in assigned.items() if split is None]
    validation = set()
    if "val" not in assigned.values():
        validation = _draw_validation({group: groups[group] for group in free}, val_ratio, seed)
    result: dict[str, list[ManifestRow]] = {"train": [], "val": [], "test": []}
    for group, members in groups.items():
        result[assigned[group] or ("val" if group in validation else "train")] += members
    _check_sides(result, num_groups=len(groups), val_ratio=val_ratio)
    return result


def given_splits(rows: Sequence[ManifestRow]) -> dict[str, str | None]:
    """The split that the manifest gives each group, in order; None where it gives none.

    Raises ManifestError where a group is asked to stand on two sides.
    """
    given: dict[str, dict[str, int]] = {}
    for row in rows:
        lines = given.setdefault(row.group, {})
        if row.split is not None:
            lines[row.split] = row.line
    for group, lines in given.items():
        if len(lines) > 1:
            places = " and ".join(f"{split} (line {line})" for split, line in lines.items())
            raise ManifestError(f"group {group!r} stands on two sides of the split: {places}")
    return {group: next(iter(lines), None) for group, lines in given.items()}


def _draw_validation(groups: dict[str, list[ManifestRow]], val_ratio: float, seed: int) -> set[str]:
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for group, members in groups.items():
        strata[tuple(sorted({row.type for row in members}))].append(group)
    generator = random.Random(seed)
    validation: set[str] = set()
    for types in sorted(strata):
        names = sorted(strata[types])
        generator.shuffle(names)
        count = max(1, round(val_ratio * len(names))) if len(names) > 1 else 0
        validation.update(names[: min(count, len(names) - 1)])
    for name in sorted({row.type for members in groups.values() for row in members}):
        _add_group_of(name, groups, validation, generator)
    return validation


def _add_group_of(
    name: str, groups: dict[str, list[ManifestRow]], validation: set[str], generator: random.Random
) -> None:
    """Where validation lacks a type, send a group that holds it, if training keeps each of the group's types."""
    types = {group: {row.type for row in members} for group, members in groups.items()}
    if any(name in types[group] for group in validation):
        return
    training = sorted(types.keys() - validation)
    spare = [
        group
        for group in training
        if name in types[group] and types[group] <= set().union(*(types[other] for other in training if other != group))
    ]
    if spare:
        validation.add(generator.choice(spare))


def _check_sides(result: dict[str, list[ManifestRow]], *, num_groups: int, val_ratio: float) -> None:
    for side in ("train", "val"):
        if not result[side]:
            raise ManifestError(
                f"the split leaves {side} empty: {num_groups} groups at val_ratio {val_ratio}: "
                "each type needs at least two groups, or set the split column"
            )
