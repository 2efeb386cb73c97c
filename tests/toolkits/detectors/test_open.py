from pathlib import Path

import pytest

from convlstm.errors import CheckpointError, ConfigError, ConvLSTMError
from convlstm.toolkits.detectors.base import DetectionSettings
from convlstm.toolkits.detectors.open import open_detector


@pytest.mark.parametrize("name", ["yolo11n-seg.pt", "fire.onnx"])
def test_missing_weights_are_told_with_where_to_get_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"no such file.*docs\.ultralytics\.com.*format=onnx"):
        open_detector(DetectionSettings(Path(name), 0.5, 0.5))
    assert not list(tmp_path.iterdir())  # and nothing was fetched


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "best.pth").touch()
    with pytest.raises(ConfigError, match=r"ends in \.pt or \.onnx, got .*best\.pth"):
        open_detector(DetectionSettings(tmp_path / "best.pth", 0.5, 0.5))


@pytest.mark.parametrize("name", ["x.pt", "x.onnx"])
def test_damaged_weights_are_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no model")
    with pytest.raises(ConvLSTMError) as caught:  # where ultralytics is not installed, that is what is told
        open_detector(DetectionSettings(tmp_path / name, 0.5, 0.5))
    assert "\n" not in str(caught.value)
