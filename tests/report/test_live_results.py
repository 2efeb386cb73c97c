import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from convlstm.errors import DataError
from convlstm.report.live_results import LiveResults, clock_time, write_status
from convlstm.types import Event, Heatmap

pytestmark = pytest.mark.pure

HEATMAP = Heatmap(np.full((2, 3), 0.75, dtype=np.float32), 3, 12, 0.12, 0.48)
EVENT = Event(3, 40, 0.12, 1.6, 0.9, (0.0, 0.0, 0.5, 1.0))


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_bear_the_time_of_day(tmp_path: Path) -> None:
    results = LiveResults(tmp_path / "yard", "yard")
    results.started = 1_700_000_000.0
    results.add_window(HEATMAP, probability=0.75, num_hot=6)
    results.add_events([EVENT, EVENT])
    results.add_events([])
    (window,) = lines(tmp_path / "yard" / "results.jsonl")
    assert window == {
        "source": "yard",
        "first_frame": 3,
        "last_frame": 12,
        "start_s": 0.12,
        "end_s": 0.48,
        "probability": 0.75,
        "cells": 6,
        "time": clock_time(1_700_000_000.48),
    }
    first, second = lines(tmp_path / "yard" / "events.jsonl")
    assert first == second and first["box"] == [0, 0, 0.5, 1]
    assert datetime.fromisoformat(str(first["start_time"])).timestamp() == pytest.approx(1_700_000_000.12)
    assert datetime.fromisoformat(str(first["end_time"])).timestamp() == pytest.approx(1_700_000_001.6)
    assert datetime.fromisoformat(str(first["end_time"])).tzinfo is not None


@pytest.mark.parametrize(
    ("before", "kept"), [(b'{"a": 1}\n{"b"', b'{"a": 1}\n'), (b'{"a"', b""), (b"{}\n", b"{}\n"), (b"", b"")]
)
def test_a_torn_line_is_taken_off(tmp_path: Path, before: bytes, kept: bytes) -> None:
    (tmp_path / "events.jsonl").write_bytes(before)
    LiveResults(tmp_path, "yard").add_events([EVENT])
    after = (tmp_path / "events.jsonl").read_bytes()
    assert after.startswith(kept)
    assert json.loads(after[len(kept) :])["source"] == "yard"


def test_status_is_rewritten(tmp_path: Path) -> None:
    write_status(tmp_path, {"yard": {"state": "online"}}, now=0.0)
    write_status(tmp_path, {"yard": {"state": "offline"}}, now=1.5)
    status = json.loads((tmp_path / "status.json").read_text())
    assert status == {"time": clock_time(1.5), "cameras": {"yard": {"state": "offline"}}}
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_where_nothing_can_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write to .*file/yard: Not a directory"):
        LiveResults(tmp_path / "file" / "yard", "yard")
