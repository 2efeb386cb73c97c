"""SIGKILL at random moments of the data tools: what is there is whole, and a second run ends as one never killed."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("CONVLSTM_TOOL_KILLS", "3"))
TOOLS = ("video_frame_extractor", "image_to_static_frames", "sequence_augmentation")


@pytest.fixture(scope="module")
def material(
    tmp_path_factory: pytest.TempPathFactory,
    make_frames: Callable[..., list[np.ndarray]],
    write_video: Callable[..., Path],
) -> Path:
    """Three videos, three photographs, and three sequences with a manifest."""
    root = tmp_path_factory.mktemp("material")
    rows = ["folder_name,type,split"]
    for number, name in enumerate("abc"):
        for folder in ("videos", "photos", f"data/{name}/masks"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        frames = make_frames(40, 240, 320)
        write_video(root / "videos" / f"{name}.mp4", frames)
        Image.fromarray(frames[number]).save(root / "photos" / f"{name}.png")
        for place, frame in enumerate(frames[:15]):
            Image.fromarray(frame).save(root / "data" / name / f"frame_{place:06d}.png")
            Image.fromarray(frame[..., 0] // 255 * 255).save(root / "data" / name / "masks" / f"frame_{place:06d}.png")
        rows.append(f"{name},dynamic,train")
    (root / "data" / "data.csv").write_text("\n".join(rows) + "\n")
    return root


def command(tool: str, material: Path, output: Path, workers: int) -> list[str]:
    source = {"video_frame_extractor": "videos", "image_to_static_frames": "photos", "sequence_augmentation": "data"}
    arguments = ["--source", str(material / source[tool]), "--output", str(output), "--workers", str(workers)]
    return [sys.executable, "-m", "convlstm", "data", tool, *arguments]


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def folders_in(output: Path) -> list[Path]:
    """The folders with files; by os.walk, which passes over a folder that the tool renames while it is listed."""
    return [Path(folder) for folder, _, files in os.walk(output) if files]


def finished_folders(output: Path) -> list[Path]:
    return [f for f in folders_in(output) if not f.name.endswith(".tmp") and (f / "origin.json").exists()]


def has_begun(output: Path, num_finished: int) -> bool:
    being_written = any(folder.name.endswith(".tmp") for folder in folders_in(output))
    return being_written or len(finished_folders(output)) > num_finished


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("tool", TOOLS)
def test_killed_and_run_again_is_as_never_killed(tool: str, workers: int, material: Path, tmp_path: Path) -> None:
    subprocess.run(command(tool, material, tmp_path / "whole" / "out", 1), check=True, capture_output=True)
    whole, output = contents(tmp_path / "whole" / "out"), tmp_path / "killed" / "out"
    chance = random.Random(f"{tool} {workers}")
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(tool, material, output, workers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        num_finished = len(finished_folders(output))
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:  # until it begins to write
            if has_begun(output, num_finished):
                break
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        process.wait()
        for folder in finished_folders(output):
            name = folder.relative_to(output)
            expected = {path: data for path, data in whole.items() if Path(path).is_relative_to(name)}
            assert {f"{name}/{path}": data for path, data in contents(folder).items()} == expected
    subprocess.run(command(tool, material, output, workers), check=True, capture_output=True)
    assert contents(output) == whole
    assert list(output.rglob("*.tmp")) == []
