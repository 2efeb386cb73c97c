import os
from pathlib import Path

import pytest

from convlstm.toolkits.check_records import is_unchanged, read_parts, read_records, write_part, write_records
from convlstm.toolkits.image_check import ImageCheck

pytestmark = pytest.mark.pure

GOOD = ImageCheck("/data/a.png", 5, 7, 64, 48, 99)
BAD = ImageCheck("/data/\udcff\n.png", 5, 7, kind="truncated", detail="ends, \u201chere\u201d")


def test_records_come_back_as_they_were_also_with_names_that_are_no_text(tmp_path: Path) -> None:
    write_records(tmp_path, {record.path: record for record in (GOOD, BAD)})
    assert read_records(tmp_path) == {GOOD.path: GOOD, BAD.path: BAD}


def test_parts_of_a_killed_run_count_and_win_over_what_was_before(tmp_path: Path) -> None:
    newer = ImageCheck(GOOD.path, 6, 8, 64, 48, 100)
    write_records(tmp_path, {GOOD.path: GOOD})
    write_part(tmp_path, [newer])
    write_part(tmp_path, [BAD])
    assert read_records(tmp_path) == {GOOD.path: newer, BAD.path: BAD}
    assert read_parts(tmp_path) == {GOOD.path: newer, BAD.path: BAD}
    write_records(tmp_path, read_records(tmp_path))
    assert read_parts(tmp_path) == {} and len(read_records(tmp_path)) == 2


def test_what_is_torn_or_foreign_is_left_out(tmp_path: Path) -> None:
    write_records(tmp_path, {GOOD.path: GOOD})
    path = tmp_path / "checked.jsonl"
    path.write_text(path.read_text() + '["/data/b.png", 5\n{"a": 1}\n[1]\n\n')
    assert read_records(tmp_path) == {GOOD.path: GOOD}
    assert read_records(tmp_path / "nothing") == {}


def test_a_file_is_unchanged_while_size_and_time_are(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"12345")
    os.utime(path, ns=(7, 7))
    assert is_unchanged(GOOD, path)
    os.utime(path, ns=(8, 8))
    assert not is_unchanged(GOOD, path)
    path.write_bytes(b"1234")
    os.utime(path, ns=(7, 7))
    assert not is_unchanged(GOOD, path)
    assert not is_unchanged(GOOD, tmp_path / "gone.png")
