"""What an image file says about itself, byte by byte: size, end, checksums; nothing is decoded here.

PNG: ISO/IEC 15948. JPEG: ITU-T T.81, annex B. BMP and WebP tell their length in the header.
"""

import zlib
from dataclasses import dataclass

import numpy as np

from convlstm.config.toolkits import ImageProblem

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
_STAND_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # TEM, RST0 to RST7: markers without a length
_EOI, _SOS, _APP2 = 0xD9, 0xDA, 0xE2


class DefectError(Exception):
    """An image file is not whole: `kind` is the problem's name, the message says where."""

    def __init__(self, kind: ImageProblem, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Structure:
    """Of a whole file: width and height in pixels (0 where the header leaves them open), a checksum of what it holds,
    and how many bytes stand behind the image."""

    width: int
    height: int
    fingerprint: int
    num_trailing: int = 0


def read_structure(data: bytes) -> Structure | None:
    """Walk through a file from its first to its last byte; None for formats other than PNG, JPEG, BMP and WebP.

    Raises DefectError where it ends early, a checksum does not fit, or its parts do not stand as they must.
    """
    if data.startswith(_PNG_SIGNATURE):
        return _png(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(b"BM"):
        return _by_length(data, int.from_bytes(data[2:6], "little"), num_header=26)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _by_length(data, int.from_bytes(data[4:8], "little") + 8, num_header=12)
    return None


def _png(data: bytes) -> Structure:
    view, offset, checksums = memoryview(data), len(_PNG_SIGNATURE), []
    while True:
        length = int.from_bytes(view[offset : offset + 4], "big")
        kind = bytes(view[offset + 4 : offset + 8])
        end = offset + 12 + length
        if end > len(data):
            raise DefectError("truncated", f"ends inside of its chunk {_shown(kind)} at byte {offset:,}")
        checksum = view[end - 4 : end]
        if zlib.crc32(view[offset + 4 : end - 4]) != int.from_bytes(checksum, "big"):
            raise DefectError("damaged", f"wrong checksum of chunk {_shown(kind)} at byte {offset:,}")
        if (kind == b"IHDR") != (offset == len(_PNG_SIGNATURE)) or (kind == b"IHDR" and length != 13):
            raise DefectError("damaged", f"chunk {_shown(kind)} at byte {offset:,} is out of place")
        checksums.append(checksum)
        offset = end
        if kind == b"IEND":
            break
    width, height = (int.from_bytes(view[start : start + 4], "big") for start in (16, 20))
    return Structure(width, height, zlib.crc32(b"".join(checksums)), len(data) - offset)


def _shown(kind: bytes) -> str:
    return kind.decode("ascii") if len(kind) == 4 and kind.isalpha() else "header"


def _jpeg(data: bytes) -> Structure:
    markers = _marker_places(data)
    offset, width, height, has_more_pictures = 2, 0, 0, False
    while True:
        offset, marker = _next_marker(data, offset)
        if marker == _EOI:
            break
        if marker in _STAND_ALONE:
            continue
        length = int.from_bytes(data[offset : offset + 2], "big")
        if length < 2:
            raise DefectError("damaged", f"segment {marker:02x} at byte {offset:,} has no length")
        if offset + length > len(data):
            raise DefectError("truncated", f"ends inside of its segment {marker:02x} at byte {offset:,}")
        if marker in _FRAME_HEADERS:
            height, width = (int.from_bytes(data[offset + at : offset + at + 2], "big") for at in (3, 5))
        has_more_pictures |= marker == _APP2 and data[offset + 2 : offset + 6] == b"MPF\0"
        offset += length
        if marker == _SOS:
            place = int(np.searchsorted(markers, offset))
            if place == len(markers):
                raise DefectError("truncated", "ends inside of its picture, without an end marker")
            offset = int(markers[place])
    behind = data[offset:]
    num_trailing = 0 if has_more_pictures or not behind.strip(b"\0\xff\r\n ") else len(behind)
    return Structure(width, height, zlib.crc32(data), num_trailing)


def _marker_places(data: bytes) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Where, in coded picture data, a marker other than a restart stands; FF 00 is a coded FF."""
    values = np.frombuffer(data, dtype=np.uint8)
    places = np.flatnonzero(values[:-1] == 0xFF)
    following = values[places + 1]
    is_restart = (following >= 0xD0) & (following <= 0xD7)
    found: np.ndarray[tuple[int], np.dtype[np.intp]] = places[(following != 0) & (following != 0xFF) & ~is_restart]
    return found


def _next_marker(data: bytes, offset: int) -> tuple[int, int]:
    """The next marker and where its segment starts; any number of FF may stand before it."""
    if offset < len(data) and data[offset] != 0xFF:
        raise DefectError("damaged", f"no marker at byte {offset:,}, where one must stand")
    while offset < len(data) and data[offset] == 0xFF:
        offset += 1
    if offset >= len(data):
        raise DefectError("truncated", "ends without an end marker")
    return offset + 1, data[offset]


def _by_length(data: bytes, length: int, *, num_header: int) -> Structure:
    if len(data) < max(length, num_header):
        raise DefectError("truncated", f"{len(data):,} bytes of {max(length, num_header):,}")
    has_length = length >= num_header  # some writers of BMP leave it at 0
    return Structure(0, 0, zlib.crc32(data), len(data) - length if has_length else 0)
