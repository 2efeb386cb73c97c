"""The benchmark of the data tools: it runs, what it compares is the same work, and programs can read the result."""

import json
from pathlib import Path

import pytest

from benchmarks.toolkits import PARTS, main, parse_options


@pytest.mark.slow
def test_extraction_is_measured_beside_the_libraries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--parts", "extraction", "--frames", "4", "--repeats", "1", "--formats", "jpg"]
    assert main([*options, "--output", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    report = json.loads(lines[-1])
    assert json.loads(next(tmp_path.glob("*.json")).read_text()) == report
    rows = {row["title"]: row for row in report["rows"]}
    decoding, encoding = rows["PyAV alone decodes, to RGB"], rows["OpenCV alone encodes jpg"]
    both = rows["both, one after the other, jpg"]["per_second"]
    assert 1 / both == pytest.approx(1 / decoding["per_second"] + 1 / encoding["per_second"])
    one = rows["two videos to jpg, 1 worker"]
    assert one["of_libraries"] == pytest.approx(one["per_second"] / both)
    two = rows["two videos to jpg, 2 workers"]
    assert two["speedup"] == pytest.approx(two["per_second"] / one["per_second"])
    assert any(line.startswith("extraction") and line.endswith("%             -") for line in lines)


def test_options() -> None:
    assert parse_options([]).parts == list(PARTS)
    with pytest.raises(SystemExit):
        parse_options(["--parts", "all"])
