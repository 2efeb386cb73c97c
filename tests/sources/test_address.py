from pathlib import Path

import pytest

from convlstm.sources.address import camera_device, is_live, is_url, shown_address

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("source", "live", "url"),
    [
        ("rtsp://host/stream", True, True),
        ("RTSPS://host/stream", True, True),
        ("udp://@239.0.0.1:1234", True, True),
        ("http://host/video.mjpg", True, True),
        ("https://host/axis-cgi/mjpg/video.cgi?fps=5", True, True),
        ("http://host/clip.mp4", False, True),
        ("https://host/a/CLIP.MKV?key=1", False, True),
        ("0", True, False),
        ("12", True, False),
        ("/dev/video2", True, False),
        ("clip.mp4", False, False),
        ("frames/*.png", False, False),
        ("file:///etc/passwd", False, False),
        ("concat:a|b", False, False),
        ("1234", False, False),
    ],
)
def test_what_is_live(source: str, live: bool, url: bool) -> None:
    assert (is_live(source), is_url(source)) == (live, url)


def test_a_number_is_a_camera_unless_a_folder_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert camera_device("0") == "/dev/video0"
    (tmp_path / "0").mkdir()
    assert camera_device("0") is None and not is_live("0")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://joe:s3cret@host:554/stream?token=abc", "rtsp://host:554/stream"),
        ("http://joe:p@ss@host/video.mjpg#x", "http://host/video.mjpg"),
        ("rtsp://host/stream", "rtsp://host/stream"),
        ("0", "0"),
        ("a@b/clip.mp4", "a@b/clip.mp4"),
    ],
)
def test_passwords_are_not_shown(address: str, shown: str) -> None:
    assert shown_address(address) == shown
