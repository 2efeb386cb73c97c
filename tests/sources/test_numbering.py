import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.errors import DataError
from convlstm.sources.numbering import order_frames

pytestmark = pytest.mark.pure


def places(*names: str) -> list[tuple[str, int]]:
    return [(frame.name, frame.index) for frame in order_frames("cam", names)]


def test_natural_order_without_zero_padding() -> None:
    assert places("f10.png", "f9.png", "f11.png", "f8.png") == [
        ("f8.png", 0),
        ("f9.png", 1),
        ("f10.png", 2),
        ("f11.png", 3),
    ]


@pytest.mark.parametrize(
    "pattern", ["{:06d}.png", "frame_{:04d}.png", "cam1_2024_{}_left.jpg", "shot-{:03d}-v2.png", "a.b.{}.png"]
)
def test_prefixes_suffixes_and_other_constant_digits(pattern: str) -> None:
    names = [pattern.format(number) for number in (8, 9, 10, 11)]
    assert places(*reversed(names)) == list(zip(names, range(4), strict=True))


def test_every_third_frame_is_a_step_not_a_gap() -> None:
    assert [index for _, index in places(*(f"f_{n:03d}.png" for n in range(0, 30, 3)))] == list(range(10))


def test_missing_numbers_leave_gaps_of_their_size() -> None:
    assert [i for _, i in places("f1.png", "f2.png", "f3.png", "f6.png", "f7.png")] == [0, 1, 2, 5, 6]
    stepped = [f"f{n}.png" for n in (0, 3, 6, 9, 18, 21)]
    assert [i for _, i in places(*stepped)] == [0, 1, 2, 3, 6, 7]


def test_dates_with_milliseconds_cross_seconds_minutes_and_years() -> None:
    names = [
        "2025-12-31_23-59-59-920.png",
        "2025-12-31_23-59-59-960.png",
        "2026-01-01_00-00-00-000.png",
        "2026-01-01_00-00-00-040.png",
        "2026-01-01_00-00-00-160.png",
    ]
    assert [i for _, i in places(*reversed(names))] == [0, 1, 2, 3, 6]


def test_dates_to_the_second_tolerate_jitter() -> None:
    names = [f"cam_2026-01-31_12-00-00-{ms:03d}.png" for ms in (0, 38, 81, 120, 161, 200)]
    names += ["cam_2026-01-31_12-00-01-000.png"]
    indices = [i for _, i in places(*names)]
    assert indices[:6] == [0, 1, 2, 3, 4, 5]
    assert indices[6] == 25


@pytest.mark.parametrize(
    ("names", "first", "other"),
    [
        (("frame_0001.png", "frame_0002.png", "img_0001.png"), "frame_0001.png", "img_0001.png"),
        (("a1_f1.png", "a1_f2.png", "a2_f1.png"), "a1_f1.png", "a2_f1.png"),
        (("f1.png", "f2.png", "f2_mask.png"), "f1.png", "f2_mask.png"),
    ],
)
def test_two_numberings_are_named(names: tuple[str, ...], first: str, other: str) -> None:
    with pytest.raises(DataError) as caught:
        places(*names)
    assert str(caught.value) == f"cam: two numberings in one folder, {first} and {other}: give each its own folder"


@pytest.mark.parametrize("names", [("f1.png", "f1.jpg"), ("f01.png", "f1.png", "f2.png")])
def test_the_same_number_twice_names_both(names: tuple[str, ...]) -> None:
    with pytest.raises(DataError) as caught:
        places(*names)
    assert "have the same number: keep one numbering in a folder" in str(caught.value)
    assert all(name in str(caught.value) for name in names[:2])


def test_a_name_without_a_number() -> None:
    with pytest.raises(DataError, match=r"^cam: no frame number in cover\.png: name frames like frame_000001\.png$"):
        places("f1.png", "cover.png")


def test_one_name_needs_no_number() -> None:
    assert places("cover.png") == [("cover.png", 0)]


def test_date_and_time_as_one_number_each_run_on_over_the_minute() -> None:
    names = [f"20260131_12{minute:02d}{second:02d}.png" for minute, second in ((0, 58), (0, 59), (1, 0), (1, 1))]
    assert [frame.index for frame in order_frames("a", names)] == [0, 1, 2, 3]


@given(st.integers(0, 10**6), st.integers(1, 50), st.integers(2, 40), st.randoms(use_true_random=False))
def test_any_order_in_gives_time_order_out(first: int, step: int, count: int, random: object) -> None:
    names = [f"frame_{first + step * i}.png" for i in range(count)]
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert places(*shuffled) == list(zip(names, range(count), strict=True))


@given(st.integers(1, 50), st.integers(3, 30), st.integers(3, 30), st.integers(1, 20))
def test_a_gap_in_the_numbers_is_a_gap_of_the_same_size_in_the_indices(
    step: int, before: int, after: int, missing: int
) -> None:
    positions = [*range(before), *range(before + missing, before + missing + after)]
    assert [i for _, i in places(*(f"{position * step:09d}.png" for position in positions))] == positions
