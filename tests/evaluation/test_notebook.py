"""How reports look in a notebook: a line, a table, a plot, of every kind of report."""

from xml.etree import ElementTree

import pyarrow as pa
import pytest

import sensorium
from sensorium.evaluation.comparison import Comparison, Contender
from sensorium.evaluation.few_shot import FewShotReport
from sensorium.evaluation.notebook import LEFT, RIGHT, plot
from sensorium.evaluation.retrieval import RetrievalReport, Retrieved
from sensorium.metrics import Value
from sensorium.model import load

SVG = "{http://www.w3.org/2000/svg}"
GOOD, WEAK = Value(0.9, 0.8, 1.0, 0.25), Value(0.3, 0.1, 0.5, 0.25)


def contender(name: str, value: Value) -> Contender:
    return Contender(name, name, None, value, 10, 1.0, 1.0, 0)


REPORTS = [
    RetrievalReport([Retrieved("caption→photo", {"recall@1": GOOD, "mrr": WEAK}, 9, 9)], 9, {}, 0, {}, pa.table({})),
    FewShotReport("y", ["a", "b"], 9, 9, 0, {"1": {"accuracy": GOOD}, "4": {"accuracy": WEAK}}, 3, {}, pa.table({})),
    Comparison("y", "accuracy", 9, 9, None, 2, 1, [contender("late", GOOD)], [], pa.table({})),
]  # fmt: skip


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_a_report_is_a_line_a_table_and_a_plot(report):
    text = repr(report)
    assert text.startswith(f"{type(report).__name__} of 9 records: ") and "0.900 (0.800 to 1.000), chance 0.250" in text
    assert len(text) < 300
    assert ".800 to 1.000" in report._repr_html_()
    assert ElementTree.fromstring(report.plot().svg).tag == f"{SVG}svg"


def test_a_plot_lies_within_its_frame_and_shows_chance(tmp_path):
    drawn = plot({"y <b>": {"all & more": GOOD, "without": WEAK, "undefined": Value(None, None, None)}})
    assert drawn._repr_html_() == drawn._repr_svg_() == drawn.svg
    root = ElementTree.fromstring(drawn.svg)
    dots = [float(circle.get("cx")) for circle in root.iter(f"{SVG}circle")]
    assert len(dots) == 2 and all(LEFT <= x <= RIGHT for x in dots) and dots[0] > dots[1]
    assert 'stroke-dasharray="3 3"' in drawn.svg
    assert {"y <b> (dashed: chance, 0.250)", "all & more"} <= {text.text for text in root.iter(f"{SVG}text")}
    drawn.save(tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").read_text() == drawn.svg
    assert ElementTree.fromstring(plot({"empty": {"undefined": Value(None, None, None)}}).svg) is not None


def test_a_model_is_said_in_a_line(world):
    model = load("runs/reviews")
    text = repr(model)
    assert len(text) < 300 and "\n" not in text
    assert "review (text)" in text and "sentiment (class)" in text and "fusion hybrid" in text
    assert "<td" in model._repr_html_() and "sentiment (class)" in model._repr_html_()


def test_the_report_of_an_evaluation_names_its_headline(world):
    report = sensorium.evaluate(load("runs/reviews"), sensorium.read("reviews.csv", target="sentiment", quiet=True))
    assert repr(report).startswith("Report of 24 records: sentiment, ") and len(repr(report)) < 300
    assert "without photo" in report._repr_html_() and "photo alone" in report.plot().svg
