from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.toolkits.split_groups import split_groups

pytestmark = pytest.mark.pure

SHARES = (0.7, 0.2, 0.1)


def of_one(num_groups: int, *, types: tuple[str, ...] = ("static", "dynamic")) -> dict[str, list[str]]:
    return {f"{kind}{number}": [kind] for kind in types for number in range(num_groups)}


def counts(groups: dict[str, list[str]], splits: dict[str, str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for group, types in groups.items():
        found.setdefault(splits[group], Counter()).update(types)
    return found


def test_shares_are_met_for_each_type() -> None:
    groups = of_one(100)
    found = counts(groups, split_groups(groups, {}, shares=SHARES, seed=0))
    assert found == {split: {"static": n, "dynamic": n} for split, n in (("train", 70), ("val", 20), ("test", 10))}


@pytest.mark.parametrize(("num_groups", "expected"), [(1, "1"), (2, "1 1"), (3, "1 1 1"), (4, "2 1 1"), (10, "7 2 1")])
def test_few_groups_give_every_split_one_as_long_as_there_are(num_groups: int, expected: str) -> None:
    groups = of_one(num_groups)
    found = counts(groups, split_groups(groups, {}, shares=SHARES, seed=3))
    sizes = [found[split]["static"] for split in ("train", "val", "test") if split in found]
    assert " ".join(map(str, sizes)) == expected


def test_the_seed_decides_and_the_order_does_not() -> None:
    groups = of_one(30)
    backwards = dict(reversed(groups.items()))
    first = split_groups(groups, {}, shares=SHARES, seed=0)
    assert split_groups(backwards, {}, shares=SHARES, seed=0) == first
    assert split_groups(groups, {}, shares=SHARES, seed=1) != first


def test_sequences_count_not_groups() -> None:
    groups = {"huge": ["static"] * 70, **{f"g{n}": ["static"] for n in range(30)}}
    splits = split_groups(groups, {}, shares=SHARES, seed=0)
    found = counts(groups, splits)
    assert splits["huge"] == "train" and found["val"]["static"] == 20 and found["test"]["static"] == 10


def test_two_shares_know_no_test() -> None:
    groups = of_one(10)
    assert set(split_groups(groups, {}, shares=(0.8, 0.2), seed=0).values()) == {"train", "val"}


group_lists = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=4),
    st.lists(st.sampled_from(("static", "dynamic", "smoke")), min_size=1, max_size=5),
    min_size=1,
    max_size=30,
)


@given(group_lists, st.data(), st.integers(0, 5))
def test_what_is_given_stays_and_all_have_one(groups: dict[str, list[str]], data: st.DataObject, seed: int) -> None:
    given_ones = {
        group: data.draw(st.sampled_from((None, "train", "val", "test")))
        for group in groups
        if data.draw(st.booleans())
    }
    splits = split_groups(groups, given_ones, shares=SHARES, seed=seed)
    assert splits.keys() == groups.keys() and set(splits.values()) <= {"train", "val", "test"}
    assert all(splits[group] == split for group, split in given_ones.items() if split is not None)
    assert split_groups(groups, splits, shares=SHARES, seed=seed + 1) == splits


@given(st.integers(3, 60), st.integers(1, 40), st.integers(0, 5))
def test_more_groups_later_move_none_and_keep_the_shares(before: int, more: int, seed: int) -> None:
    groups = of_one(before)
    first = split_groups(groups, {}, shares=SHARES, seed=seed)
    groups = of_one(before + more)
    second = split_groups(groups, first, shares=SHARES, seed=seed)
    assert first.items() <= second.items()
    found = counts(groups, second)
    for split, share in zip(("train", "val", "test"), SHARES, strict=True):
        assert abs(found[split]["static"] - share * (before + more)) < 2


def test_mixtures_that_are_rare_help_each_other_out() -> None:
    groups = {"both": ["static", "dynamic"], "one": ["static"]}
    assert split_groups(groups, {}, shares=(0.8, 0.2), seed=0) == {"both": "train", "one": "val"}
    assert split_groups(groups, {"one": "train"}, shares=(0.8, 0.2), seed=0) == {"both": "train", "one": "train"}
