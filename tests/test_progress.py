import io
import logging
import sys
import time
from collections.abc import Callable

import pytest

from convlstm.progress import SECONDS_BETWEEN_LINES, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`clock(seconds)` lets time pass."""
    now = [100.0]

    def let_pass(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return let_pass


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_plain_lines_come_once_in_a_while(caplog: pytest.LogCaptureFixture, clock: Callable[[float], None]) -> None:
    caplog.set_level(logging.INFO, "convlstm")
    with Progress("decoding", 100, "frames") as progress:
        for _ in range(45):
            clock(1)
            progress.advance(2, "a.mp4")
    assert lines(caplog) == [f"decoding a.mp4: {count}/100 frames" for count in (20, 40, 60, 80)]
    assert progress.done == 90
    assert {record.name for record in caplog.records} == {"convlstm.progress"}


def test_a_line_comes_at_once_after_long_silence(
    caplog: pytest.LogCaptureFixture, clock: Callable[[float], None]
) -> None:
    caplog.set_level(logging.INFO, "convlstm")
    with Progress("reading", None, "frames") as progress:
        clock(SECONDS_BETWEEN_LINES - 0.01)
        progress.advance()
        assert lines(caplog) == []
        clock(0.01)
        progress.advance()
        progress.advance()
    assert lines(caplog) == ["reading: 2 frames"]


def test_off_a_terminal_nothing_is_drawn(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress("decoding", 3) as progress:
        progress.advance(3)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("total", [4, 0, None])
def test_on_a_terminal_a_bar_is_drawn(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, total: int | None
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    caplog.set_level(logging.INFO, "convlstm")
    with Progress("decoding", total, "frames") as progress:
        progress.advance(3, "clip [red]one[/] {x} %s")
        progress._bar.refresh()
        text = terminal.getvalue()
    assert "decoding clip [red]one[/] {x} %s" in text and "frames" in text
    assert f"3/{total if total is not None else '?'}" in text
    assert not caplog.records and sys.stderr is terminal


def test_an_error_ends_the_bar_and_goes_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    progress = Progress("decoding", 4)
    with pytest.raises(ZeroDivisionError), progress:
        progress.advance(1 // 0)
    assert progress._bar.live.is_started is False
