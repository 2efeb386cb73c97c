import re

import pytest

from convlstm.errors import ConfigError
from convlstm.inference.engines.installed import PACKAGES, is_installed, require

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("purpose", "message"),
    [
        ("openvino", 'engine openvino needs the package missing_package: pip install "convlstm[openvino]"'),
        ("onnx", 'engine onnx needs the package missing_package: pip install "convlstm[onnx]"'),
        ("export", 'exporting needs the package missing_package: pip install "convlstm[onnx]"'),
    ],
)
def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch, purpose: str, message: str) -> None:
    monkeypatch.setitem(PACKAGES, purpose, "missing_package")
    assert not is_installed(purpose)
    with pytest.raises(ConfigError, match=re.escape(message)):
        require(purpose)


def test_a_package_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "onnx", "json")
    assert is_installed("onnx") and require("onnx").loads("1") == 1
