import pytest

from convlstm.errors import printable
from convlstm.report.text import font, shorten, to_ascii

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("camera 1.mp4", "camera 1.mp4"),
        ("日本 ünï", "日本 ünï"),
        ("a\nb\tc", "a b c"),
        ("\x00\x1b[31m\u202e\udcff", "\ufffd\ufffd[31m\ufffd\ufffd"),
    ],
)
def test_printable_keeps_what_can_be_read(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode("utf-8")


def test_to_ascii_drops_accents_and_marks_the_rest() -> None:
    assert to_ascii("Brücke é 日本\n") == "Brucke e ?? "


@pytest.mark.parametrize("limit", [5, 6, 19, 20])
def test_shorten_keeps_both_ends_within_the_limit(limit: int) -> None:
    text = "recordings/2024/cam7"
    short = shorten(text, limit)
    assert len(short) == limit
    assert short == text or (short[0] == "r" and short[-1] == "7" and "..." in short)


def test_font_draws_larger_text_wider() -> None:
    assert font(32).getlength("dynamic") > 1.5 * font(16).getlength("dynamic")
