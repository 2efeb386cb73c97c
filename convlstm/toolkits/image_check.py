"""One image file: read once, walked through, decoded wholly as training decodes it, and what the decoder mutters heard.

libjpeg paints over damage and says so on stderr alone; libpng and OpenCV tell there why they gave up.
"""

import atexit
import io
import os
import re
import sys
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from convlstm.config import MAX_IMAGE_PIXELS
from convlstm.config.toolkits import ImageProblem
from convlstm.errors import printable
from convlstm.toolkits.image_structure import DefectError, Structure, read_structure
from convlstm.types import UInt8Array

# Said of images that are whole: of colour profiles, of unknown tags, of settings that decoders do not need.
_HARMLESS = re.compile(
    r"libpng warning: (?!IDAT)|unknown JFIF revision|Invalid Adobe marker|Invalid SOS parameters|bad ICC marker"
    r"|TIFF_Warning|\[ ?(INFO|DEBUG)"
)
_PREFIX = re.compile(r"^\[ *(?:WARN|ERROR):[^\]]*\] *global \S+ *|^libpng (?:error|warning): ")


@dataclass(frozen=True)
class ImageCheck:
    """What is known of one file: state on disk, decoded size, checksum of the content; no `kind` if it is whole."""

    path: str
    size: int
    modified_ns: int
    width: int = 0
    height: int = 0
    fingerprint: int = 0
    kind: ImageProblem | None = None
    detail: str = ""


class DecoderMessages:
    """What image libraries write to stderr while `listening`; nothing where this process has no stderr."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        if _has_stderr():
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 lives as long as the process
            atexit.register(self._file.close)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block, what is written to file descriptor 2 is kept for `take`."""
        if self._file is None:
            yield
            return
        stderr = os.dup(2)
        os.dup2(self._file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)

    def take(self) -> list[str]:
        """The lines since the last call."""
        if self._file is None or not os.fstat(self._file.fileno()).st_size:
            return []
        self._file.seek(0)
        text = self._file.read().decode("utf-8", "replace")
        self._file.seek(0)
        self._file.truncate()
        return [line for line in text.splitlines() if line.strip()]


def _has_stderr() -> bool:
    try:
        os.fstat(2)
    except OSError:
        return False
    return True


@cache
def _messages() -> DecoderMessages:
    return DecoderMessages()


@contextmanager
def progress_beside_messages() -> Iterator[None]:
    """Within the block, a progress bar keeps its way to the terminal while decoders are listened to."""
    if not (sys.stderr and sys.stderr.isatty()):
        yield
        return
    with os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1) as terminal, redirect_stderr(terminal):
        yield


def hears_decoders() -> bool:
    """Whether this OpenCV tells of damage that it painted over: tried on a JPEG with bytes too many in its picture."""
    pixels = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    data = cv2.imencode(".jpg", pixels)[1].tobytes()
    _, problems = _decode(data[:-2] + b"\x55" * 64 + data[-2:])
    return bool(problems)


def check_image(path: Path) -> ImageCheck:
    """Read, walk through and decode one file. Whatever is wrong with it is in the result; nothing is raised for it."""
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            data = file.read()
    except OSError as error:
        return ImageCheck(str(path), -1, -1, kind="unreadable", detail=f"cannot be read: {error.strerror}")
    found = ImageCheck(str(path), len(data), state.st_mtime_ns)
    try:
        structure, pixels = _inspect(data)
    except DefectError as defect:
        # damaged files have a fingerprint too, so that a change of their content is seen
        return replace(found, fingerprint=zlib.crc32(data), kind=defect.kind, detail=str(defect))
    height, width = pixels.shape[:2]
    extra = structure.num_trailing
    return replace(
        found,
        width=width,
        height=height,
        fingerprint=structure.fingerprint if not extra else zlib.crc32(data),
        kind="trailing_data" if extra else None,
        detail=f"{extra:,} bytes behind the image" if extra else "",
    )


def _inspect(data: bytes) -> tuple[Structure, UInt8Array]:
    if not data:
        raise DefectError("empty", "0 bytes")
    structure = read_structure(data)
    if structure is None or not structure.width:
        structure = _read_by_pillow(data, structure)
    if structure.width * structure.height > MAX_IMAGE_PIXELS:
        limit = f"at most {MAX_IMAGE_PIXELS // 10**6} megapixels are read"
        raise DefectError("too_large", f"{structure.width}x{structure.height} pixels, but {limit}")
    pixels, problems = _decode(data)
    if pixels is None:
        raise DefectError("damaged", f"does not decode: {problems[0] if problems else 'no reason given'}")
    if problems:
        raise DefectError("damaged", f"decodes with damage painted over: {problems[0]}")
    return structure, pixels


def _decode(data: bytes) -> tuple[UInt8Array | None, list[str]]:
    """Pixels as training reads them, and what the decoder had to say of damage."""
    messages = _messages()
    with messages.listening():
        try:
            pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
        except cv2.error:  # raised, beside None, for some headers that make no sense
            pixels = None
    lines = messages.take()
    serious = [printable(_PREFIX.sub("", line))[:200] for line in lines if not _HARMLESS.search(line)]
    return (None if pixels is None else np.asarray(pixels, dtype=np.uint8)), serious


def _read_by_pillow(data: bytes, structure: Structure | None) -> Structure:
    """For formats whose structure is not walked through: a second decoder, which names what is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which the caller checks, and of tags
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
                if width * height <= MAX_IMAGE_PIXELS:
                    image.load()
    except Image.DecompressionBombError:
        raise DefectError("too_large", f"more than {MAX_IMAGE_PIXELS // 10**6} megapixels by its header") from None
    except UnidentifiedImageError:
        raise DefectError("unreadable", f"not a known image: starts with {data[:8]!r}") from None
    except Exception as error:  # Pillow's plugins raise whatever their parsers meet
        kind: ImageProblem = "truncated" if "truncated" in str(error).lower() else "damaged"
        raise DefectError(kind, f"does not decode: {printable(str(error))[:200]}") from error
    extra = structure.num_trailing if structure is not None else 0
    return Structure(width, height, zlib.crc32(data), extra)
