from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.errors import ManifestError
from convlstm.utils.data.manifest import ManifestRow
from convlstm.utils.data.split import split_rows

pytestmark = pytest.mark.pure

TYPES = ("static", "dynamic", "negative")


def row(group: str, kind: str, line: int = 2, split: str | None = None) -> ManifestRow:
    return ManifestRow(f"sequence_{line}", kind, group, None, split, line)


def rows_of(*groups: tuple[str, str]) -> list[ManifestRow]:
    """Rows with one (group, type) each."""
    return [row(group, kind, line) for line, (group, kind) in enumerate(groups, start=2)]


one_type_per_group = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40).map(
    lambda pairs: rows_of(*((f"g{number}", TYPES[number % 3]) for number, _ in pairs))
)
any_types = st.lists(st.tuples(st.integers(0, 8), st.sampled_from(TYPES)), min_size=1, max_size=20).map(
    lambda pairs: rows_of(*((f"g{number}", kind) for number, kind in pairs))
)
ratios = st.floats(0.01, 0.99)


def groups_of(rows: list[ManifestRow]) -> set[str]:
    return {row.group for row in rows}


@given(st.one_of(one_type_per_group, any_types), ratios, st.integers(0, 2**40))
def test_no_group_stands_on_two_sides_and_none_is_lost(rows: list[ManifestRow], ratio: float, seed: int) -> None:
    try:
        result = split_rows(rows, val_ratio=ratio, seed=seed)
    except ManifestError as error:
        assert "the split leaves val empty" in str(error)
        return
    assert list(result) == ["train", "val", "test"] and not result["test"]
    assert groups_of(result["train"]).isdisjoint(groups_of(result["val"]))
    assert sorted(r.line for side in result.values() for r in side) == [r.line for r in rows]
    assert result["train"] and result["val"]
    assert split_rows(rows, val_ratio=ratio, seed=seed) == result


@given(one_type_per_group, ratios, st.integers(0, 1000))
def test_each_type_with_two_groups_stands_on_both_sides(rows: list[ManifestRow], ratio: float, seed: int) -> None:
    num_groups = Counter(kind for _, kind in {(r.group, r.type) for r in rows})
    if max(num_groups.values()) < 2:
        with pytest.raises(ManifestError):
            split_rows(rows, val_ratio=ratio, seed=seed)
        return
    result = split_rows(rows, val_ratio=ratio, seed=seed)
    for kind, count in num_groups.items():
        in_validation = len({r.group for r in result["val"] if r.type == kind})
        assert in_validation == (min(count - 1, max(1, round(ratio * count))) if count > 1 else 0)


@given(st.permutations(rows_of(*((f"g{i}", TYPES[i % 2]) for i in range(10)))), st.integers(0, 50))
def test_the_order_of_rows_does_not_matter(rows: list[ManifestRow], seed: int) -> None:
    in_order = sorted(rows, key=lambda r: r.line)
    first, second = (split_rows(some, val_ratio=0.3, seed=seed) for some in (rows, in_order))
    assert groups_of(first["val"]) == groups_of(second["val"])


def test_seeds_draw_different_groups() -> None:
    rows = rows_of(*((f"g{i}", "static") for i in range(20)))
    drawn = {frozenset(groups_of(split_rows(rows, val_ratio=0.2, seed=seed)["val"])) for seed in range(10)}
    assert len(drawn) > 5 and {len(groups) for groups in drawn} == {4}


def test_a_group_of_many_sequences_moves_as_one() -> None:
    rows = rows_of(*[("kitchen", "static")] * 9, ("hall", "static"))
    result = split_rows(rows, val_ratio=0.2, seed=0)
    assert {len(result["train"]), len(result["val"])} == {9, 1}


@pytest.mark.parametrize("seed", range(5))
def test_types_mixed_in_groups_still_reach_validation(seed: int) -> None:
    """No two groups hold the same mixture, yet each type occurs in two of them."""
    rows = rows_of(("a", "static"), ("b", "static"), ("b", "dynamic"), ("c", "dynamic"))
    result = split_rows(rows, val_ratio=0.2, seed=seed)
    for side in ("train", "val"):
        assert {r.type for r in result[side]} == {"static", "dynamic"}


def test_the_split_column_decides() -> None:
    rows = [row("a", "static", 2, "val"), row("b", "static", 3, "test"), row("c", "dynamic", 4, "train")]
    rows += [row("d", "dynamic", 5), row("e", "dynamic", 6), row("a", "dynamic", 7)]
    result = split_rows(rows, val_ratio=0.5, seed=0)
    assert {side: [r.line for r in members] for side, members in result.items()} == {
        "train": [4, 5, 6],
        "val": [2, 7],
        "test": [3],
    }


def test_validation_is_drawn_from_the_groups_that_are_free() -> None:
    rows = [row(f"t{i}", "static", i, "train") for i in range(5)] + [row(f"x{i}", "static", 9 + i) for i in range(2)]
    rows += [row("held", "static", 20, "test")]
    result = split_rows(rows, val_ratio=0.9, seed=0)
    assert len(result["val"]) == 1 and groups_of(result["val"]) <= {"x0", "x1"}
    assert groups_of(result["test"]) == {"held"} and len(result["train"]) == 6


def test_a_group_asked_for_on_two_sides_is_named_with_its_lines() -> None:
    rows = [row("hall", "static", 2, "train"), row("yard", "static", 3), row("hall", "static", 7, "val")]
    expected = r"^group 'hall' stands on two sides of the split: train \(line 2\) and val \(line 7\)$"
    with pytest.raises(ManifestError, match=expected):
        split_rows(rows, val_ratio=0.2, seed=0)


@pytest.mark.parametrize(
    ("rows", "side", "num_groups"),
    [
        (rows_of(("a", "static"), ("a", "static")), "val", 1),
        (rows_of(("a", "static"), ("b", "dynamic")), "val", 2),
        ([row("a", "static", 2, "val"), row("b", "static", 3, "val")], "train", 2),
        ([row("a", "static", 2, "train"), row("b", "static", 3, "train")], "val", 2),
        ([row("a", "static", 2, "test"), row("b", "static", 3, "val")], "train", 2),
    ],
)
def test_an_empty_side_is_refused(rows: list[ManifestRow], side: str, num_groups: int) -> None:
    expected = (
        rf"^the split leaves {side} empty: {num_groups} groups at val_ratio 0.2: "
        "each type needs at least two groups, or set the split column$"
    )
    with pytest.raises(ManifestError, match=expected):
        split_rows(rows, val_ratio=0.2, seed=0)
