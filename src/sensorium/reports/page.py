"""The page around the sections: its head, its contents, its style."""

from pathlib import Path
from typing import NamedTuple

from sensorium.reports.markup import Html, element, joined

# What the browser may load: what is in the file, and nothing else.
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


class Section(NamedTuple):
    """A part of the page: the name its link has, its title, what stands in it."""

    name: str
    title: str
    body: Html


def page(title: str, lead: list[str], figures: list[tuple[str, str, str]], sections: list[Section]) -> str:
    """A whole HTML file. figures: what is shown large above all, as (name, value, what belongs to it)."""
    style = (Path(__file__).with_name("style.css")).read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{title}: report"),
        element("style", Html(style)),
    )
    large = [
        element("div", element("dt", name), element("dd", value, element("small", note)))
        for name, value, note in figures
    ]
    links = [element("li", element("a", one.title, href=f"#{one.name}")) for one in sections]
    body = element(
        "body",
        element(
            "header",
            element("h1", title),
            *(element("p", sentence, class_="lead") for sentence in lead),
            element("dl", *large, class_="key") if large else None,
            element("nav", element("ul", *links), aria_label="Contents"),
        ),
        element("main", *map(_section, sections)),
        element("footer", element("p", "Made by Sensorium. Intervals hold the true value in 95 of 100 cases.")),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en').text}\n"


def _section(one: Section) -> Html:
    return element(
        "section", element("h2", one.title, id=f"{one.name}-title"), one.body, id=one.name,
        aria_labelledby=f"{one.name}-title",
    )  # fmt: skip


def plots(*each: Html | None) -> Html:
    """Plots side by side where there is room."""
    return element("div", *(one for one in each if one is not None), class_="plots")


def note(*sentences: str) -> Html:
    """Sentences that explain, in small print."""
    return joined(*(element("p", one, class_="soft") for one in sentences))
