import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.toolkits.source_names import source_name, without_part

pytestmark = pytest.mark.pure

CLASSES = ("static", "dynamic")


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("video3_clip_002", "video3"),
        ("video3-clip2", "video3"),
        ("video3_clip_002_aug_1", "video3"),
        ("video3_0010-0050", "video3"),
        ("video3_t12", "video3"),
        ("cam1_0001", "cam1"),
        ("cam1_scene_4_crop_2", "cam1"),
        ("kitchen_part2", "kitchen"),
        ("kitchen clip 3", "kitchen"),
        ("kitchen (2)", "kitchen"),
        ("kitchen - Copy", "kitchen"),
        ("video3_dynamic", "video3"),
        ("VID_20240131_120000_002", "VID_20240131_120000"),
        ("IMG_20240131_0001", "IMG_20240131"),
        ("2024-01-31_12-00-00_clip_3", "2024-01-31_12-00-00"),
        ("dQw4w9WgXcQ_12", "dQw4w9WgXcQ"),
    ],
)
def test_parts_of_one_video_share_its_name(name: str, group: str) -> None:
    assert without_part(name, CLASSES) == group


@pytest.mark.parametrize(
    "name",
    [
        "fire_0007",
        "fire_video_002",
        "sequence_001",
        "clip_002",
        "001",
        "video3",
        "dynamic_012",
        "dynamic_clip_012",
        "VID_20240131_120000",
        "2024-01-31",
        "2024-01-31_12-00-00",
        "cam1_2024-01-31_12-00-00",
        "kitchen",
        "clipart",
        "partly_cloudy",
        "frames",
        "(2)",
    ],
)
def test_what_may_be_a_recording_of_its_own_stays_one(name: str) -> None:
    assert without_part(name, CLASSES) == name


@pytest.mark.parametrize(
    ("parts", "group"),
    [
        (("video3", "person_1"), "video3"),
        (("video3", "0001"), "video3"),
        (("video3_clip_2", "frames"), "video3"),
        (("kitchen", "clip_1", "images"), "kitchen"),
        (("batch", "kitchen", "clip_1"), "kitchen"),
        (("01", "fire_7"), "fire_7"),
        (("clips", "fire_7"), "fire_7"),
        (("videos", "fire_7"), "fire_7"),
        (("batch1", "clip_7"), "batch1"),
        (("dynamic", "fire_7"), "fire_7"),
        (("2024-01-31", "fire_7"), "2024-01-31"),
        (("fire_7",), "fire_7"),
    ],
)
def test_a_folder_above_names_the_source_where_it_says_something(parts: tuple[str, ...], group: str) -> None:
    assert source_name(parts, CLASSES) == group


names = st.text(st.sampled_from("abc019_- .()"), min_size=1, max_size=20) | st.text(min_size=1, max_size=20)


@given(names)
def test_a_group_is_a_start_of_the_name_and_never_empty(name: str) -> None:
    group = without_part(name, CLASSES)
    assert group and name.startswith(group)
    assert without_part(group, CLASSES) == group


@given(st.from_regex(r"[a-z]{1,8}[0-9]{1,3}", fullmatch=True), st.integers(0, 99999), st.sampled_from("_- ."))
def test_counted_parts_of_a_numbered_source_stay_together(source: str, number: int, separator: str) -> None:
    whole = without_part(source, CLASSES)
    assert without_part(f"{source}{separator}{number:04d}", CLASSES) == whole
    assert without_part(f"{source}{separator}clip{separator}{number}", CLASSES) == whole
