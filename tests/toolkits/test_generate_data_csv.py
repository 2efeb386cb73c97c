import csv
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from convlstm.cli import main
from convlstm.config.toolkits import GenerateDataCsvConfig
from convlstm.errors import ConfigError, DataError, ManifestError
from convlstm.toolkits.generate_data_csv import run
from convlstm.toolkits.origin import Origin, write_origin
from convlstm.toolkits.runner import ToolResult
from convlstm.utils.data.manifest import read_manifest
from convlstm.utils.data.split import split_rows

CLASSES = ("static", "dynamic")


def add(root: Path, *names: str, num_frames: int = 3) -> None:
    """Sequences that are like no other."""
    for name in names:
        (root / name).mkdir(parents=True)
        chance = np.random.RandomState(zlib.crc32(name.encode()))
        for index in range(num_frames):
            pixels = np.kron(chance.randint(0, 256, (8, 8, 3)), np.ones((4, 4, 1))).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index:03d}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    add(folder, *(f"{kind}/cam{n}_{part:04d}" for kind in CLASSES for n in range(4) for part in range(2)))
    return folder


def generate(root: Path, **settings: Any) -> ToolResult:
    return run(GenerateDataCsvConfig(root=root, workers=1, **settings))


def table(root: Path) -> dict[str, dict[str, str]]:
    with (root / "data.csv").open(newline="", encoding="utf-8-sig") as file:
        return {row["folder_name"]: row for row in csv.DictReader(file)}


def said(caplog: pytest.LogCaptureFixture) -> str:
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    caplog.clear()
    return "\n".join(lines)


def test_the_manifest_is_what_training_reads(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = generate(root)
    assert (result.output, result.exit_code) == (root / "data.csv", 0)
    assert result.summary == "16 sequences (8 dynamic, 8 static) in 4 groups"
    rows = read_manifest(root, "data.csv", CLASSES)
    assert [row.folder_name for row in rows[:2]] == ["static/cam0_0000", "static/cam0_0001"]
    assert {row.group for row in rows} == {"cam0", "cam1", "cam2", "cam3"}
    assert all(row.fps is None and row.extra == {"frames": "3"} for row in rows)
    assert {row.type for row in rows[:8]} == {"static"} and said(caplog) == ""
    assert (root / "data.csv").read_text().startswith("folder_name,type,group,fps,frames\n")


def test_videos_and_origins_bring_frame_rate_and_group(
    root: Path, make_frames: Callable[..., list[NDArray[np.uint8]]], write_video: Callable[..., Path]
) -> None:
    write_video(root / "static/yard_clip_2.mp4", make_frames(12), fps=10)
    write_origin(root / "dynamic/cam1_0000", Origin("tool", "a.mp4", "", {}, "kitchen", 3, fps=12.5))
    generate(root)
    rows = table(root)
    video = rows["static/yard_clip_2.mp4"]
    assert (video["group"], video["fps"], video["frames"]) == ("yard", "10", "12")
    assert (rows["dynamic/cam1_0000"]["group"], rows["dynamic/cam1_0000"]["fps"]) == ("kitchen", "12.5")


def test_a_regex_names_groups_and_says_where_it_does_not(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    add(root, "static/other")
    generate(root, group_regex=r"/(cam[0-2])_")
    groups = {name: row["group"] for name, row in table(root).items()}
    assert groups["static/cam0_0001"] == "cam0" and groups["static/other"] == "other"
    assert "group_regex names no group in 5 of 17 paths" in said(caplog)
    generate(root, group_regex="static|dynamic", overwrite=True)
    assert {row["group"] for row in table(root).values()} == {"static", "dynamic"}


def test_a_second_run_changes_nothing_and_another_manifest_is_not_written_over(root: Path) -> None:
    generate(root)
    os.utime(root / "data.csv", ns=(5, 5))
    assert generate(root).exit_code == 0 and (root / "data.csv").stat().st_mtime_ns == 5
    add(root, "static/new")
    with pytest.raises(DataError, match=r"is there already and differs: --update adds to it, --overwrite"):
        generate(root)
    assert (root / "data.csv").stat().st_mtime_ns == 5
    assert generate(root, overwrite=True).summary.startswith("17 sequences")


def test_update_adds_what_is_new_and_keeps_all_that_is_there(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    generate(root)
    lines = (root / "data.csv").read_text().splitlines()
    kept = [lines[5], lines[2].replace("cam0", "hall", 2).replace("hall_0001", "cam0_0001", 1), lines[1], lines[16]]
    kept[2] = kept[2].replace("static,cam0,", "dynamic,hall,")
    text = "\ufeff" + "".join(
        f"{line},{note}\r\n" for line, note in zip([lines[0], *kept], ("note", *"abcd"), strict=True)
    )
    (root / "data.csv").write_bytes(text.encode())
    add(root, "static/cam0_0009", "static/cam9_0001")
    shutil.rmtree(root / "dynamic/cam3_0001")
    result = generate(root, update=True)
    after = (root / "data.csv").read_bytes().decode()
    assert after.startswith(text)
    rows = table(root)
    assert rows["static/cam0_0009"]["group"] == "hall" and rows["static/cam0_0009"]["note"] == ""
    assert rows["static/cam9_0001"]["group"] == "cam9" and rows["dynamic/cam0_0000"]["group"] == "hall"
    assert len(rows) == 18 and result.summary.endswith("; 14 new")
    assert result.left_out == ("dynamic/cam3_0001: in the manifest, but gone; its row is kept",)
    assert result.exit_code == 3 and said(caplog) == ""
    generate(root, update=True)
    assert (root / "data.csv").read_bytes().decode() == after


def test_update_fills_columns_that_are_missing_and_tells_of_other_numbers_of_frames(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "data.csv").write_text("folder_name,type,frames\nstatic/cam0_0000,static,99\n./static/cam0_0001/,static,\n")
    generate(root, update=True)
    rows = table(root)
    assert rows["static/cam0_0000"] == {
        "folder_name": "static/cam0_0000",
        "type": "static",
        "frames": "99",
        "group": "cam0",
        "fps": "",
    }
    assert rows["./static/cam0_0001/"]["group"] == "cam0" and len(rows) == 16
    assert "another number of frames than there are: static/cam0_0000" in said(caplog)


def test_update_refuses_a_manifest_that_training_would_refuse(root: Path) -> None:
    (root / "data.csv").write_text("folder_name,type\nstatic/cam0_0000,statik\n")
    with pytest.raises(ManifestError, match="line 2: unknown type 'statik'"):
        generate(root, update=True)


def test_one_source_in_several_groups_is_told(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    generate(root)
    text = (root / "data.csv").read_text()
    (root / "data.csv").write_text(text.replace("static/cam1_0001,static,cam1", "static/cam1_0001,static,mine"))
    generate(root, update=True)
    assert "parts what seems to be of one source into several groups (cam1)" in said(caplog)


def test_a_split_is_by_group_and_training_takes_it(root: Path) -> None:
    result = generate(root, split=(0.5, 0.25, 0.25))
    assert result.summary.endswith("train 8, val 4, test 4")
    rows = read_manifest(root, "data.csv", CLASSES)
    sides = split_rows(rows, val_ratio=0.2, seed=0)
    assert [len(sides[side]) for side in ("train", "val", "test")] == [8, 4, 4]
    groups = [{row.group for row in sides[side]} for side in ("train", "val", "test")]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert generate(root, split=(0.5, 0.25, 0.25)).exit_code == 0  # the same again


def test_an_update_keeps_the_split_that_rows_have(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    generate(root, split=(0.5, 0.25, 0.25))
    before = {name: row["split"] for name, row in table(root).items()}
    add(root, *(f"{kind}/{name}_0009" for kind in CLASSES for name in ("cam0", "cam5", "cam6", "cam7", "cam8")))
    generate(root, update=True, split=(0.5, 0.25, 0.25), seed=9)
    after = {name: row["split"] for name, row in table(root).items()}
    assert before.items() <= after.items() and set(after.values()) == {"train", "val", "test"}
    assert after["static/cam0_0009"] == before["static/cam0_0000"] and said(caplog) == ""
    add(root, "static/cam1_0010", "static/cam11_0010")
    generate(root, update=True)
    rows = table(root)
    assert rows["static/cam1_0010"]["split"] == before["static/cam1_0000"]
    assert rows["static/cam11_0010"]["split"] == "" and "1 rows have no split, others have" in said(caplog)


def test_a_group_on_two_sides_by_hand_is_an_error(root: Path) -> None:
    generate(root, split=(0.5, 0.5))
    text = (root / "data.csv").read_text()
    first = text.splitlines()[1]
    other = "val" if first.endswith("train") else "train"
    (root / "data.csv").write_text(text.replace(first, f"{first.rsplit(',', 1)[0]},{other}"))
    with pytest.raises(ManifestError, match="group 'cam0' stands on two sides of the split"):
        generate(root, update=True, split=(0.5, 0.5))


def test_a_split_that_leaves_a_side_empty_is_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    add(tmp_path, "static/cam1_0001", "static/cam1_0002", "dynamic/cam1_0003")
    with pytest.raises(ManifestError, match="leaves val empty: 3 sequences are in 1 groups: give --group_regex"):
        generate(tmp_path, split=(0.8, 0.2))
    assert not (tmp_path / "data.csv").exists()
    add(tmp_path, "static/cam2_0001")
    generate(tmp_path, split=(0.8, 0.2))
    assert "holds no dynamic: there are too few groups, 2" in said(caplog)


def test_one_bad_sequence_is_named_and_the_others_are_written(root: Path) -> None:
    (root / "static/cam0_0000/img_7.png").write_bytes(b"")
    (root / "dynamic/broken.mp4").write_bytes(b"no video")
    result = generate(root)
    assert result.exit_code == 3 and len(table(root)) == 15
    two, video = result.left_out
    assert two.startswith("static/cam0_0000: two numberings in one folder")
    assert video.startswith("dynamic/broken.mp4: cannot be opened as a video")


def test_a_dry_run_writes_nothing(root: Path) -> None:
    assert generate(root, dry_run=True).summary.startswith("would be 16 sequences")
    assert not (root / "data.csv").exists()


def test_copies_in_different_groups_and_shortcuts_are_told(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(root / "static/cam0_0000", root / "dynamic/copy")
    for index in range(3, 40):
        for folder in (root / "static").iterdir():
            shutil.copy(folder / "000.png", folder / f"{index:03d}.png")
    add(root, "rest/a")
    generate(root)
    warnings = said(caplog)
    assert "no folders of classes, left alone: rest" in warnings
    assert "length (frames) differs between classes" in warnings
    shutil.rmtree(root / "dynamic/copy")
    shutil.copytree(root / "static/cam0_0000", root / "dynamic/copy")
    generate(root, overwrite=True)
    assert "near-identical, but in groups cam0 and copy: static/cam0_0000 and dynamic/copy" in said(caplog)
    generate(root, overwrite=True, compare=False)
    assert "near-identical" not in said(caplog)


def test_the_manifest_may_stand_elsewhere(root: Path, tmp_path: Path) -> None:
    result = generate(root, output=tmp_path / "lists/mine.csv")
    assert result.output.read_text().count("\n") == 17 and not (root / "data.csv").exists()
    assert generate(root, output=tmp_path / "lists/mine.csv", update=True).summary.endswith("; 0 new")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no root is given: --root data"),
        ({"root": Path("a"), "classes": ("static",)}, "classes must be at least two different names"),
        ({"root": Path("a"), "classes": ("static", "a/b")}, "classes must be at least two different names"),
        ({"root": Path("a"), "update": True, "overwrite": True}, "update keeps the manifest, overwrite makes it anew"),
        ({"root": Path("a"), "split": (0.7, 0.2)}, r"split must be two or three shares .* got \[0.7, 0.2\]"),
        ({"root": Path("a"), "split": (1.0,)}, "split must be two or three shares"),
        ({"root": Path("a"), "split": (1.5, -0.5)}, "split must be two or three shares"),
        ({"root": Path("a"), "group_regex": "("}, "group_regex ( is no regular expression: missing"),
        ({"root": Path("a"), "seed": -1}, "seed must not be negative"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(") if "regular" in message else message):
        GenerateDataCsvConfig(**settings)


@pytest.mark.parametrize("split", [["0.5", "0.25", "0.25"], ["0.5/0.25/0.25"]])
def test_the_command(root: Path, capsys: pytest.CaptureFixture[str], split: list[str]) -> None:
    arguments = ["data", "generate_data_csv", "--root", str(root), "--workers", "1"]
    assert main([*arguments, "--split", *split]) == 0
    line = f"{root / 'data.csv'}: 16 sequences (8 dynamic, 8 static) in 4 groups; train 8, val 4, test 4\n"
    assert capsys.readouterr().out == line
    assert main([*arguments, "--split", "much"]) == 2
    assert '"much" is not a list of numbers' in capsys.readouterr().err
    assert main([*arguments[:-4], "--root", str(root / "static")]) == 1
    assert f"--root {root}" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends signals as POSIX does")
@pytest.mark.parametrize("seed", range(3))
def test_killed_and_run_again_is_as_never_killed(root: Path, seed: int) -> None:
    command = [sys.executable, "-m", "convlstm", "data", "generate_data_csv", "--root", str(root), "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(random.Random(seed).uniform(0.2, 5))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    there = root / "data.csv"
    torn = there.read_text() if there.exists() else None
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    assert torn is None or torn == there.read_text()
    assert there.read_text().count("\n") == 17 and not list(root.glob(".*.tmp"))
