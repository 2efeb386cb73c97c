"""Whole groups to train, val and test, in given shares; each kind of group is shared out by itself."""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from convlstm.utils.data.manifest import SPLITS


def split_groups(
    groups: Mapping[str, Sequence[str]], given: Mapping[str, str | None], *, shares: Sequence[float], seed: int
) -> dict[str, str]:
    """The split of every group: `groups` names the types of each group's sequences, `given` where some stand already.

    Groups with the same mixture of types are shared out among train, val and, with three `shares`, test, so that the
    numbers of sequences come close to the shares, those that stand already counted. The seed and the names decide,
    not the order. Every split gets each type as long as there are groups of it that train can spare.
    """
    names = SPLITS[: len(shares)]
    assigned = {group: split for group in groups if (split := given.get(group)) is not None}
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for group, types in groups.items():
        strata[tuple(sorted(set(types)))].append(group)
    for mixture in sorted(strata):
        members = sorted(strata[mixture])
        random.Random(f"{seed} {mixture}").shuffle(members)
        members.sort(key=lambda group: -len(groups[group]))  # large ones first; the order among equals stays drawn
        _share_out(members, groups, assigned, dict(zip(names, shares, strict=True)))
    for split in names[1:]:
        for kind in sorted({kind for types in groups.values() for kind in types}):
            _add_group_of(kind, split, groups, given, assigned)
    return assigned


def _add_group_of(
    kind: str,
    split: str,
    groups: Mapping[str, Sequence[str]],
    given: Mapping[str, str | None],
    assigned: dict[str, str],
) -> None:
    """Where a split lacks a type, send it the smallest group of train that holds it, if train keeps all its types."""
    if any(kind in groups[group] for group, side in assigned.items() if side == split):
        return
    training = [group for group, side in assigned.items() if side == "train"]
    holders = Counter(kind for group in training for kind in set(groups[group]))
    spare = [
        group
        for group in training
        if kind in groups[group] and given.get(group) is None and all(holders[own] > 1 for own in groups[group])
    ]
    if spare:
        assigned[min(spare, key=lambda group: (len(groups[group]), group))] = split


def _share_out(
    members: Sequence[str], groups: Mapping[str, Sequence[str]], assigned: dict[str, str], shares: Mapping[str, float]
) -> None:
    """Give each free group to the split that lacks most of its share."""
    total = sum(len(groups[group]) for group in members)
    held = Counter(dict.fromkeys(shares, 0))
    for group in members:
        if group in assigned:
            held[assigned[group]] += len(groups[group])
    for group in members:
        if group not in assigned:
            assigned[group] = max(shares, key=lambda split: shares[split] * total - held[split])
            held[assigned[group]] += len(groups[group])
