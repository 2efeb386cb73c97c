import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.config.times import parse_seconds
from convlstm.errors import ConfigError

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0", 0),
        (" 7.25 ", 7.25),
        (".5", 0.5),
        ("1:30", 90),
        ("90:00", 5400),
        ("0:01:30", 90),
        ("1:00:00.5", 3600.5),
        ("100:59:59", 363599),
    ],
)
def test_seconds_and_clock_times(text: str, seconds: float) -> None:
    assert parse_seconds(text, "start") == seconds


@pytest.mark.parametrize("text", ["", "a", "-1", "1:2:3:4", "1:60", "0:60:00", "1:-5", "1e3", "nan", "1:", ":30", "٣"])
def test_anything_else_is_refused_with_the_name_of_the_setting(text: str) -> None:
    expected = f'end must be seconds or h:mm:ss, such as 90 or 0:01:30, got "{text}"'
    with pytest.raises(ConfigError, match=f"^{re.escape(expected)}$"):
        parse_seconds(text, "end")


@given(hours=st.integers(0, 99), minutes=st.integers(0, 59), millis=st.integers(0, 59999))
def test_a_written_time_is_read_back(hours: int, minutes: int, millis: int) -> None:
    text = f"{hours}:{minutes:02d}:{millis / 1000:06.3f}"
    assert parse_seconds(text, "start") == pytest.approx(3600 * hours + 60 * minutes + millis / 1000)


@given(text=st.text(max_size=12))
def test_no_text_does_harm(text: str) -> None:
    try:
        assert parse_seconds(text, "start") >= 0
    except ConfigError as error:
        assert "start must be" in str(error)
