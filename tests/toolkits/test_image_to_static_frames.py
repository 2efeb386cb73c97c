"""Photographs as static sequences: seeds, sizes, exact copies, and what training makes of them."""

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from convlstm.cli import main
from convlstm.config import TrainConfig
from convlstm.config.toolkits import ImageToStaticFramesConfig
from convlstm.errors import ConfigError
from convlstm.sources.images import read_image
from convlstm.toolkits.image_to_static_frames import run
from convlstm.toolkits.origin import read_origin
from convlstm.toolkits.runner import ToolResult
from convlstm.types import UInt8Array
from convlstm.utils.data.manifest import read_manifest
from convlstm.utils.data.sequences import open_sequences


def photo(height: int = 48, width: int = 64, seed: int = 0) -> UInt8Array:
    coarse = np.random.default_rng(seed).integers(60, 190, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("lamp.png", "poster.jpg", "wall.bmp")):
        Image.fromarray(photo(seed=number)).save(folder / name)
    return folder


def film(source: Path, output: Path, **settings: Any) -> ToolResult:
    values = {"num_frames": 5, "workers": 1, **settings}
    return run(ImageToStaticFramesConfig(source=(str(source),), output=output, **values))


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def frames(folder: Path) -> list[UInt8Array]:
    return [read_image(path) for path in sorted(folder.glob("frame_*"))]


def test_one_sequence_for_each_photograph(tmp_path: Path, photos: Path) -> None:
    result = film(photos, tmp_path / "static")
    assert (result.summary, result.exit_code) == ("sequences: 3, frames: 15", 0)
    for name in ("lamp", "poster", "wall"):
        folder = tmp_path / "static" / name
        assert sorted(path.name for path in folder.iterdir()) == [
            *(f"frame_00000{n}.png" for n in range(1, 6)),
            "origin.json",
        ]
        made, original = frames(folder), read_image(next(photos.glob(f"{name}.*")))
        assert all(frame.shape == (48, 64, 3) for frame in made)
        assert np.abs(np.stack(made).mean(axis=0) - original).mean() < 20
        assert any(not np.array_equal(made[0], frame) for frame in made)
        origin = read_origin(folder)
        assert origin is not None
        assert (origin.group, origin.fps, origin.num_frames, dict(origin.extra)) == (name, 25.0, 5, {"type": "static"})


def test_pixels_are_of_the_seed_and_the_name_not_of_order_or_workers(tmp_path: Path, photos: Path) -> None:
    film(photos, tmp_path / "all")
    film(photos / "wall.bmp", tmp_path / "one")
    whole = contents(tmp_path / "all")
    assert {f"wall/{name}": data for name, data in contents(tmp_path / "one" / "wall").items() if "frame" in name} == {
        name: data for name, data in whole.items() if name.startswith("wall/frame")
    }
    film(photos, tmp_path / "other", seed=1)
    assert contents(tmp_path / "other")["wall/frame_000002.png"] != whole["wall/frame_000002.png"]
    Image.fromarray(photo(seed=2)).save(photos / "twin.bmp")
    film(photos / "twin.bmp", tmp_path / "twin")
    assert contents(tmp_path / "twin")["twin/frame_000002.png"] != whole["wall/frame_000002.png"]


@pytest.mark.slow
def test_the_same_bytes_for_any_number_of_workers(tmp_path: Path, photos: Path) -> None:
    film(photos, tmp_path / "one")
    film(photos, tmp_path / "three", workers=3)
    assert contents(tmp_path / "one") == contents(tmp_path / "three")


def test_sizes(tmp_path: Path, photos: Path) -> None:
    film(photos / "lamp.png", tmp_path / "a", size=(40, 40))
    film(photos / "lamp.png", tmp_path / "b", size=(40, 40), fit="letterbox")
    cropped, boxed = frames(tmp_path / "a" / "lamp")[0], frames(tmp_path / "b" / "lamp")[0]
    assert cropped.shape == boxed.shape == (40, 40, 3)
    assert boxed[:3].max() < 40 < cropped[:3].min() + 20
    Image.fromarray(photo(480, 1600)).save(photos / "wide.png")
    film(photos / "wide.png", tmp_path / "c", num_frames=2)
    assert frames(tmp_path / "c" / "wide")[0].shape == (384, 1280, 3)
    Image.fromarray(photo(24, 64)).save(photos / "flat.png")
    result = film(photos / "flat.png", tmp_path / "d")
    expected = "frames of 64x24 pixels, but filming needs 32 a side: give a larger --size"
    assert result.left_out == (f"{photos / 'flat.png'}: {expected}",) and result.exit_code == 3


def test_exact_copies_come_with_a_warning(tmp_path: Path, photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    film(photos / "lamp.png", tmp_path / "a", exact=True)
    assert all(np.array_equal(frame, read_image(photos / "lamp.png")) for frame in frames(tmp_path / "a" / "lamp"))
    assert len(frames(tmp_path / "a" / "lamp")) == 5
    warning = "takes the absence of noise for the sign of a static scene"
    assert [warning in message for message in caplog.messages] == [True]
    caplog.clear()
    off = dict.fromkeys(("noise", "exposure", "shake", "refocus", "compression"), 0.0)
    film(photos / "lamp.png", tmp_path / "b", **off)
    assert [warning in message for message in caplog.messages] == [True]
    assert all(np.array_equal(frame, read_image(photos / "lamp.png")) for frame in frames(tmp_path / "b" / "lamp"))
    caplog.clear()
    film(photos / "lamp.png", tmp_path / "c")
    assert caplog.messages == []


def test_photographs_stand_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo(48, 96)).save(tmp_path / "turned.jpg", exif=exif)
    film(tmp_path / "turned.jpg", tmp_path / "out")
    assert frames(tmp_path / "out" / "turned")[0].shape == (96, 48, 3)


def test_one_bad_photograph_stops_no_other(tmp_path: Path, photos: Path) -> None:
    (photos / "broken.png").write_bytes((photos / "lamp.png").read_bytes()[:200])
    (photos / "empty.jpg").touch()
    result = film(photos, tmp_path / "out")
    assert result.exit_code == 3 and result.summary == "sequences: 3, frames: 15, with problems: 2"
    assert result.left_out[0].startswith(f"{photos / 'broken.png'}: ") and "empty file" in result.left_out[1]
    Image.fromarray(photo()).save(photos / "broken.png")
    (photos / "empty.jpg").unlink()
    again = film(photos, tmp_path / "out")
    assert again.summary == "sequences: 1, frames: 5, sequences finished before: 3" and again.exit_code == 0


def test_other_settings_need_overwrite(tmp_path: Path, photos: Path) -> None:
    film(photos / "lamp.png", tmp_path / "out")
    before = contents(tmp_path / "out")
    refused = film(photos / "lamp.png", tmp_path / "out", noise=3.0)
    assert refused.exit_code == 3 and contents(tmp_path / "out") == before
    assert film(photos / "lamp.png", tmp_path / "out", noise=3.0, overwrite=True).exit_code == 0
    assert contents(tmp_path / "out") != before


def test_a_dry_run_writes_nothing(tmp_path: Path, photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="convlstm")
    assert film(photos, tmp_path / "out", dry_run=True).summary == "sequences to make: 3"
    assert not (tmp_path / "out").exists()
    assert caplog.messages[0] == f"{photos / 'lamp.png'}: 5 frames, to {tmp_path / 'out' / 'lamp'}"


def test_the_output_is_not_read_again(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(ConfigError, match="lies inside the source"):
        film(photos, photos / "static")


def test_training_takes_them_for_static_everywhere(tmp_path: Path, photos: Path) -> None:
    film(photos, tmp_path / "data" / "static")
    (tmp_path / "data" / "data.csv").write_text("folder_name,type\nstatic/lamp,static\nstatic/wall,static\n")
    config = TrainConfig(data_root=tmp_path / "data", seq_length=5)
    rows = read_manifest(tmp_path / "data", "data.csv", config.classes)
    sequences, left_out = open_sequences(rows, config)
    assert left_out == [] and [sequence.masks for sequence in sequences] == [None, None]
    assert [sequence.class_index for sequence in sequences] == [0, 0]
    assert [sequence.source.runs for sequence in sequences] == [[range(5)], [range(5)]]


def test_the_command(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", "image_to_static_frames", "--source", str(photos / "*.png"), str(photos / "wall.bmp")]
    flags = ["--output", str(tmp_path / "out"), "--num_frames", "3", "--shake", "0", "--workers", "1", "--seed", "3"]
    assert main([*command, *flags]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}: sequences: 2, frames: 6\n"
    assert main([*command, *flags, "--exact", "--noise", "2"]) == 2
    assert "exact makes identical copies" in capsys.readouterr().err
