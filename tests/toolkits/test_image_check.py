import io
import os
import random
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from convlstm.sources.images import read_image
from convlstm.toolkits.image_check import check_image, hears_decoders


def scene(seed: int = 0, height: int = 72, width: int = 96) -> Image.Image:
    """A gradient with noise and an edge: little of it compresses to nothing."""
    noise = np.random.RandomState(seed).normal(0, 12, (height, width, 3))
    pixels = np.linspace(20, 220, width)[None, :, None] + noise
    pixels[20:40, 30:60] += 60
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def saved(format: str, image: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (image or scene()).save(file, format, **options)
    return file.getvalue()


SEEDS = {
    "png": [saved("PNG"), saved("PNG", scene().convert("P")), saved("PNG", scene().convert("L"))],
    "jpg": [saved("JPEG"), saved("JPEG", progressive=True), saved("JPEG", quality=95, restart_marker_blocks=4)],
}


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One of the ways in which disks, networks and programs spoil files."""
    place, length = chance.randrange(len(data)), chance.choice((1, 2, 16, 64, 512))
    ways: list[Callable[[], bytes]] = [
        lambda: data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :],
        lambda: data[:place] + chance.randbytes(length) + data[place + length :],
        lambda: data[:place] + bytes(length) + data[place + length :],
        lambda: data[:place] + data[place + length :],
        lambda: data[:place] + chance.randbytes(length) + data[place:],
        lambda: data[:place],
        lambda: data + chance.randbytes(length),
        lambda: data[: place // 2] + data[place:],
    ]
    return chance.choice(ways)()


def judge(path: Path, data: bytes, original: bytes, suffix: str) -> str:
    """Check one mutant: it is named, or it decodes wholly; returns the kind. A shorter start is always named."""
    path.write_bytes(data)
    check = check_image(path)
    if data == original:
        assert check.kind is None, check
    elif original.startswith(data):
        assert check.kind is not None, f"cut to {len(data)} of {len(original)} bytes"
    if check.kind in (None, "trailing_data"):
        pixels = read_image(path)
        assert pixels.shape[:2] == (check.height, check.width)
        if suffix == "png":  # every byte of it stands under a checksum
            path.write_bytes(original)
            assert np.array_equal(pixels, read_image(path))
    else:
        assert check.detail
    return str(check.kind)


def check_mutants(folder: Path, suffix: str, count: int, seed: int) -> set[str]:
    chance = random.Random(seed)
    originals = SEEDS[suffix]
    kinds = set()
    for number in range(count):
        original = originals[number % len(originals)]
        kinds.add(judge(folder / f"mutant.{suffix}", mutate(original, chance), original, suffix))
    return kinds


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_mutants_decode_wholly_or_are_named(tmp_path: Path, suffix: str) -> None:
    kinds = check_mutants(tmp_path, suffix, 250, seed=1)
    assert {"truncated", "damaged", "trailing_data"} <= kinds


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_ten_thousand_mutants_decode_wholly_or_are_named(tmp_path: Path, suffix: str) -> None:
    kinds = check_mutants(tmp_path, suffix, 5000, seed=2)
    assert {"unreadable", "truncated", "damaged", "trailing_data"} <= kinds


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_every_truncation_is_named(tmp_path: Path, suffix: str) -> None:
    """The last bytes one by one, and a sample of all others."""
    for original in SEEDS[suffix]:
        lengths = {*range(40), *range(len(original) - 40, len(original)), *range(0, len(original), 211)}
        for length in sorted(lengths):
            assert judge(tmp_path / f"cut.{suffix}", original[:length], original, suffix) not in (
                "None",
                "trailing_data",
            )


@pytest.mark.parametrize("format", ["BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("cut", [1, 2, 100])
def test_truncations_of_other_formats_are_named(tmp_path: Path, format: str, cut: int) -> None:
    path = tmp_path / f"image.{format.lower()}"
    data = saved(format)
    path.write_bytes(data)
    whole = check_image(path)
    assert (whole.kind, whole.width, whole.height) == (None, 96, 72)
    path.write_bytes(data[:-cut])
    assert check_image(path).kind in ("truncated", "damaged")


def kind_of(path: Path, data: bytes) -> tuple[str | None, str]:
    path.write_bytes(data)
    check = check_image(path)
    return check.kind, check.detail


def test_each_defect_has_its_name_and_its_place(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    png, jpeg = SEEDS["png"][0], SEEDS["jpg"][0]
    assert kind_of(path, b"") == ("empty", "0 bytes")
    assert kind_of(path, b"hello") == ("unreadable", "not a known image: starts with b'hello'")
    kind, detail = kind_of(path, png[:-1])
    assert kind == "truncated" and "IEND" in detail
    assert kind_of(path, png + b"xyz") == ("trailing_data", "3 bytes behind the image")
    kind, detail = kind_of(path, jpeg[:-2] + b"\x11" * 99 + jpeg[-2:])
    assert kind == "damaged" and "painted over" in detail and "extraneous bytes" in detail
    kind, detail = kind_of(path, header(70000, 70000))
    assert kind == "too_large" and "70000x70000" in detail
    kind, detail = kind_of(path, header(8, 8))
    assert kind == "damaged" and detail.startswith("does not decode: ") and "[" not in detail


def header(width: int, height: int) -> bytes:
    """A PNG without pixels, whose checksums are right."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size + bytes([8, 2, 0, 0, 0])) + chunk(b"IEND", b"")


def test_colour_profiles_and_text_are_no_damage(tmp_path: Path) -> None:
    """Decoders mutter about them too."""
    path = tmp_path / "image.png"
    profile = bytes(200)
    assert kind_of(path, saved("PNG", icc_profile=profile))[0] is None
    assert kind_of(path, saved("JPEG", icc_profile=profile))[0] is None


def test_the_size_is_that_of_the_image_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(saved("JPEG", exif=exif))
    check = check_image(tmp_path / "a.jpg")
    assert (check.width, check.height, check.kind) == (72, 96, None)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    check = check_image(tmp_path / "gone.png")
    assert (check.kind, check.detail) == ("unreadable", "cannot be read: No such file or directory")
    (tmp_path / "folder.png").mkdir()
    assert check_image(tmp_path / "folder.png").kind == "unreadable"


def test_decoders_are_heard_and_nothing_comes_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert hears_decoders()
    judge(tmp_path / "a.png", SEEDS["png"][0][:-30], SEEDS["png"][0], "png")
    assert capfd.readouterr().err == ""
    os.write(2, b"and afterwards all is as before\n")
    assert capfd.readouterr().err == "and afterwards all is as before\n"


def test_without_stderr_files_are_checked_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(SEEDS["png"][0])
    code = """if True:
        import os, sys
        os.close(2)
        from pathlib import Path
        from convlstm.toolkits.image_check import check_image, hears_decoders
        print(hears_decoders(), check_image(Path(sys.argv[1])).kind)
    """
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], stdout=subprocess.PIPE, check=False)
    assert run.stdout.split()[-1:] == [b"None"]


def test_pixels_are_decoded_as_training_does(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((8, 9), 7, np.uint8))
    check = check_image(path)
    assert (check.width, check.height, check.kind) == (9, 8, None)
    state = path.stat()
    assert (check.size, check.modified_ns) == (state.st_size, state.st_mtime_ns)
