"""report.html: what stands in it, that nothing breaks out of it, and that it needs nothing but itself."""

import re
from html.parser import HTMLParser
from pathlib import Path

from sensorium.evaluation.html.markup import element, table
from tests.reviews import sensorium

EMPTY = {"br", "img", "meta", "link"}
RUN = "runs/reviews"


class Reader(HTMLParser):
    """What a browser would find: every element with its attributes, all text, and whether the elements nest."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of this name."""
        return [attributes for name, attributes in self.elements if name == tag]


def report(options: str = "", run: str = RUN) -> Reader:
    """The report of a run of the world that the test lives in."""
    said = sensorium(f"report {run} {options}")
    assert said.code == 0, said.err
    return Reader(Path(run, "report.html").read_text(encoding="utf-8"))


def test_text_cannot_become_an_element():
    said = table(["<script>"], [['"><img src=x onerror=alert(1)>']], "<b>").text
    found = Reader(said)
    assert {tag for tag, _ in found.elements} == {"div", "table", "caption", "thead", "tbody", "tr", "th"}
    assert Reader(element("p", "a", title='" onload="x').text).elements == [("p", {"title": '" onload="x'})]


def test_a_report_of_a_fit_has_its_sections_and_nothing_from_elsewhere(world: Path):
    found = report("--no-robustness")
    sections = [attributes["id"] for attributes in found.all("section")]
    assert sections[:3] == ["training", "metrics", "inputs"] and "cost" in sections
    assert not found.all("script")
    for _, attributes in found.elements:
        for name in ("src", "href"):
            assert re.match(r"data:|#", attributes.get(name) or "#")
    for graphic in found.all("svg"):
        assert graphic["role"] == "img" and len(graphic["aria-label"]) > 20
    assert found.all("svg")
