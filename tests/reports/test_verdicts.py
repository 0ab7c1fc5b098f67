"""What the page and the card say of a model that is good, at chance, below a baseline, or of an older run."""

from typing import Any

import pytest

from sensorium.evaluation.verdict import Verdict
from sensorium.metrics import Value
from sensorium.reports import run_card, run_page
from sensorium.reports.card import escape_markdown
from sensorium.reports.evidence import Evidence
from sensorium.reports.facts import baselines, headlines
from sensorium.reports.plots import Line, Row, intervals, lines
from tests.reports.test_report import EVIL, Reader

PRAISE = "'photo' earns its keep most"
CHANCE = "so what an input is worth cannot be told"


def between(value: float, width: float = 0.05) -> dict[str, float]:
    return {"value": value, "low": value - width, "high": value + width}


def evidence(accuracy: float, target: str = "mood", above: float | None = 0.2, **figures: Any) -> Evidence:
    """Of a run with two inputs, of which the second is worth more, and one baseline that the model is `above`."""
    worth = {"alone": between(0.6), "without": between(0.6)}
    rival = between(0.5) | {"above": None if above is None else between(above)}
    return Evidence(
        name="reviews",
        folder="runs/reviews",
        date="2026-01-01 12:00",
        figures={
            "targets": {target: {"accuracy": between(accuracy) | {"chance": 0.5}}},
            "inputs": {
                target: {
                    "metric": "accuracy",
                    "text": worth | {"shapley": between(0.1)},
                    "photo": worth | {"shapley": between(0.3)},
                }
            },
            "baselines": {} if above is None else {target: {"metric": "accuracy", "a ruler": rival}},
            "classes": {target: {"good": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 30}}},
            "records": {"all": 120, "inputs": {"text": 120, "photo": 110}, "targets": {target: 120}},
            "sentences": {target: f"{PRAISE}."},
            "cost": {"parameters": 1000, "train_seconds": 3.0},
        }
        | figures,
    )


@pytest.mark.parametrize(
    ("accuracy", "above", "good", "sentence"),
    [(0.9, 0.2, True, PRAISE), (0.9, -0.2, False, PRAISE), (0.9, 0.0, False, PRAISE), (0.5, 0.2, False, CHANCE),
     (0.4, 0.2, False, CHANCE), (0.9, None, True, PRAISE)],
)  # fmt: skip
def test_a_tile_is_green_above_chance_and_baselines_and_inputs_are_praised_above_chance(
    accuracy, above, good, sentence
):
    case = evidence(accuracy, above=above)
    page = Reader(run_page(case))
    assert next(attributes["class"] for attributes in page.all("li")) == ("tile good" if good else "tile")
    text = " ".join(page.words)
    for written in (text, run_card(case)):
        assert ({PRAISE, CHANCE} - {sentence}).pop() not in written and sentence in written


def test_the_run_s_own_verdict_is_told():
    saved = Verdict("below the baseline", "Told by the run.")
    (tile,) = headlines(evidence(0.9, verdicts={"mood": saved._asdict()}))
    assert tile.verdict == "Told by the run." and not tile.good


def test_title_and_origin_say_what_is_predicted_from_what_by_which_run():
    recipe = {"seed": 7, "data": {"path": None, "test": 0.2, "split": None, "group": None}, "inputs": {}}
    recipe |= {"fusion": {"name": "late"}, "training": {"epochs": 3, "batch_size": 8, "learning_rate": 0.01}}
    case = evidence(0.9)
    case = Evidence(**vars(case) | {"recipe": recipe})
    for words in (" ".join(Reader(run_page(case)).words), run_card(case)):
        assert "Predicting mood from text and photo" in words and "2026-01-01 12:00" in words
        assert "sensorium fit TABLE --recipe runs/reviews/recipe.yaml --out runs/reviews-again" in words
        assert "120 records" in words and "Sensorium" in words


def test_inputs_stand_in_the_order_of_their_worth_and_a_class_beside_its_share():
    page = Reader(run_page(evidence(0.9)))
    shapley = next(label for svg in page.all("svg") if (label := svg["aria-label"]).startswith("Shapley"))
    assert shapley.index("photo") < shapley.index("text")
    assert "25.0%" in page.words and "share" in page.words


def test_baselines_are_the_best_first_under_names_that_a_reader_knows():
    figures = evidence(0.9).figures
    weak, strong = (between(value) | {"above": between(0.1)} for value in (0.3, 0.8))
    figures |= {"baselines": {"mood": {"metric": "accuracy", "commonest": weak, "a ruler": strong}}}
    assert list(baselines(figures, "mood")) == ["a ruler", "the usual answer to the question"]


def test_a_retrieval_is_judged_by_all_directions():
    metrics = {"recall@1": between(0.9) | {"chance": 0.01}, "median_rank": between(1.0) | {"chance": 50.0}}
    poor = metrics | {"recall@1": between(0.01, 0.005) | {"chance": 0.01}}
    sizes = {name: {"queries": 100, "items": 100} for name in ("a→b", "b→a")}
    for second, good in ((metrics, True), (poor, False)):
        figures = {"retrieval": {"a→b": metrics, "b→a": second}, "records": {"all": 100, "retrieval": sizes}}
        case = Evidence("pairs", "runs/pairs", "", figures)
        assert [tile.good for tile in headlines(case)] == [good, good]
        assert "a→b" in " ".join(Reader(run_page(case)).words) and "b→a" in run_card(case)


def test_names_cannot_break_out_of_the_card():
    name = EVIL + "\n# A title | `code` [link](x)"
    card = run_card(evidence(0.9, target=name))
    assert escape_markdown(name).replace("\0", "\N{REPLACEMENT CHARACTER}") in card
    assert "\n# A title" not in card and "<script" not in card.replace("\\<script", "")
    assert all(line.replace("\\|", "").count("|") in (0, 5, 6, 7) for line in card.splitlines())


def test_labels_have_a_column_of_their_own_and_axes_their_titles():
    label = "TF-IDF of the description, logistic regression"
    rows = [Row(label, Value(0.5, 0.4, 0.6)), Row("b", Value(0.1, 0, 0.2))]
    plot = Reader(str(intervals("Values", rows, "accuracy")))
    rules = [attributes for attributes in plot.all("line") if attributes["class"] == "axis"]
    words = [attributes for attributes in plot.all("text") if float(attributes["x"]) == 0]
    assert len(words) == 4 and min(float(rule["x1"]) for rule in rules) > 6.5 * max(map(len, ("TF-IDF of the", "b")))
    assert "accuracy" in plot.words and not any("…" in word for word in plot.words)
    course = Reader(str(lines("Loss", [Line("training", [1, 2], [0.3, 0.2])], "epoch", "loss", rules=[("none", 0.1)])))
    assert {"epoch", "loss", "none"} <= set(course.words)
