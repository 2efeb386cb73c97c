import io
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convlstm.toolkits.image_structure import DefectError, Structure, read_structure

pytestmark = pytest.mark.pure


def picture(width: int = 40, height: int = 24) -> Image.Image:
    pixels = np.random.RandomState(0).randint(0, 256, (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def saved(format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture().save(file, format, **options)
    return file.getvalue()


def exif_with_thumbnail() -> bytes:
    """A JPEG whose header holds a whole smaller one, end marker included, as cameras write it."""
    inner = saved("JPEG", quality=20)
    exif = Image.Exif()
    exif[0x010E] = "x"
    segment = b"Exif\0\0" + exif.tobytes()[6:] + inner
    outer = saved("JPEG")
    return outer[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + outer[2:]


WHOLE = {
    "png": saved("PNG"),
    "png with text": saved("PNG", pnginfo=None, optimize=True),
    "jpeg": saved("JPEG"),
    "progressive": saved("JPEG", progressive=True),
    "restarts": saved("JPEG", restart_marker_blocks=1),
    "thumbnail": exif_with_thumbnail(),
    "grey": saved("JPEG", quality=1),
}


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_a_whole_file_tells_its_size_and_has_nothing_behind_it(data: bytes) -> None:
    structure = read_structure(data)
    assert structure is not None
    assert (structure.width, structure.height, structure.num_trailing) == (40, 24, 0)


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_every_truncation_is_found(data: bytes) -> None:
    for length in range(8, len(data)):
        with pytest.raises(DefectError) as caught:
            read_structure(data[:length])
        assert caught.value.kind in ("truncated", "damaged")
    with pytest.raises(DefectError) as caught:
        read_structure(data[:-1])
    assert caught.value.kind == "truncated" and "ends" in str(caught.value)


@given(st.data())
def test_no_byte_of_a_png_changes_unseen(data: st.DataObject) -> None:
    whole = WHOLE["png"]
    place = data.draw(st.integers(8, len(whole) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != whole[place]))
    with pytest.raises(DefectError):
        read_structure(whole[:place] + bytes([value]) + whole[place + 1 :])


@pytest.mark.parametrize("name", ["png", "jpeg"])
def test_what_stands_behind_the_image_is_counted(name: str) -> None:
    structure = read_structure(WHOLE[name] + b"12345")
    assert structure is not None and structure.num_trailing == 5


def test_padding_and_further_pictures_behind_a_jpeg_are_nothing_to_tell() -> None:
    padded = read_structure(WHOLE["jpeg"] + b"\0\0\0")
    assert padded is not None and padded.num_trailing == 0
    several = io.BytesIO()
    picture().save(several, "MPO", save_all=True, append_images=[picture()])
    structure = read_structure(several.getvalue())
    assert structure is not None and (structure.width, structure.num_trailing) == (40, 0)


def chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda png: png[:8] + chunk(b"tEXt", b"a\0b") + png[8:], "chunk tEXt at byte 8 is out of place"),
        (lambda png: png[:33] + png[8:], "chunk IHDR at byte 33 is out of place"),
        (lambda png: png[:8] + chunk(b"IHDR", b"abc") + png[33:], "chunk IHDR at byte 8 is out of place"),
        (lambda png: png[:40] + b"\x99" + png[41:], "wrong checksum of chunk"),
        (lambda png: png[:33] + b"\xff" + png[34:], "ends inside of its chunk"),
    ],
)
def test_parts_of_a_png_that_do_not_fit(change: Callable[[bytes], bytes], message: str) -> None:
    with pytest.raises(DefectError, match=message):
        read_structure(change(WHOLE["png"]))


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda jpeg: jpeg[:2] + b"\x00" + jpeg[2:], "damaged", "no marker at byte 2"),
        (lambda jpeg: jpeg[:4] + b"\0\1" + jpeg[6:], "damaged", "segment e0 at byte 4 has no length"),
        (lambda jpeg: jpeg[:4] + b"\xff\xff" + jpeg[6:], "truncated", "ends inside of its segment e0"),
        (lambda jpeg: jpeg[:-2] + b"\xff\xff", "truncated", "without an end marker"),
    ],
)
def test_parts_of_a_jpeg_that_do_not_fit(change: Callable[[bytes], bytes], kind: str, message: str) -> None:
    with pytest.raises(DefectError, match=message) as caught:
        read_structure(change(WHOLE["jpeg"]))
    assert caught.value.kind == kind


def test_fill_bytes_before_a_marker_are_allowed() -> None:
    jpeg = WHOLE["jpeg"]
    assert read_structure(jpeg[:2] + b"\xff\xff" + jpeg[2:]) is not None


@pytest.mark.parametrize("format", ["BMP", "WEBP"])
def test_formats_that_tell_their_length(format: str) -> None:
    data = saved(format)
    assert read_structure(data) == Structure(0, 0, zlib.crc32(data))
    with pytest.raises(DefectError, match=f"{len(data) - 1:,} bytes of {len(data):,}"):
        read_structure(data[:-1])
    behind = read_structure(data + b"123")
    assert behind is not None and behind.num_trailing == 3


@pytest.mark.parametrize("data", [b"", b"\x89PN", b"hello", saved("TIFF"), b"GIF89a"])
def test_other_formats_are_left_to_others(data: bytes) -> None:
    assert read_structure(data) is None


def test_the_fingerprint_is_that_of_the_content() -> None:
    for name in ("png", "jpeg"):
        first, again = read_structure(WHOLE[name]), read_structure(bytes(WHOLE[name]))
        assert first == again and first is not None
    other = read_structure(WHOLE["grey"])
    assert other is not None and first is not None and other.fingerprint != first.fingerprint
