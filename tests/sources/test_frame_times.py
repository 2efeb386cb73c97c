from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.errors import DataError
from convlstm.sources.frame_times import FRAME_TIMES, FrameTime, read_frame_times, write_frame_times

HEADER = "frame,file,pts_seconds,source_index\n"


def test_rows_come_back_as_times_by_file(tmp_path: Path) -> None:
    assert read_frame_times(tmp_path) is None
    write_frame_times(tmp_path, [FrameTime(1, "frame_000001.png", 0.0, 0), FrameTime(3, 'a,"b".png', 1 / 3, 8)])
    expected = f'{HEADER}1,frame_000001.png,0.0,0\n3,"a,""b"".png",0.3333333333333333,8\n'
    assert (tmp_path / FRAME_TIMES).read_text() == expected
    assert read_frame_times(tmp_path) == {"frame_000001.png": 0.0, 'a,"b".png': 1 / 3}


@given(times=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_times_keep_every_bit(times: list[float], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("times")
    write_frame_times(folder, [FrameTime(n, f"{n}.png", seconds, n) for n, seconds in enumerate(times)])
    assert list((read_frame_times(folder) or {}).values()) == times


@pytest.mark.parametrize(
    "text",
    ["time,frame\n1,2\n", f"{HEADER}1,a.png,soon,0\n", f"{HEADER}1,a.png\n", f"{HEADER}1,a.png,nan,0\n", '"\n', "\xff"],
)
def test_what_is_no_such_table_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FRAME_TIMES).write_text(text, encoding="latin-1")
    if text == '"\n':
        (tmp_path / FRAME_TIMES).write_text(f'{HEADER}1,"a')
    with pytest.raises(DataError, match=r"frames\.csv: (no table of file and pts_seconds|a pts_seconds is not finite)"):
        read_frame_times(tmp_path)


def test_an_empty_table_names_no_file(tmp_path: Path) -> None:
    (tmp_path / FRAME_TIMES).write_text("\ufeff" + HEADER)
    assert read_frame_times(tmp_path) == {}


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.csv").write_text(HEADER)
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / FRAME_TIMES).symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(DataError, match=r"frames\.csv: a link: copy the file instead"):
        read_frame_times(tmp_path / "frames")
