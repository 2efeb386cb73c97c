from pathlib import Path

import pytest

from convlstm.errors import ConfigError
from convlstm.region import Region, parse_polygons
from convlstm.sources.cameras import Camera, is_camera_list, read_cameras

pytestmark = pytest.mark.pure

DEFAULT = Camera("", "", Region(parse_polygons("roi", ["0 0 1 0 1 1"])), 8.0)


def read(tmp_path: Path, text: str) -> list[Camera]:
    path = tmp_path / "cameras.yaml"
    path.write_text(text)
    return read_cameras(path, DEFAULT)


def test_addresses_alone_and_with_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YARD_PASSWORD", "s3cret")
    front, yard, desk = read(
        tmp_path,
        "front: rtsp://host/1\n"
        "yard:\n  url: rtsp://joe:${YARD_PASSWORD}@host/2\n  sample_fps: 5\n  roi: 0 0 1 0 1 .5\n"
        "  ignore: [0 0 .1 0 .1 .1, .5 .5 1 .5 1 1]\n"
        "desk: {url: 0, roi: []}\n",
    )
    assert (front.name, front.address, front.sample_fps) == ("front", "rtsp://host/1", 8.0)
    assert front.region.roi == DEFAULT.region.roi
    assert (yard.address, yard.sample_fps) == ("rtsp://joe:s3cret@host/2", 5.0)
    assert yard.region.roi == (((0.0, 0.0), (1.0, 0.0), (1.0, 0.5)),)
    assert len(yard.region.ignore) == 2
    assert desk.address == "0" and not desk.region.roi
    assert "s3cret" not in repr(yard)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'no cameras in it: write lines "name: rtsp://..."'),
        ("front: {sample_fps: 5}", 'front: no address: write "front: rtsp://..." or give it a url'),
        ("front: {url: rtsp://h/1, sampel_fps: 5}", 'front: unknown setting "sampel_fps": did you mean "sample_fps"?'),
        ("front: {url: rtsp://h/1, size: 5}", 'front: unknown setting "size": known are: url, sample_fps, roi, ignore'),
        ("front: {url: rtsp://h/1, sample_fps: 0}", "front: sample_fps must be a number greater than 0, got 0"),
        ("front: {url: rtsp://h/1, sample_fps: true}", "front: sample_fps must be a number greater than 0, got True"),
        (
            "front: {url: rtsp://h/1, roi: 0 0 1}",
            'front: roi must be polygons "x1 y1 x2 y2 x3 y3 ...", at least three corners, got "0 0 1"',
        ),
        (
            "front: clip.mp4",
            "front: not a camera: expected rtsp://, http:// or a camera's number; files go without a list",
        ),
        (
            "front: rtsp://${NOT_SET_ANYWHERE}@h/1",
            "front: the environment has no NOT_SET_ANYWHERE: set it, as the address names it",
        ),
        (
            "../front: rtsp://h/1",
            "../front: names of cameras are of letters, digits, - and _: results lie in folders so called",
        ),
        ("..: rtsp://h/1", "..: names of cameras are of letters, digits, - and _: results lie in folders so called"),
        ("Front: rtsp://h/1\nfront: rtsp://h/2", "two cameras are called front: their results would share a folder"),
    ],
)
def test_a_faulty_list_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert str(caught.value) == f"{tmp_path / 'cameras.yaml'}: {message}"


def test_yaml_files_are_lists() -> None:
    assert is_camera_list("cameras.yaml") and is_camera_list(Path("a/CAMERAS.YML"))
    assert not is_camera_list("clip.mp4")
