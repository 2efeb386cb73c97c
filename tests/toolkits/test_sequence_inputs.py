"""Which sequences are copied, what is known of them, and how rows get into a manifest."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convlstm.errors import DataError, ManifestError
from convlstm.toolkits.origin import Origin, write_origin
from convlstm.toolkits.sequence_inputs import FoundSequences, find_sequences, with_rows

GREY = np.full((8, 8, 3), 90, dtype=np.uint8)


def sequence(folder: Path, origin: Origin | None = None) -> Path:
    folder.mkdir(parents=True)
    for number in (1, 2):
        Image.fromarray(GREY).save(folder / f"frame_{number:06d}.png")
    if origin is not None:
        write_origin(folder, origin)
    return folder


def origin(tool: str, group: str, **extra: object) -> Origin:
    return Origin(tool, "x", "y", {}, group, 2, 12.5, extra=extra)


def find(*sources: Path | str) -> FoundSequences:
    return find_sequences([str(source) for source in sources], "data.csv", made_by="me")


def test_rows_of_a_manifest(tmp_path: Path) -> None:
    for name in ("clips/a", "clips/b", "clips/a_aug1", "unlisted"):
        sequence(tmp_path / name, origin("me", "x") if "aug" in name else None)
    (tmp_path / "data.csv").write_text(
        "folder_name,type,note,group,fps,split\n"
        'clips/b/,static,"x, y",yard,5,val\n./clips/a,fire,,,,\nclips/a_aug1,fire,,clips/a,,\n'
    )
    found = find(tmp_path)
    assert found.columns == ("folder_name", "type", "note", "group", "fps", "split")
    a, b = found.sequences
    assert (a.name, a.group, a.fps, a.type, a.split, a.path) == ("clips/a", "clips/a", None, "fire", None, a.path)
    assert (b.name, b.group, b.fps, b.type, b.split) == ("clips/b", "yard", 5.0, "static", "val")
    assert b.cells["note"] == "x, y" and a.path.samefile(tmp_path / "clips" / "a")


def test_folders_and_videos_without_a_manifest(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    sequence(tmp_path / "dynamic" / "a", origin("video_frame_extractor", "cam/a"))
    (sequence(tmp_path / "dynamic" / "b") / "masks").mkdir()
    Image.fromarray(GREY).save(tmp_path / "dynamic" / "b" / "masks" / "frame_000001.png")
    sequence(tmp_path / "dynamic" / "b_aug1", origin("me", "b"))
    sequence(tmp_path / "static" / "c")
    sequence(tmp_path / "odd" / "d", origin("image_to_static_frames", "d", type="static"))
    write_video(tmp_path / "static" / "e.mp4", [np.zeros((32, 32, 3), np.uint8)] * 3)
    found = find(tmp_path)
    assert found.columns == ()
    assert [(s.name, s.group, s.fps, s.type) for s in found.sequences] == [
        ("dynamic/a", "cam/a", 12.5, None),
        ("dynamic/b", "dynamic/b", None, None),
        ("odd/d", "d", 12.5, "static"),
        ("static/c", "static/c", None, "static"),
        ("static/e", "static/e", None, "static"),
    ]
    assert [s.name for s in find(tmp_path / "static" / "c").sequences] == ["c"]
    assert [s.name for s in find(tmp_path / "static" / "*").sequences] == ["c", "e"]
    assert [s.name for s in find(tmp_path / "static" / "e.mp4", tmp_path / "dynamic").sequences] == ["a", "b", "e"]


def test_nothing_to_copy_or_two_of_one_name(tmp_path: Path) -> None:
    sequence(tmp_path / "x" / "a_aug1", origin("me", "a"))
    with pytest.raises(DataError, match=r"no sequences there: folders of frames, videos, or a data\.csv"):
        find(tmp_path / "x")
    sequence(tmp_path / "y" / "a")
    sequence(tmp_path / "z" / "A")
    with pytest.raises(DataError, match="have the same name: give the folder that holds both"):
        find(tmp_path / "y", tmp_path / "z")
    (tmp_path / "y" / "data.csv").write_text("folder_name,type\na,static\n")
    with pytest.raises(DataError, match="holds a manifest: give it alone, one data set at a time"):
        find(tmp_path / "z", tmp_path / "y")


@pytest.mark.parametrize("rows", ["../x,static\n", "/x,static\n", "a,\n", "a,static\na,static\n", ""])
def test_a_bad_manifest_is_refused(tmp_path: Path, rows: str) -> None:
    (tmp_path / "data.csv").write_text(f"folder_name,type\n{rows}")
    with pytest.raises(ManifestError, match=r"data\.csv"):
        find(tmp_path)


def test_rows_are_added_and_replaced_and_all_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes('\ufefffolder_name,type,mine\r\na,static,"1, 2"\r\nb/,static,\r\n'.encode())
    rows = [
        {"folder_name": "c", "type": "fire", "group": "a", "mine": "=x"},
        {"folder_name": "b", "type": "fire", "group": "g"},
    ]
    text = with_rows(path, ["folder_name", "type", "mine", "group"], rows)
    expected = 'folder_name,type,mine,group\r\na,static,"1, 2",\r\nb,fire,,g\r\nc,fire,=x,a\r\n'
    assert text == "\ufeff" + expected
    new = with_rows(tmp_path / "new.csv", ["folder_name", "type", "group"], rows[1:])
    assert new == "folder_name,type,group\nb,fire,g\n"
