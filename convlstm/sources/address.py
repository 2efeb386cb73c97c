"""What kind of source a text names: a camera, a file on a web server, or something on this machine."""

import re
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit, urlunsplit

from convlstm.sources.video import VIDEO_SUFFIXES

LIVE_SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp", "rtp", "srt"})
WEB_SCHEMES = frozenset({"http", "https"})


def is_url(source: str) -> bool:
    """Whether this names something on a network, of a kind that can be opened."""
    return _scheme(source) in LIVE_SCHEMES | WEB_SCHEMES


def is_live(source: str) -> bool:
    """Whether frames come at the camera's pace and without end.

    True for RTSP, RTMP, UDP and the like, for cameras of this machine (`0`, `/dev/video0`), and for HTTP, unless the
    address ends like a video file (`http://host/clip.mp4`).
    """
    if camera_device(source) is not None or _scheme(source) in LIVE_SCHEMES:
        return True
    return _scheme(source) in WEB_SCHEMES and not _names_a_file(source)


def camera_device(source: str) -> str | None:
    """The device of a camera of this machine: `0` is /dev/video0, unless a folder is called so; None for the rest."""
    if re.fullmatch(r"[0-9]{1,3}", source) and not Path(source).exists():
        return f"/dev/video{int(source)}"
    return source if re.fullmatch(r"/dev/video[0-9]+", source) else None


def shown_address(source: str) -> str:
    """The address without its user name and password, and without a query, which may hold keys."""
    if not is_url(source):
        return source
    parts = urlsplit(source)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _scheme(source: str) -> str:
    scheme, separator, _ = source.partition("://")
    return scheme.lower() if separator else ""


def _names_a_file(url: str) -> bool:
    return PurePosixPath(urlsplit(url).path).suffix.lower() in VIDEO_SUFFIXES
