import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.cli import main
from convlstm.config.toolkits import CheckCorruptedImagesConfig
from convlstm.errors import ConfigError, DataError
from convlstm.toolkits.check_corrupted_images import run
from convlstm.toolkits.runner import ToolResult


@pytest.fixture
def root(
    tmp_path: Path, make_frames: Callable[..., list[NDArray[np.uint8]]], write_folder: Callable[..., Path]
) -> Path:
    """Two whole sequences of 12 frames, one of them with masks."""
    frames = make_frames(24)
    write_folder(tmp_path / "data/dynamic/a", frames[:12])
    write_folder(tmp_path / "data/dynamic/a/masks", [frame[:, :, 0] for frame in frames[:12]])
    write_folder(tmp_path / "data/static/b", frames[12:])
    return tmp_path / "data"


def check(root: Path, **settings: Any) -> ToolResult:
    """The tool with one worker, its output beside the data."""
    return run(CheckCorruptedImagesConfig(source=(str(root),), output=root.parent / "out", workers=1, **settings))


def found(root: Path) -> set[tuple[str, str]]:
    """Path below root, and kind, of each problem in problems.csv."""
    with (root.parent / "out/problems.csv").open(newline="") as file:
        return {(str(Path(row["path"]).relative_to(root)), row["kind"]) for row in csv.DictReader(file)}


def cut(path: Path, count: int = 1) -> None:
    path.write_bytes(path.read_bytes()[:-count])


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_whole_sequences_have_no_problem(root: Path) -> None:
    before = snapshot(root)
    result = check(root)
    assert result.exit_code == 0 and result.summary.startswith("36 images in 3 folders: no problems")
    assert found(root) == set() and snapshot(root) == before


def test_everything_that_is_wrong_is_named(
    root: Path, write_folder: Callable[..., Path], make_frames: Callable[..., list[NDArray[np.uint8]]]
) -> None:
    a, b = root / "dynamic/a", root / "static/b"
    cut(a / "frame_000000.png")
    (a / "frame_000001.png").write_bytes(b"")
    (a / "frame_000002.png").write_text("no image")
    (a / "frame_000004.png").unlink()
    cut(a / "masks/frame_000006.png")
    shutil.copy(b / "frame_000000.png", b / "frame_000007.png")
    write_folder(b, make_frames(1, 48, 48), ["frame_000009.png"])
    write_folder(root / "static/short", make_frames(1, 40, 40), ["1.png"])
    write_folder(root / "static/two", make_frames(2, 40, 56), ["a1.png", "b1.png"])
    result = check(root)
    assert result.exit_code == 3
    assert found(root) == {
        ("dynamic/a", "gap"),
        ("dynamic/a", "too_short"),
        ("dynamic/a/frame_000000.png", "truncated"),
        ("dynamic/a/frame_000001.png", "empty"),
        ("dynamic/a/frame_000002.png", "unreadable"),
        ("dynamic/a/masks/frame_000006.png", "truncated"),
        ("static/b/frame_000007.png", "duplicate"),
        ("static/b/frame_000009.png", "wrong_size"),
        ("static/short", "too_short"),
        ("static/two", "order"),
    }
    report = json.loads((root.parent / "out/report.json").read_text())
    assert report["counts"]["truncated"] == 2 and sum(report["counts"].values()) == 10
    assert check(root, ignore=("gap", "too_short", "order")).summary.splitlines()[0].count(",") == 4


def test_a_second_run_checks_only_what_has_changed(root: Path) -> None:
    check(root)
    assert "(36 unchanged since they were checked)" in check(root).summary
    cut(root / "static/b/frame_000003.png")
    os.utime(root / "static/b/frame_000004.png", ns=(5, 5))
    result = check(root)
    assert "(34 unchanged since they were checked)" in result.summary and result.exit_code == 3
    result = check(root)  # what is known to be damaged stays named
    assert "(36 unchanged since they were checked)" in result.summary and result.exit_code == 3
    assert ("static/b/frame_000003.png", "truncated") in found(root)
    assert "unchanged since" not in check(root, overwrite=True).summary


def test_a_file_that_is_gone_is_forgotten(root: Path) -> None:
    check(root)
    (root / "static/b/frame_000011.png").unlink()
    check(root)
    assert "frame_000011" not in "".join(
        line for line in (root.parent / "out/checked.jsonl").read_text().splitlines() if "static" in line
    )


def test_content_that_changed_behind_size_and_time_is_found_by_checking_again(root: Path) -> None:
    """A JPEG decodes with other values of its quantisation table too."""
    import cv2

    folder = root / "static/c"
    folder.mkdir()
    path = folder / "1.jpg"
    cv2.imwrite(str(path), np.arange(48 * 64, dtype=np.uint8).reshape(48, 64))
    assert check(folder, min_frames=0).exit_code == 0
    state, data = path.stat(), bytearray(path.read_bytes())
    place = data.index(b"\xff\xdb") + 12
    data[place] += 1
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    shutil.move(folder.parent / "out", folder.parent / "kept")
    for _ in range(2):  # said again until the file is written anew
        result = run(
            CheckCorruptedImagesConfig(
                source=(str(folder),), output=folder.parent / "kept", workers=1, min_frames=0, overwrite=True
            )
        )
        assert result.has_problems and "1 changed" in result.summary
    os.utime(path)
    result = run(
        CheckCorruptedImagesConfig(source=(str(folder),), output=folder.parent / "kept", workers=1, min_frames=0)
    )
    assert not result.has_problems


def test_fix_moves_damaged_files_with_their_masks_and_undo_brings_all_back(root: Path) -> None:
    cut(root / "dynamic/a/frame_000003.png")
    cut(root / "dynamic/a/masks/frame_000008.png")
    shutil.copy(root / "static/b/frame_000000.png", root / "static/b/frame_000007.png")
    before = snapshot(root)
    result = check(root, fix="move")
    assert result.exit_code == 3 and "moved 4 files to the quarantine" in result.summary
    moved = before.keys() - snapshot(root).keys()
    assert moved == {f"dynamic/a/{part}frame_{n:06d}.png" for part in ("", "masks/") for n in (3, 8)}
    quarantine = root.parent / "out/quarantine" / (root / "dynamic/a").relative_to(root.anchor)
    assert (quarantine / "masks/frame_000003.png").is_file()
    assert ("dynamic/a", "gap") not in found(root)
    check(root)
    assert ("dynamic/a", "gap") in found(root)
    undone = run(CheckCorruptedImagesConfig(output=root.parent / "out", undo=True))
    assert (undone.summary, undone.exit_code) == ("moved back 4 files", 0) and snapshot(root) == before


def test_fix_moves_the_kinds_that_it_is_told(root: Path) -> None:
    cut(root / "dynamic/a/frame_000003.png")
    shutil.copy(root / "static/b/frame_000000.png", root / "static/b/frame_000007.png")
    before = snapshot(root)
    check(root, fix="move", fix_kinds=("duplicate",))
    assert before.keys() - snapshot(root).keys() == {"static/b/frame_000007.png"}


def test_a_dry_run_writes_nothing_and_says_what_is_known(root: Path) -> None:
    cut(root / "dynamic/a/frame_000003.png")
    result = check(root, dry_run=True, fix="move")
    assert result.summary.splitlines() == [
        "would check 36 images in 3 folders; 0 are unchanged since they were checked",
        "and what is found in the images that are still to be checked",
    ]
    assert not (root.parent / "out").exists()
    check(root)
    before = snapshot(root.parent)
    lines = check(root, dry_run=True, fix="move").summary.splitlines()
    assert lines[1:] == [f"would move {root}/dynamic/a/{part}frame_000003.png" for part in ("", "masks/")]
    assert snapshot(root.parent) == before
    check(root, fix="move")
    undo = CheckCorruptedImagesConfig(output=root.parent / "out", undo=True, dry_run=True)
    before = snapshot(root.parent)
    assert run(undo).summary == "would move back 2 files" and snapshot(root.parent) == before


def test_workers_find_the_same(root: Path) -> None:
    cut(root / "dynamic/a/frame_000003.png")
    check(root)
    alone = found(root)
    config = CheckCorruptedImagesConfig(source=(str(root),), output=root.parent / "out", workers=2, overwrite=True)
    run(config)
    assert found(root) == alone and len(alone) == 2


def test_files_and_globs_are_sources_too(root: Path) -> None:
    name = "frame_000003.png"
    cut(root / "dynamic/a" / name)
    sources = (str(root / "dynamic/a" / name), str(root / "*/b"), str(root / "dynamic/*/*4.png"))
    result = run(CheckCorruptedImagesConfig(source=sources, output=root.parent / "out", workers=1))
    assert result.summary.startswith("14 images in 2 folders")
    assert (f"dynamic/a/{name}", "truncated") in found(root)


def test_a_folder_named_twice_is_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    sources = (str(root), "data/static", "data/dynamic/a/*0.png")
    result = run(CheckCorruptedImagesConfig(source=sources, output=root.parent / "out", workers=1))
    assert result.summary.startswith("36 images in 3 folders: no problems")


def test_what_cannot_be_done_is_said(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing: no such file or folder"):
        check(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no images there"):
        check(tmp_path / "empty")
    with pytest.raises(ConfigError, match="lies inside the source"):
        run(CheckCorruptedImagesConfig(source=(str(root),), output=root / "check", workers=1))
    with pytest.raises(ConfigError, match=r"or holds .*/quarantine"):
        (root / "out/quarantine").mkdir(parents=True)
        shutil.copy(root / "static/b/frame_000000.png", root / "out/quarantine")
        run(CheckCorruptedImagesConfig(source=(f"{root}/*",), output=root / "out", workers=1))
    with pytest.raises(DataError, match="no such undo list"):
        run(CheckCorruptedImagesConfig(output=tmp_path / "x", undo=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no source is given: --source data"),
        ({"source": ("a",), "undo": True, "fix": "move"}, "undo moves back what fix moves"),
        ({"source": ("a",), "min_frames": -1}, "min_frames must not be negative"),
        ({"source": ("a",), "fix_kinds": ("gap",)}, "fix_kinds gap: of folders, not of files"),
        ({"source": ("a",), "fix": "move", "fix_kinds": ()}, "fix_kinds is empty"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CheckCorruptedImagesConfig(**settings)


def test_the_command_prints_a_table_and_exits_with_3(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = ["--output", str(root.parent / "out"), "--workers", "1"]
    arguments = ["data", "check_corrupted_images", "--source", str(root), *output]
    assert main(arguments) == 0
    cut(root / "dynamic/a/frame_000003.png")
    assert main([*arguments, "--min-frames", "12", "--ignore", "duplicate", "gap", "--fix", "move"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:3] == [str(root / "dynamic/a"), "12", "1"] for line in lines)
    assert main(["data", "check_corrupted_images", "--undo", *output]) == 0
    assert capsys.readouterr().out == f"{root.parent / 'out'}: moved back 2 files\n"
    assert main([*arguments, "--ignore", "gaps"]) == 2


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends signals as POSIX does")
@pytest.mark.parametrize("seed", range(4))
def test_killed_and_run_again_is_as_never_killed(root: Path, seed: int) -> None:
    for number in range(8):
        shutil.copytree(root / "static/b", root / f"static/b{number}")
    for place in (3, 5):
        cut(root / f"static/b{place}/frame_00000{place}.png")
    output = root.parent / "out"
    command = [sys.executable, "-m", "convlstm", "data", "check_corrupted_images", "--source", str(root)]
    command += ["--output", str(output), "--workers", "2", "--fix", "move", "--ignore", "duplicate"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while not output.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0, 2.5))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    left = {str(path.relative_to(root)) for path in root.rglob("*.png")}
    assert len(left) == 36 + 96 - 2 and "static/b3/frame_000003.png" not in left
    assert not list(output.rglob("*.tmp"))
    assert run(CheckCorruptedImagesConfig(output=output, undo=True)).exit_code == 0
    assert len(list(root.rglob("*.png"))) == 36 + 96
