import random
from dataclasses import replace

import pytest

from convlstm.toolkits.shortcuts import Look, find_shortcuts

pytestmark = pytest.mark.pure


def looks(num_each: int = 20, seed: int = 0) -> list[Look]:
    """A fair data set: whatever differs, differs in both classes alike."""
    chance = random.Random(seed)
    return [
        Look(
            kind=kind,
            resolution=chance.choice(("640x480", "1280x720")),
            format=chance.choice(("png", "jpg")),
            fps=chance.choice((25.0, 30.0, None)),
            num_frames=chance.randint(20, 60),
            bytes_per_pixel=chance.uniform(0.1, 1),
        )
        for kind in ("static", "dynamic")
        for _ in range(num_each)
    ]


def only(kind: str, **values: object) -> list[Look]:
    return [replace(look, **values) if look.kind == kind else look for look in looks()]  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
def test_a_fair_data_set_has_none(seed: int) -> None:
    assert find_shortcuts(looks(seed=seed)) == []
    assert find_shortcuts([]) == [] and find_shortcuts(looks()[:20]) == []


@pytest.mark.parametrize(
    ("values", "start", "shown"),
    [
        ({"resolution": "320x240"}, "resolution alone tells the classes apart (right for 100%)", "dynamic 320x240"),
        ({"format": "mp4"}, "format alone tells", "dynamic mp4 (20 of 20)"),
        ({"fps": 12.5}, "fps alone tells", "dynamic 12.5 (20 of 20)"),
        ({"bytes_per_pixel": 2.0}, "compression (bytes per pixel) differs", "dynamic 2 at the median"),
        ({"num_frames": 100}, "length (frames) differs between classes (in 100% of pairs", "dynamic 100 at the median"),
    ],
)
def test_what_one_class_alone_has_is_named(values: dict[str, object], start: str, shown: str) -> None:
    [line] = find_shortcuts(only("dynamic", **values))
    assert line.startswith(start) and shown in line


def test_both_directions_are_seen() -> None:
    [line] = find_shortcuts(only("static", num_frames=200))
    assert line.startswith("length")


def test_of_few_sequences_nothing_is_said() -> None:
    few = [look for kind in ("static", "dynamic") for look in only("dynamic", format="mp4") if look.kind == kind]
    assert find_shortcuts([*few[:4], *few[20:24]]) == []
    assert find_shortcuts([*few[:5], *few[20:25]])


def test_sizes_that_every_sequence_has_alone_tell_nothing() -> None:
    each = [replace(look, resolution=f"{number}x9") for number, look in enumerate(looks())]
    assert find_shortcuts(each) == []


def test_a_rare_class_counts_as_much_as_a_frequent_one() -> None:
    many = looks(100)[:100] + [replace(look, format="png") for look in looks(10)[10:]]
    assert find_shortcuts([replace(look, format="png") for look in many]) == []
    [line] = find_shortcuts([replace(look, format="jpg" if look.kind == "static" else "png") for look in many])
    assert "static jpg (100 of 100), dynamic png (10 of 10)" in line


def test_lengths_that_differ_by_less_than_two_percent_are_the_same() -> None:
    near = [replace(look, num_frames=100 + (look.kind == "static")) for look in looks()]
    assert find_shortcuts(near) == []
