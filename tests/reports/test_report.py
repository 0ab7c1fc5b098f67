"""report.html: what stands in it, that nothing breaks out of it, and that it needs nothing but itself."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pandas as pd
import pytest

from sensorium.data.schema import Modality
from sensorium.errors import UserError
from sensorium.metrics import Value
from sensorium.reports.media import RENDERERS
from sensorium.reports.plots import Row, element, intervals, nice
from sensorium.reports.render import ENVIRONMENT, FOLDER, Headline, Section, page
from sensorium.reports.report import report as write_report
from sensorium.reports.samples import Card
from tests.reviews import FEW, cells, sensorium, write

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


EVIL = '"><script>alert(1)</script><img src=x onerror="alert(1)">\'&amp;\0'


def test_text_cannot_become_an_element():
    source = """{% from "macros.html.j2" import cards, metrics_table, row, table %}
    {% call table([text], text) %}{{ row([text, text, 3], words=2) }}{% endcall %}
    {{ cards([card]) }}{{ metrics_table({text: value}, text ~ "!") }}"""
    card = Card(EVIL, [element("p", EVIL, title=EVIL)], [(EVIL, EVIL, EVIL)])
    value = {"value": 0.5, "low": None, "high": None}
    found = Reader(ENVIRONMENT.from_string(source).render(text=EVIL, card=card, value=value))
    tables = {"div", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert {tag for tag, _ in found.elements} == tables | {"ul", "li", "h4", "p", "dl", "dt", "dd"}
    shown = EVIL.replace("\0", "\N{REPLACEMENT CHARACTER}")
    assert found.words.count(shown) == 9 and found.words.count(f"{shown}!") == 1
    assert {attributes["title"] for attributes in found.all("p")} == {shown}
    assert all(
        set(attributes) <= {"class", "scope", "tabindex", "role", "aria-label"} for attributes in found.all("div")
    )


def test_a_page_and_a_plot_escape_titles_and_labels():
    plot = intervals(EVIL, [Row(EVIL, Value(0.5, 0.4, 0.6))], EVIL, 0.5)
    origin = {EVIL: EVIL}
    found = Reader(page(EVIL, [EVIL], [Headline(EVIL, EVIL, EVIL, EVIL)], [Section("plots", EVIL, plot)], origin))
    assert not found.all("script") and not found.all("img")
    assert found.all("svg")[0]["aria-label"].startswith(EVIL.replace("\0", "\N{REPLACEMENT CHARACTER}"))


def test_no_template_turns_escaping_off():
    templates = sorted((FOLDER / "templates").rglob("*.j2"))
    assert len(templates) > 10 and ENVIRONMENT.autoescape is True
    assert not [
        path for path in templates if re.search(r"\|\s*safe|autoescape|Markup", path.read_text(encoding="utf-8"))
    ]


def test_a_report_of_a_fit_has_its_sections_and_nothing_from_elsewhere(world: Path):
    found = report("--no-robustness")
    sections = [attributes["id"] for attributes in found.all("section")]
    order = ["metrics", "inputs", "errors", "subgroups", "cost", "training", "use", "left-out"]
    assert sections == [name for name in order if name in sections] and len(sections) > 5
    assert not found.all("script")
    for _, attributes in found.elements:
        for name in ("src", "href"):
            assert re.match(r"data:|#", attributes.get(name) or "#")
    for graphic in found.all("svg"):
        assert graphic["role"] == "img" and len(graphic["aria-label"]) > 20
    assert found.all("svg")


def test_records_stand_in_the_report_with_picture_text_and_sound(world: Path):
    found = report("--no-robustness")
    cards = [attributes for attributes in found.all("li") if attributes.get("class") == "card"]
    wrong = len(_wrong())
    assert len(cards) >= min(wrong, 12)
    if wrong:
        assert found.all("img") and found.all("audio") and found.all("blockquote")
    assert all(one["src"].startswith("data:image/jpeg;base64,") for one in found.all("img"))


def _wrong() -> list[str]:
    scores = pd.read_parquet(f"{RUN}/scores.parquet")
    whole = scores[scores["coalition"] == "all"]
    return whole["key"][whole["sentiment"] != whole["sentiment_decision"]].tolist()


def test_every_kind_of_input_can_be_shown():
    assert set(RENDERERS) == set(get_args(Modality))


def test_a_run_stands_for_its_folder(world: Path):
    run = SimpleNamespace(folder=Path(RUN))
    assert write_report(run, robust=False) == write_report(RUN, robust=False) == Path(RUN, "report.html")


def test_a_report_without_its_table_says_what_is_left_out(world: Path):
    Path("reviews.csv").rename("moved.csv")
    found = report("--no-robustness")
    assert not found.all("img") and "left-out" in {one["id"] for one in found.all("section")}
    assert any("--table" in word or "reviews.csv" in word for word in found.words)
    assert report("--no-robustness --table moved.csv").all("img")


def test_names_of_columns_and_labels_cannot_break_out(world: Path):
    name, label = "<script>alert(1)</script>", '"><img src=x>'
    records = [row | {"sentiment": label if row["sentiment"] == "good" else "bad"} for row in cells("reviews.csv")]
    records = [{(name if key == "review" else key): value for key, value in row.items()} for row in records]
    write("evil.csv", records)
    said = sensorium(f"fit evil.csv --target sentiment --column author=ignored --seed 3 {FEW} --out runs/evil")
    assert said.code == 0, said.err
    found = report("--no-robustness", "runs/evil")
    assert not found.all("script")
    assert all(one["src"].startswith("data:") for one in found.all("img"))
    assert any(name in word for word in found.words)


def test_the_lines_for_the_model_work_as_they_stand_and_the_card_has_them_too(world: Path):
    found = report("--no-robustness --card")
    shutil.copy("reviews.csv", "new.csv")
    line = next(word for word in found.words if word.startswith("sensorium predict")).splitlines()[0]
    said = sensorium(line.removeprefix("sensorium "))
    assert said.code == 0 and Path("predictions.csv").exists()
    card = Path(RUN, "card.md").read_text(encoding="utf-8")
    assert line in card and card.startswith("---\nlibrary_name: sensorium\n")
    assert [text for text in card.splitlines() if text.startswith("## ")] == [
        "## Model Details",
        "## Uses",
        "## Bias, Risks, and Limitations",
        "## How to Get Started with the Model",
        "## Training Details",
        "## Evaluation",
        "## Technical Specifications",
    ]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium, which is not installed")
def test_a_report_opens_in_a_browser_without_a_word_on_the_console(world: Path):
    api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright, which is not installed")
    report()
    path = Path(RUN, "report.html").resolve()
    assert path.stat().st_size < 3_000_000
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for width in (1280, 390):
            page, said = browser.new_page(viewport={"width": width, "height": 800}), []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.on("requestfailed", lambda request, said=said: said.append(request.url[:80]))
            page.goto(path.as_uri())
            for picture in page.locator("img").all():
                picture.scroll_into_view_if_needed()
            assert not said
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("[...document.images].every(one => one.closest('details') || one.naturalWidth > 0)")
        browser.close()


def test_the_report_of_a_comparison_has_candidates_on_one_axis_and_the_verdict(world: Path):
    options = "--target sentiment --column author=ignored --fusion hybrid,concat --folds 2 --workers 0 --set epochs=1"
    said = sensorium(f"compare reviews.csv {options} --out runs/compare")
    assert said.code == 0, said.err
    assert Path("runs/compare/report.html").exists()
    found = report(run="runs/compare")
    assert {one["id"] for one in found.all("section")} == {"verdict", "candidates", "pairs", "cost"}
    (whole, less) = found.all("svg")
    assert (
        "hybrid:" in whole["aria-label"] and "concat:" in whole["aria-label"] and "without" not in whole["aria-label"]
    )
    assert "hybrid without photo:" in less["aria-label"]
    verdict = json.loads(Path("runs/compare/metrics.json").read_text(encoding="utf-8"))["comparison"]["verdict"]
    assert verdict and set(verdict) <= set(found.words)


def test_a_comparison_has_no_card(tmp_path: Path):
    (tmp_path / "metrics.json").write_text('{"comparison": {}}', encoding="utf-8")
    with pytest.raises(UserError, match="has no one model"):
        write_report(tmp_path, card=True)


def test_a_run_ends_with_a_report_and_one_without_records_to_read_is_made_too(world: Path):
    brief = Reader(Path(RUN, "report.html").read_text(encoding="utf-8"))
    sections = {one["id"] for one in brief.all("section")}
    assert {"training", "metrics", "inputs", "cost", "left-out"} <= sections and "robustness" not in sections
    whole = {one["id"] for one in report().all("section")}
    assert "robustness" in whole and "left-out" not in whole
    measured = json.loads(Path(RUN, "measured.json").read_text(encoding="utf-8"))
    assert measured["cost"]["latency_ms"]["batch_32"]["p50"] > 0
    assert {curve["input"] for curve in measured["robustness"]} == {"review", "photo", "price", "voice"}
    assert all(len(curve["values"]) == len(curve["strengths"]) for curve in measured["robustness"])


def test_the_report_of_an_evaluation_needs_no_model(world: Path):
    said = sensorium(f"evaluate {RUN} reviews.csv --out judged")
    assert said.code == 0, said.err
    found = report(run="judged")
    assert {"metrics", "inputs"} <= {one["id"] for one in found.all("section")}


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (0.3, 0.1 * 3), (1e6, 1e6 * (1 + 1e-16)), (0.0, 0.0), (-2, 37)])
def test_an_axis_holds_its_values(low, high):
    ticks = nice(low, high)
    assert ticks[0] <= low <= high <= ticks[-1] and 2 <= len(ticks) <= 8
