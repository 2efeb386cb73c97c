import re
from typing import Any

import pytest

from convlstm.benchmark.results import aligned, number
from convlstm.benchmark.tables import compare, describe, rate_of

pytestmark = pytest.mark.pure

MACHINE: dict[str, Any] = {
    "cpu": "Example CPU",
    "cores": 2,
    "gpu": None,
    "threads": 1,
    "opencv_threads": 2,
    "torch": "2.0",
    "versions": {"av": "18.0"},
    "matmul_tflops": {"32-true": 0.2, "bf16-mixed": 0.8},
}


def row(name: str, rate: float, engine: str = "", precision: str = "", tflops: float | None = None) -> dict[str, Any]:
    return {
        "row": name,
        "engine": engine,
        "precision": precision,
        "frames_per_second": rate,
        "tflops": tflops,
        "largest_difference": None,
    }


def rows() -> list[dict[str, Any]]:
    return [
        row("plain baseline", 20.0, "torch", "32-true", 0.1),
        row("mog2", 100.0),
        row("decode and mog2", 80.0),
        row("engine", 400.0, "openvino", "bf16-mixed", 0.2),
        row("engine", 500.0, "openvino", "int8", 0.25),
        row("end to end", 240.0, "openvino", "bf16-mixed", 0.12),
    ]


def test_rows_are_compared_with_the_baseline_with_mog2_and_with_the_machine() -> None:
    figures = rows()
    compare(figures, MACHINE)
    plain, mog2, _, engine, int8, end_to_end = figures
    assert (plain["x_plain"], plain["x_mog2"], plain["matmul_share"]) == (1, 0.2, 0.5)
    assert (mog2["x_mog2"], mog2["matmul_share"], mog2["x_decode_and_mog2"]) == (1, None, None)
    assert (engine["x_plain"], engine["x_mog2"], engine["matmul_share"]) == (20, 4, 0.25)
    assert int8["matmul_share"] is None, "no rate of int8 was measured"
    assert (end_to_end["x_plain"], end_to_end["x_decode_and_mog2"]) == (12, 3)


def test_a_rate_is_that_of_its_engine_and_precision() -> None:
    assert rate_of(rows(), "engine", "openvino", "int8") == 500
    assert rate_of(rows(), "engine", "openvino") == 400
    with pytest.raises(StopIteration):
        rate_of(rows(), "engine", "torch")


def test_people_read_all_of_it() -> None:
    figures = rows()
    compare(figures, MACHINE)
    options = {
        "source": "road.mp4",
        "source_size": [720, 1280],
        "target_size": [640, 640],
        "frames": 240,
        "stride": 3,
        "repeats": 5,
        "quick": False,
    }
    process = {"engine": "torch", "precision": "32-true", "weights": "file", "first_answer_seconds": 2.5}
    report = {
        "machine": MACHINE,
        "options": options,
        "rows": figures,
        "processes": [{**process, "peak_bytes": 300e6}, {**process, "peak_bytes": None}],
        "streams": [{"engine": "openvino", "precision": "int8", "fps": 25.0, "streams": 9}],
    }
    text = describe(report)
    assert "Example CPU, 2 cores" in text
    assert "torch 2.0 in 1 threads, OpenCV in 2, in one where an engine runs; av 18.0" in text
    assert "road.mp4, 1280x720, 240 frames; network 640x640, stride 3; median of 5" in text
    assert "quick" not in text and "quick" in describe({**report, "options": {**options, "quick": True}})
    assert re.search(r"engine +openvino +bf16-mixed +400.0 +20.00 +4.00 +- +25% +-", text)
    assert re.search(r"torch +32-true +file +2.50 +300\n", text) and re.search(r"file +2.50 +-\n", text)
    assert re.search(r"openvino +int8 +25 +9$", text)


def test_columns_are_aligned() -> None:
    columns = (("name", lambda row: str(row["name"])), ("n", lambda row: number(row["n"], ".1f")))
    lines = aligned([{"name": "a", "n": 10.04}, {"name": "longer", "n": None}], columns, ("name",))
    assert lines == ["name       n", "a       10.0", "longer     -"]
