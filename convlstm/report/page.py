"""One self-contained HTML page about a training or an evaluation: no script, no request, any name harmless."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from convlstm.errors import printable


@dataclass(frozen=True)
class Figure:
    """A plot with its words; `png` holds the bytes of a PNG file."""

    title: str
    png: bytes = field(repr=False)
    caption: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of text below a header; cells in `strong`, (row, column), stand out."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    strong: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class GalleryItem:
    """A picture of one window; `is_mistake` where the prediction contradicts the truth, `badge` in words of its own."""

    png: bytes = field(repr=False)
    caption: str
    is_mistake: bool
    badge: str = ""


@dataclass(frozen=True)
class ReportPage:
    """What the page says, from top to bottom.

    `summary` are the key figures, some with `small_print` below, `notes` what a reader must be warned of, `details` the
    settings. The gallery shows mistakes first, otherwise in the order given: worst first; `gallery_note` explains its
    pictures.
    """

    title: str
    subtitle: str
    summary: Mapping[str, str]
    notes: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    gallery: Sequence[GalleryItem] = ()
    gallery_note: str = ""
    small_print: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)


def render(page: ReportPage) -> str:
    """The page as HTML, to be written as UTF-8; opens from disk, works offline, in light and in dark mode."""
    gallery = sorted(page.gallery, key=lambda item: not item.is_mistake)
    return _template().render(page=page, gallery=gallery, num_mistakes=sum(item.is_mistake for item in gallery))


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_harmless
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["csp_hash"] = _csp_hash
    source = files("convlstm.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(source)


def _harmless(value: object) -> object:
    """Control, direction and undecodable characters out of every name; autoescape does the rest."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _data_uri(png: bytes) -> Markup:
    return Markup("data:image/png;base64,") + base64.b64encode(png).decode("ascii")


def _csp_hash(style: str) -> Markup:
    """What Content-Security-Policy calls the one style sheet that may apply."""
    digest = hashlib.sha256(style.encode("utf-8")).digest()
    return Markup("'sha256-{}'").format(base64.b64encode(digest).decode("ascii"))
