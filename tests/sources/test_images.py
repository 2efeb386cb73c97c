import io
import random
import struct
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from convlstm.errors import DataError
from convlstm.sources.images import IMAGE_SUFFIXES, read_image, read_mask

Pixels = NDArray[np.uint8]
LOSSLESS = {".png": "PNG", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
LOSSY = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
FORMATS = LOSSLESS | LOSSY


def picture(height: int = 40, width: int = 60) -> Pixels:
    """Soft colours, so that lossy formats stay near them."""
    coarse = np.random.RandomState(1).randint(0, 256, (5, 6, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR), dtype=np.uint8)


def encoded(pixels: Pixels, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def header_only_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_every_known_suffix_is_tried_here() -> None:
    assert set(FORMATS) == IMAGE_SUFFIXES


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_colours_come_as_rgb(tmp_path: Path, suffix: str) -> None:
    pixels = np.zeros((32, 96, 3), dtype=np.uint8)
    for third, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        pixels[:, 32 * third : 32 * third + 32] = colour
    path = tmp_path / f"colours{suffix.upper()}"
    path.write_bytes(encoded(pixels, FORMATS[suffix]))
    result = read_image(path)
    assert result.shape == (32, 96, 3) and result.dtype == np.uint8
    tolerance = 0 if suffix in LOSSLESS else 6
    np.testing.assert_allclose(result[16, [16, 48, 80]].astype(int), pixels[16, [16, 48, 80]], atol=tolerance)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    values = np.array([[0, 256, 32768, 65535]], dtype=np.uint16).repeat(4, axis=0)
    Image.fromarray(values).save(tmp_path / "deep.png")
    result = read_image(tmp_path / "deep.png")
    assert result.dtype == np.uint8
    np.testing.assert_allclose(result[0, :, 0].astype(int), [0, 1, 128, 255], atol=1)


def test_grey_palette_and_alpha(tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.stack([grey] * 3, axis=2))

    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 200, 30, 10])
    palette.save(tmp_path / "palette.png")
    assert (read_image(tmp_path / "palette.png") == (200, 30, 10)).all()

    Image.new("RGBA", (4, 4), (10, 20, 30, 0)).save(tmp_path / "alpha.png")
    assert (read_image(tmp_path / "alpha.png") == (10, 20, 30)).all()


def test_exif_orientation_turns_upright(tmp_path: Path) -> None:
    pixels = np.zeros((32, 64, 3), dtype=np.uint8)
    pixels[:, :32] = (250, 0, 0)  # left red, right black; turned clockwise: red on top
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "turned.jpg").write_bytes(encoded(pixels, "JPEG", quality=95, exif=exif.tobytes()))
    result = read_image(tmp_path / "turned.jpg")
    assert result.shape == (64, 32, 3)
    assert result[8, 16, 0] > 240 and result[56, 16, 0] < 10


def test_masks_are_single_channel(tmp_path: Path) -> None:
    mask = np.zeros((8, 8), dtype=np.uint8)
    mask[2:4, 2:4] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), mask)
    Image.new("RGB", (4, 4), (0, 0, 9)).save(tmp_path / "blue.png")
    assert (read_mask(tmp_path / "blue.png") > 0).all()


def test_files_that_are_no_images_say_so(tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    text = tmp_path / "text.png"
    text.write_text("not an image")
    for path, message in (
        (empty, f"{empty}: empty file"),
        (text, f"{text}: not a readable image"),
        (tmp_path / "none.png", f"{tmp_path / 'none.png'}: cannot be read: No such file or directory"),
        (tmp_path, f"{tmp_path}: cannot be read: Is a directory"),
    ):
        for read in (read_image, read_mask):
            with pytest.raises(DataError) as caught:
                read(path)
            assert str(caught.value) == message


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("BMP", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("TIFF", {"compression": "jpeg"}),
    ],
)
def test_a_cut_file_is_refused_or_decodes_wholly(tmp_path: Path, kind: str, options: dict[str, object]) -> None:
    data = encoded(picture(), kind, **options)
    path = tmp_path / "cut"
    path.write_bytes(data)
    whole = read_image(path)
    num_refused = 0
    cuts = {*range(1, len(data), max(1, len(data) // 40)), *range(len(data) - 10, len(data))}
    for cut in sorted(cuts):
        path.write_bytes(data[:cut])
        try:
            np.testing.assert_array_equal(read_image(path), whole, err_msg=f"cut at {cut} of {len(data)}")
        except DataError as error:
            assert str(path) in str(error)
            num_refused += 1
    assert num_refused > len(cuts) // 2


@pytest.mark.parametrize(
    ("width", "height", "message"),
    [
        (50_000, 50_000, "more than 134 megapixels by its header: shrink the image"),
        (13_000, 12_000, "13000x12000 pixels, but at most 134 megapixels are read: shrink it"),
        (1 << 21, 1, "damaged or truncated image"),
    ],
)
def test_huge_images_are_refused_from_the_header(tmp_path: Path, width: int, height: int, message: str) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(header_only_png(width, height))
    start = time.perf_counter()
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert str(caught.value) == f"{path}: {message}"
    assert time.perf_counter() - start < 1


def test_a_header_beyond_what_the_decoder_takes(tmp_path: Path) -> None:
    data = bytearray(encoded(picture(), "BMP"))
    data[18:26] = struct.pack("<ii", 3 << 19, 8)
    (tmp_path / "wide.bmp").write_bytes(data)
    with pytest.raises(DataError, match=r"wide\.bmp: damaged or truncated image"):
        read_image(tmp_path / "wide.bmp")


def mutate(data: bytes, source: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(source.randint(1, 3)):
        at = source.randrange(min(60, len(changed)) if source.random() < 0.3 else len(changed))
        match source.randrange(3):
            case 0:
                changed[at] ^= 1 << source.randrange(8)
            case 1 if len(changed) > 100:
                del changed[at : at + source.randint(1, 30)]
            case _:
                changed[at:at] = source.randbytes(source.randint(1, 20))
    return bytes(changed)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_mutated_files_give_a_full_picture_or_a_data_error(tmp_path: Path, kind: str) -> None:
    source = random.Random(kind)
    data = encoded(picture(), kind)
    path = tmp_path / "mutated"
    num_refused = 0
    for _ in range(250):
        path.write_bytes(mutate(data, source))
        try:
            pixels = read_image(path)
        except DataError:
            num_refused += 1
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                assert sorted(image.size) == sorted(pixels.shape[:2])
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3
    assert num_refused > 50
