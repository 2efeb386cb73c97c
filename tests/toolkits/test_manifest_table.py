import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.errors import ManifestError
from convlstm.toolkits.manifest_table import ManifestTable, key_of, read_table

pytestmark = pytest.mark.pure


def read(path: Path, content: str | bytes) -> ManifestTable:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path)


@pytest.mark.parametrize(
    "content",
    [
        "folder_name,type\na,static\n",
        'note,folder_name,type,group\nmine, a ,static,\n"x, y",b,dynamic,g\n',
        "\N{ZERO WIDTH NO-BREAK SPACE}folder_name,type\r\na,static\r\n",
        'folder_name,type,note\na,static,"two\nlines"\n',
    ],
)
def test_a_table_is_written_back_as_it_was(tmp_path: Path, content: str) -> None:
    assert read(tmp_path / "data.csv", content).text() == content


def test_blank_lines_and_missing_cells_are_made_up_for(tmp_path: Path) -> None:
    table = read(tmp_path / "data.csv", "folder_name,type,group,\n\na,static\n")
    assert table.header == ["folder_name", "type", "group"] and table.rows[0]["group"] == ""


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufeff"), max_size=8).map(str.strip)


@given(st.lists(st.tuples(cells.filter(bool), cells.filter(bool), cells), max_size=6))
def test_any_text_survives(rows: list[tuple[str, str, str]]) -> None:
    header = ["folder_name", "type", "note"]
    text = ManifestTable(header, [dict(zip(header, row, strict=True)) for row in rows]).text()
    assert list(csv.reader(io.StringIO(text, newline=""), strict=True)) == [header, *map(list, rows)]


def test_a_new_column_is_filled_and_an_old_one_is_left_alone(tmp_path: Path) -> None:
    table = read(tmp_path / "data.csv", "folder_name,type,group\n./a/,static,mine\nb,static,\n")
    table.add_column("fps", {"a": "25"})
    table.add_column("group", {"a": "other", "b": "other"})
    assert table.text() == "folder_name,type,group,fps\n./a/,static,mine,25\nb,static,,\n"


def test_one_folder_has_one_key() -> None:
    assert {key_of(name) for name in ("a/b", "./a/b/", " a/b ", "a//b")} == {"a/b"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty file"),
        ("\n\n", "empty file"),
        ("path,label\n", "line 1: no columns folder_name and type"),
        ('folder_name,type\n"a,static\n', "line 2: unexpected end"),
        (b"folder_name,type\n\xff,static\n", "not UTF-8"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read(tmp_path / "data.csv", content)
    with pytest.raises(ManifestError, match="cannot be read"):
        read_table(tmp_path / "other.csv")
