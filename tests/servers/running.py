"""Servers for tests of live sources: started, killed, stopped, cut off; all of it real, on this machine only."""

import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, Self

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"
_NEEDED = """
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
assert Gst.ElementFactory.find("rtph264pay") and Gst.ElementFactory.find("qtdemux")
"""


def need_rtsp_server() -> None:
    """Skip the test where GStreamer's RTSP server is not installed."""
    if (
        not Path(SYSTEM_PYTHON).exists()
        or subprocess.run([SYSTEM_PYTHON, "-c", _NEEDED], stderr=-3, check=False).returncode
    ):
        pytest.skip("needs python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good")


class RtspServer:
    """`with RtspServer(path) as server: server.url`; sends the file from its start to each client."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/video"

    def start(self) -> None:
        """Start, on the port of the time before."""
        script = Path(__file__).with_name("rtsp.py")
        self.process = subprocess.Popen(
            [SYSTEM_PYTHON, str(script), str(self.path), str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def stop(self) -> None:
        """SIGSTOP: connections stay open, nothing comes."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()


class Cable:
    """A way to a server that can be cut: then nothing passes in either direction, and nobody is told."""

    def __init__(self, port: int) -> None:
        self.server_port = port
        self.is_cut = False
        self._closing = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing = True
        self._thread.join()
        self._listener.close()
        for pair in self._pairs:
            for end in pair:
                end.close()

    def cut(self) -> None:
        self.is_cut = True

    def mend(self) -> None:
        """New connections pass; those from before the cut stay dead, as after a restart of what lies between."""
        for pair in self._pairs:
            for end in pair:
                end.close()
        self._pairs.clear()
        self.is_cut = False

    def _run(self) -> None:
        while not self._closing:
            if self.is_cut:
                time.sleep(0.02)
                continue
            ends = {a: b for pair in list(self._pairs) for a, b in (pair, pair[::-1])}
            try:
                ready, _, _ = select.select([self._listener, *ends], [], [], 0.02)
                for end in ready:
                    if end is self._listener:
                        self._connect()
                    elif not self.is_cut:
                        self._pass_on(end, ends[end])
            except (OSError, ValueError):  # closed meanwhile
                continue

    def _connect(self) -> None:
        client, _ = self._listener.accept()
        try:
            self._pairs.append((client, socket.create_connection(("127.0.0.1", self.server_port))))
        except OSError:  # no server now
            client.close()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        data = source.recv(65536)
        if data:
            target.sendall(data)
            return
        self._pairs = [pair for pair in self._pairs if source not in pair]
        source.close()
        target.close()


class WebServer:
    """Serves `files` by name, ranges too, and `jpegs` at /video.mjpg as HTTP MJPEG, so many a second, then hangs up."""

    def __init__(self, files: dict[str, Path], jpegs: Sequence[bytes] = (), fps: float = 25.0) -> None:
        handler = type("Handler", (_Handler,), {"files": files, "jpegs": jpegs, "fps": fps})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    files: ClassVar[dict[str, Path]]
    jpegs: ClassVar[Sequence[bytes]]
    fps: ClassVar[float]

    def do_GET(self) -> None:
        name = self.path.lstrip("/").partition("?")[0]
        try:
            if name == "video.mjpg":
                self._send_jpegs()
            elif name in self.files:
                self._send_file(self.files[name].read_bytes())
            else:
                self.send_error(404)
        except ConnectionError:  # the client has seen enough
            self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Quietly."""

    def _send_file(self, data: bytes) -> None:
        first, _, last = (self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")
        begin, end = int(first), min(int(last) if last else len(data) - 1, len(data) - 1)
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {begin}-{end}/{len(data)}")
        self.send_header("Content-Length", str(end - begin + 1))
        self.end_headers()
        self.wfile.write(data[begin : end + 1])

    def _send_jpegs(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for jpeg in self.jpegs:
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")
            time.sleep(1 / self.fps)
        self.wfile.write(b"--frame--\r\n")


def children() -> set[int]:
    """Process ids of this process's children."""
    lists = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    return {int(number) for text in lists for number in text.split()}


def num_descriptors() -> int:
    """Open file descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))
