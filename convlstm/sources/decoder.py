"""The parent's end of a decoder process: started, asked, killed."""

import json
import mmap
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np

from convlstm.errors import DataError
from convlstm.sources.decoder_process import NUM_SLOTS, SLOT_BYTES
from convlstm.types import UInt8Array

_PACKAGE_PARENT = Path(__file__).resolve().parents[2]


class DecoderEndedError(Exception):
    """The process is no more; the text says how it ended."""


class Decoder:
    """A process that decodes one stream after the other, and can be killed at any moment.

    Whatever a damaged stream does to the decoder, it does it there. Raises DataError where processes cannot share
    memory as this needs it (Windows).
    """

    def __init__(self) -> None:
        if os.name == "nt":
            raise DataError("live sources need Linux or macOS: record to a file, and give that")
        descriptor = _shared_memory(NUM_SLOTS * SLOT_BYTES)
        self._connection, theirs = Pipe()
        try:
            self._memory = mmap.mmap(descriptor, NUM_SLOTS * SLOT_BYTES)
            module = "convlstm.sources.decoder_process"
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(theirs.fileno()), str(descriptor)],
                pass_fds=(theirs.fileno(), descriptor),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": _search_path(), "OMP_NUM_THREADS": "1"},
            )
        finally:
            theirs.close()
            os.close(descriptor)

    @property
    def process_id(self) -> int:
        """Of the child."""
        return self._process.pid

    def open(self, address: str, *, sample_fps: float | None, size: tuple[int, int] | None) -> None:
        """Ask for a stream; what becomes of it, `receive` tells. Raises DecoderEndedError."""
        self._send(open=address, sample_fps=sample_fps, size=size)

    def receive(self, timeout_seconds: float) -> dict[str, Any] | None:
        """The next message, see `decoder_process`; None where there is none in time. Raises DecoderEndedError."""
        try:
            if not self._connection.poll(timeout_seconds):
                return None
            message: dict[str, Any] = json.loads(self._connection.recv_bytes())
            return message
        except (EOFError, OSError):
            raise DecoderEndedError(self._how_it_ended()) from None

    def take_pixels(self, message: dict[str, Any]) -> UInt8Array:
        """A copy of the pixels of a `frame` message, uint8 RGB (H, W, 3); its slot is free again.

        Raises DecoderEndedError.
        """
        height, width = message["size"]
        count, offset = height * width * 3, message["slot"] * SLOT_BYTES
        pixels = np.frombuffer(self._memory, dtype=np.uint8, count=count, offset=offset).copy()
        self._send(free=message["slot"])
        return pixels.reshape(height, width, 3)

    def kill(self) -> None:
        """End the process at once, whatever it does, and give everything back."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # stuck in a driver, where no signal reaches it
            self._process.wait(5)
        self._connection.close()
        self._memory.close()

    def _send(self, **message: object) -> None:
        try:
            self._connection.send_bytes(json.dumps(message).encode())
        except OSError:
            raise DecoderEndedError(self._how_it_ended()) from None

    def _how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(1)
            return f"the decoder died of signal {-code}" if code < 0 else f"the decoder ended with exit code {code}"
        return "the decoder hung up"


def _shared_memory(num_bytes: int) -> int:
    """A descriptor of memory without a name, all zeros, that takes no room before it is written."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("convlstm-frames")
    else:
        number, name = tempfile.mkstemp()
        Path(name).unlink()
        descriptor = number
    os.ftruncate(descriptor, num_bytes)
    return descriptor


def _search_path() -> str:
    """Where the child finds this package, also when it is not installed; without the working directory."""
    before = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(_PACKAGE_PARENT), *([before] if before else [])])
