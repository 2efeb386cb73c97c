"""Names from outside (files, classes, URLs), made fit to be shown, and the font that pictures show them in."""

import unicodedata
from functools import cache

from PIL import ImageFont

from convlstm.errors import printable


def to_ascii(text: str) -> str:
    """For `font`, which holds little else: accents are dropped, other foreign characters become a question mark."""
    plain = unicodedata.normalize("NFKD", printable(text))
    return "".join(c for c in plain if not unicodedata.combining(c)).encode("ascii", "replace").decode()


def shorten(text: str, limit: int) -> str:
    """At most `limit` >= 5 characters; the middle is left out, since names differ at both ends."""
    if len(text) <= limit:
        return text
    head = (limit - 3) // 2
    return f"{text[:head]}...{text[len(text) - (limit - 3 - head) :]}"


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's built-in font, the same on every machine; `size` in pixels."""
    built_in = ImageFont.load_default(size=size)
    assert isinstance(built_in, ImageFont.FreeTypeFont)  # it is, wherever a size is given
    return built_in
