import csv
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convlstm.errors import ManifestError
from convlstm.utils.data.manifest import ManifestRow, read_manifest

pytestmark = pytest.mark.pure


def unsafe(name: str) -> bool:
    """Whether a name could steer a terminal or break a line."""
    return any(unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") for character in name)


CLASSES = ("static", "dynamic")
HEADER = "folder_name,type,group,fps,split\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data_root with a folder beside it that must stay unseen."""
    (tmp_path / "outside" / "sequence").mkdir(parents=True)
    (tmp_path / "data" / "inside").mkdir(parents=True)
    return tmp_path / "data"


def read(root: Path, content: str | bytes) -> list[ManifestRow]:
    (root / "data.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return read_manifest(root, "data.csv", CLASSES)


def problem(root: Path, content: str | bytes) -> str:
    """The message without the path of the file."""
    with pytest.raises(ManifestError) as caught:
        read(root, content)
    assert caught.value.exit_code == 1
    message = str(caught.value)
    assert message.startswith(str(root / "data.csv"))
    return message.removeprefix(str(root / "data.csv"))


def test_rows_with_all_columns_and_with_none_but_two(root: Path) -> None:
    rows = read(root, HEADER + "a,static,kitchen,12.5,val\nclips/b.mp4, dynamic ,,,\n\n./c/,static\n")
    assert rows == [
        ManifestRow("a", "static", "kitchen", 12.5, "val", 2),
        ManifestRow("clips/b.mp4", "dynamic", "clips/b.mp4", None, None, 3),
        ManifestRow("./c/", "static", "c", None, None, 5),
    ]


def test_columns_come_in_any_order_and_unknown_ones_are_kept(root: Path) -> None:
    (row,) = read(root, 'camera,type,note,folder_name\nnorth,dynamic,"smoke, then fire",a\n')
    assert row.folder_name == "a" and row.type == "dynamic" and row.group == "a"
    assert row.extra == {"camera": "north", "note": "smoke, then fire"}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_line_ending(root: Path, line_end: str) -> None:
    rows = read(root, line_end.join(["folder_name,type", "a,static", "b,dynamic"]))
    assert [(row.folder_name, row.type, row.line) for row in rows] == [("a", "static", 2), ("b", "dynamic", 3)]


def test_bom_and_foreign_names(root: Path) -> None:
    rows = read(root, "folder_name,type\nküche/火,static\n".encode("utf-8-sig"))
    assert [row.folder_name for row in rows] == ["küche/火"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("..", "folder_name '..' leaves data_root by '..'"),
        ("../outside/sequence", "folder_name '../outside/sequence' leaves data_root by '..'"),
        ("inside/../../outside", "folder_name 'inside/../../outside' leaves data_root by '..'"),
        ("inside\\..\\..\\outside", "folder_name 'inside\\\\..\\\\..\\\\outside' leaves data_root by '..'"),
        ("/etc", "folder_name '/etc' is an absolute path: give it relative to data_root"),
        ("C:\\clips", "folder_name 'C:\\\\clips' is an absolute path: give it relative to data_root"),
        ("C:clips", "folder_name 'C:clips' is an absolute path: give it relative to data_root"),
        ("\\clips", "folder_name '\\\\clips' is an absolute path: give it relative to data_root"),
        (
            "\\\\server\\clips",
            "folder_name '\\\\\\\\server\\\\clips' is an absolute path: give it relative to data_root",
        ),
        ("//server/clips", "folder_name '//server/clips' is an absolute path: give it relative to data_root"),
        ("", "folder_name is empty"),
        ("a\x07b", "folder_name 'a\\x07b' holds control characters"),
        ("a\u202eb", "folder_name 'a\\u202eb' holds control characters"),
        ('"a\nb"', "folder_name 'a\\nb' holds control characters"),
    ],
)
def test_names_that_are_refused(root: Path, name: str, reason: str) -> None:
    assert problem(root, f"folder_name,type\ngood,static\n{name},static\n") == (
        f", line {4 if chr(10) in name else 3}: {reason}"
    )


def test_a_name_with_two_dots_is_no_way_out(root: Path) -> None:
    assert [row.folder_name for row in read(root, "folder_name,type\na..b/..c/d..,static\n")] == ["a..b/..c/d.."]


def test_links_that_leave_the_root(root: Path) -> None:
    (root / "folder").symlink_to(root.parent / "outside" / "sequence")
    (root / "middle").symlink_to(root.parent / "outside")
    (root / "relative").symlink_to("../outside")
    (root / "twice").symlink_to(root / "folder")
    (root / "inside" / "deep").symlink_to("../../outside/sequence")
    for name in ("folder", "middle/sequence", "middle/new", "relative", "twice", "inside/deep"):
        assert problem(root, f"folder_name,type\n{name},static\n") == (
            f", line 2: folder_name {name!r} is a link that leaves data_root"
        )


def test_links_that_stay_are_welcome(root: Path, tmp_path: Path) -> None:
    (root / "link").symlink_to("inside")
    (tmp_path / "root_link").symlink_to(root)
    assert read(root, "folder_name,type\nlink,static\n")[0].folder_name == "link"
    assert read_manifest(tmp_path / "root_link", "data.csv", CLASSES)[0].folder_name == "link"


def test_a_loop_of_links_does_not_hang(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    assert "line 2: folder_name 'a' cannot be resolved" in problem(root, "folder_name,type\na,static\n")


@pytest.mark.parametrize("name", ["../data.csv", "/etc/passwd", "link.csv", ""])
def test_the_manifest_itself_lies_in_the_root(root: Path, name: str) -> None:
    (root.parent / "data.csv").write_text("folder_name,type\na,static\n")
    (root / "link.csv").symlink_to("../data.csv")
    with pytest.raises(ManifestError, match=r"^the manifest "):
        read_manifest(root, name, CLASSES)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", ": empty file: the first line must be folder_name,type"),
        (b"\n \n,,\n", ": empty file: the first line must be folder_name,type"),
        (b"\xef\xbb\xbf", ": empty file: the first line must be folder_name,type"),
        (b"folder_name,type\n", ": no sequences: add rows folder_name,type below the header"),
        (b"folder_name,kind\na,static\n", ", line 1: no column type in folder_name,kind"),
        (b"a,static\n", ", line 1: no column folder_name and type in a,static"),
        (
            b"folder_name;type\na;static\n",
            ", line 1: no column folder_name and type in folder_name;type: separate columns by commas",
        ),
        (b"folder_name,type,type\n", ", line 1: a column stands twice in folder_name,type,type"),
        (
            b"folder_name,type\na,static\nb,static,c\n",
            ", line 3: 3 values for 2 columns: quote commas",
        ),
        (b"folder_name,type\na,static\nb\0,static\n", ", line 3: holds a NUL character"),
        ("folder_name,type\na,static\n".encode("utf-16"), ", line 1: UTF-16 text: save the file as CSV UTF-8"),
        ("folder_name,type\n".encode("utf-16-le"), ", line 1: holds a NUL character"),
        (b"folder_name,type\na,static\n\xe9t\xe9,static\n", ", line 3: not UTF-8: save the file as CSV UTF-8"),
        (b"\xef\xbb\xbffolder_name,type\n\xe9,static\n", ", line 2: not UTF-8: save the file as CSV UTF-8"),
        (b'folder_name,type\n"a,static\nb,static\n', ", line 3: unexpected end of data"),
        (b'folder_name,type\n"a"b,static\n', ", line 2: ',' expected after '\"'"),
        (b"folder_name,type\na,Static\n", ", line 2: unknown type 'Static': known are static, dynamic"),
        (b"folder_name,type\na\n", ", line 2: unknown type '': known are static, dynamic"),
    ],
)
def test_content_that_is_refused(root: Path, content: bytes, reason: str) -> None:
    assert problem(root, content) == reason


def test_a_cell_beyond_the_limit_of_csv_is_named(root: Path) -> None:
    too_long = "x" * (csv.field_size_limit() + 1)
    assert ", line 2: field larger than field limit" in problem(root, f"folder_name,type\n{too_long},static\n")


@pytest.mark.parametrize("fps", ["0", "-1", "inf", "-inf", "nan", "fast", "25 fps", "1e999", "25/1"])
def test_fps_must_be_a_number(root: Path, fps: str) -> None:
    assert problem(root, f"{HEADER}a,static,,{fps},\n") == (
        f", line 2: fps must be a number greater than 0, got {fps!r}"
    )


@pytest.mark.parametrize("split", ["training", "Val", "0"])
def test_split_must_be_known(root: Path, split: str) -> None:
    assert problem(root, f"{HEADER}a,static,,,{split}\n") == (
        f", line 2: unknown split {split!r}: known are train, val, test, or nothing"
    )


@pytest.mark.parametrize("again", ["a/b", "./a/b", "a/./b", "a//b", "a/b/"])
def test_duplicates_in_any_spelling(root: Path, again: str) -> None:
    assert problem(root, f"folder_name,type\na/b,static\nc,static\n{again},dynamic\n") == (
        f", line 4: folder_name {again!r} stands in line 2 already"
    )


def test_the_first_problem_is_named_and_the_others_counted(root: Path) -> None:
    message = problem(root, "folder_name,type\na,static\n../b,static\nc,fire\na,static\n")
    assert message == ", line 3: folder_name '../b' leaves data_root by '..' (and 2 more problems)"


def test_a_manifest_that_cannot_be_read(root: Path) -> None:
    with pytest.raises(ManifestError, match=r"data\.csv: cannot be read: No such file or directory$"):
        read_manifest(root, "data.csv", CLASSES)
    (root / "data.csv").mkdir()
    with pytest.raises(ManifestError, match=r"data\.csv: cannot be read: Is a directory$"):
        read_manifest(root, "data.csv", CLASSES)


def test_only_the_manifest_is_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "link").symlink_to(root.parent / "outside" / "sequence")
    (root / "data.csv").write_text("folder_name,type\ninside,static\nlink,static\n../outside,static\n/etc,static\n")
    opened = []
    read_bytes = Path.read_bytes

    def watched(path: Path) -> bytes:
        opened.append(path)
        return read_bytes(path)

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError(f"opened {arguments}")

    monkeypatch.setattr(Path, "read_bytes", watched)
    for name in ("open", "listdir", "scandir"):
        monkeypatch.setattr(os, name, refuse)
    with pytest.raises(ManifestError, match="line 3: folder_name 'link' is a link that leaves data_root"):
        read_manifest(root, "data.csv", CLASSES)
    assert opened == [root / "data.csv"]


def encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")


tokens = st.sampled_from(
    [
        *[
            "folder_name,type,fps\n",
            "folder_name",
            "type",
            "split",
            "static",
            "dynamic",
            "a",
            "..",
            "/",
            "\\",
            '"',
            ",",
            "\n",
        ],
        *[
            "\r",
            "nan",
            "1e9",
            "C:",
            "~",
            "\x85",
            "\u2028",
            "\u202e",
            " ",
            "'",
            ";",
            "x" * 300,
            "e\u0301",
            "\ufeff",
            "\0",
            "\x1b",
        ],
        *[",static,25\n", ",dynamic,\n", ",fire,0\n"],
    ]
)
structured = st.lists(tokens, max_size=12).map(lambda parts: "folder_name,type,fps\n" + "".join(parts))
contents = st.one_of(st.binary(max_size=60), structured.map(str.encode), st.text(max_size=30).map(encode))


@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=contents)
def test_no_file_raises_anything_else(root: Path, content: bytes) -> None:
    try:
        rows = read(root, content)
    except ManifestError as error:
        assert str(error).startswith(str(root / "data.csv"))
        return
    assert rows
    for row in rows:
        assert (root / row.folder_name).resolve().is_relative_to(root.resolve())
        assert row.type in CLASSES and not unsafe(row.folder_name) and row.line >= 2


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**6), st.sampled_from(CLASSES), st.floats(0.01, 1000), st.text("ab,\"' ", min_size=1)
        ),
        min_size=1,
        unique_by=lambda row: row[0],
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_csv_writes_is_read_back(root: Path, rows: list[tuple[int, str, float, str]]) -> None:
    with (root / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["folder_name", "type", "fps", "note"])
        writer.writerows([[f"seq {number}", kind, fps, note] for number, kind, fps, note in rows])
    found = read_manifest(root, "data.csv", CLASSES)
    assert [(row.folder_name, row.type, row.fps, row.extra["note"]) for row in found] == [
        (f"seq {number}", kind, fps, note.strip()) for number, kind, fps, note in rows
    ]
