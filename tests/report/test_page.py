import base64
import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import numpy as np
import pytest

from convlstm.report.overlay import encode_png
from convlstm.report.page import Figure, GalleryItem, ReportPage, Table, render

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><style>*{display:none}",
    "{{ 7*7 }} {% raw %}",
    "line\nbreak\r\n",
    "\x00\u202e\udcff",
    "=cmd|' /C calc'!A0",
    "日本語 Brücke 🔥",
]


def png(value: int) -> bytes:
    return encode_png(np.full((2, 3, 3), value, dtype=np.uint8))


class Elements(HTMLParser):
    """Every start tag with its attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.tags if name == tag)


def full_page(words: str = "words") -> ReportPage:
    return ReportPage(
        title=words,
        subtitle=words,
        summary={words: words},
        notes=[words],
        tables=[Table(words, [words, words], [[words, words]], words, frozenset({(0, 1)}))],
        figures=[Figure(words, png(1), words)],
        gallery=[GalleryItem(png(2), words, is_mistake=True, badge=words)],
        gallery_note=words,
        small_print={words: words},
        details={words: words},
    )


def test_page_shows_everything_it_is_given() -> None:
    page = ReportPage(
        title="exp3, epoch 5",
        subtitle="validation",
        summary={"Cell AP": "0.923"},
        notes=["one class only"],
        figures=[Figure("Curves", png(1), "over 5 epochs")],
        gallery=[GalleryItem(png(2), "sample_001", is_mistake=False)],
        details={"lr": "0.0001"},
    )
    elements = Elements(render(page))
    said = ("exp3, epoch 5", "validation", "Cell AP", "0.923", "one class only", "Curves", "over 5 epochs")
    for words in (*said, "correctsample_001", "lr0.0001"):
        assert words in elements.text
    sources = [image["src"] for image in elements.named("img")]
    assert sources == ["data:image/png;base64," + base64.b64encode(png(value)).decode() for value in (1, 2)]
    assert all(image["alt"] for image in elements.named("img"))


def test_mistakes_come_first_in_the_order_given() -> None:
    items = [("a", False), ("worst", True), ("b", False), ("second", True)]
    gallery = [GalleryItem(png(0), caption, is_mistake) for caption, is_mistake in items]
    elements = Elements(render(ReportPage("t", "", {}, gallery=gallery)))
    assert [image["alt"] for image in elements.named("img")] == ["worst", "second", "a", "b"]
    assert [figure.get("class") for figure in elements.named("figure")] == ["mistake", "mistake", None, None]
    assert "2 of 4 are mistakes" in elements.text


@pytest.mark.parametrize("words", HOSTILE)
def test_names_are_harmless(words: str) -> None:
    html = render(full_page(words))
    html.encode("utf-8")
    plain = Elements(render(full_page()))
    elements = Elements(html)
    assert [(tag, sorted(attributes)) for tag, attributes in elements.tags] == [
        (tag, sorted(attributes)) for tag, attributes in plain.tags
    ]
    assert not re.search("[\x00\u202e]", html)
    if words.isprintable():
        assert elements.text.count(words) >= 8


def test_page_asks_nothing_of_the_network_and_runs_no_script() -> None:
    html = render(full_page())
    elements = Elements(html)
    assert not re.search(r"https?:|//\w|@import|url\(|javascript:", re.sub(r"base64,[^\"]+", "", html))
    assert {"script", "iframe", "link", "object", "base", "form"}.isdisjoint(tag for tag, _ in elements.tags)
    assert not any(name.startswith("on") or name == "style" for _, attributes in elements.tags for name in attributes)


def test_policy_allows_this_style_sheet_only() -> None:
    html = render(full_page())
    (policy,) = (
        meta["content"] for meta in Elements(html).named("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    )
    (style,) = re.findall(r"<style>(.*?)</style>", html, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert "prefers-color-scheme: dark" in style


def test_empty_parts_are_left_out() -> None:
    elements = Elements(render(ReportPage("exp", "", {})))
    assert {"figure", "img", "dl", "ul", "details", "h2"}.isdisjoint(tag for tag, _ in elements.tags)


def test_a_table_shows_its_rows_and_what_stands_out() -> None:
    table = Table(
        "Scores", ["", "model", "KNN"], [["AP", "0.9", "0.3"], ["F1", "-", "0.7"]], "note", frozenset({(1, 2)})
    )
    html = render(ReportPage("A", "", {}, tables=[table]))
    rows = [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]
    assert rows == [["", "model", "KNN"], ["AP", "0.9", "0.3"], ["F1", "-", "0.7"]]
    assert re.findall(r'<td class="strong">([^<]*)</td>', html) == ["0.7"]
    assert "<p>note</p>" in html and "<h2>Scores</h2>" in html


def test_small_print_stands_below_its_figure() -> None:
    html = render(ReportPage("A", "", {"AP": "0.9", "F1": "0.5"}, small_print={"AP": "(0.8-1.0)"}))
    assert "<dd>0.9<small>(0.8-1.0)</small></dd>" in html and "<dd>0.5</dd>" in html


def test_badges_in_words_of_their_own() -> None:
    items = [GalleryItem(png(1), "a", is_mistake=True, badge="missed"), GalleryItem(png(2), "b", is_mistake=False)]
    html = render(ReportPage("A", "", {}, gallery=items, gallery_note="Green is the truth."))
    assert re.findall(r'class="badge">([^<]*)<', html) == ["missed", "correct"]
    assert "Green is the truth." in html
