"""HTML that cannot be broken by what stands in it: text is escaped, and only what was made here is not."""

import html
from typing import NamedTuple

ALONE = ("br", "img", "meta", "link")  # have no end


class Html(NamedTuple):
    """Text that is HTML already."""

    text: str


Child = Html | str | int | None


def element(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """An element. An attribute `class_` is `class`, `aria_label` is `aria-label`; None and False leave one out."""
    said = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    if name in ALONE:
        return Html(f"<{name}{said}>")
    return Html(f"<{name}{said}>{joined(*children).text}</{name}>")


def joined(*children: Child) -> Html:
    """Children one after another; a str is escaped, None is nothing."""
    return Html("".join(one.text if isinstance(one, Html) else _escaped(one) for one in children if one is not None))


def _escaped(value: str | int) -> str:
    return html.escape(str(value).replace("\0", "\N{REPLACEMENT CHARACTER}"))


def _attribute(key: str, value: str | float | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{_escaped(value)}"'


def table(headers: list[Child], rows: list[list[Child]], caption: Child = None, words: int = 1) -> Html:
    """A table that scrolls by itself where the screen is narrow.

    The first cell of a row is its heading; the first `words` columns are words, set left, the others figures.
    """
    head = [element("th", one, scope="col", class_=None if place < words else "n") for place, one in enumerate(headers)]
    body = []
    for row in rows:
        cells = [element("th", row[0], scope="row")]
        cells += [element("td", one, class_=_kind(one, place < words)) for place, one in enumerate(row[1:], start=1)]
        body.append(element("tr", *cells))
    whole = element(
        "table",
        None if caption is None else element("caption", caption),
        element("thead", element("tr", *head)),
        element("tbody", *body),
    )
    return scrolling(whole, "table" if caption is None else str(getattr(caption, "text", caption)))


def _kind(cell: Child, is_word: bool) -> str | None:
    if not is_word:
        return "n"
    return "long" if isinstance(cell, str) and len(cell) > 24 else None


def scrolling(wide: Html, label: str) -> Html:
    """What is wide, in a box that scrolls sideways, by keyboard too."""
    return element("div", wide, class_="scroll", tabindex="0", role="region", aria_label=label)


def paragraphs(*sentences: str) -> Html:
    """A paragraph each."""
    return joined(*(element("p", one) for one in sentences))
