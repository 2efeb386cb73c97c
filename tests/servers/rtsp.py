"""A real RTSP server, GStreamer's, run by Debian's own Python: /usr/bin/python3 tests/servers/rtsp.py FILE [PORT]

Sends the H.264 of an MP4 or Matroska file as it is, at its own pace, from the start for each client, at
rtsp://127.0.0.1:PORT/video, and prints the port. Needs python3-gi, gir1.2-gst-rtsp-server-1.0,
gstreamer1.0-plugins-base and -good.
"""

# mypy: ignore-errors
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402


def main(path: str, port: str) -> None:
    """Serve until killed."""
    Gst.init(None)
    demuxer = "matroskademux" if path.endswith(".mkv") else "qtdemux"
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f'( filesrc location="{path}" ! {demuxer} ! rtph264pay name=pay0 pt=96 config-interval=-1 )')
    server.get_mount_points().add_factory("/video", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)  # noqa: T201 a script
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "0")
