import sys

import pytest

from convlstm.errors import ConfigError
from convlstm.toolkits.detectors.installed import require

pytestmark = pytest.mark.pure


def test_a_package_that_is_there_is_imported() -> None:
    assert require("json").loads("1") == 1


@pytest.mark.parametrize(
    ("package", "advice"),
    [("supervision", r'pip install "convlstm\[yolo\]"'), ("ultralytics", r"AGPL.*format=onnx.*--no-deps ultralytics")],
)
def test_a_missing_package_is_told_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, package: str, advice: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=advice) as caught:
        require(package)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
