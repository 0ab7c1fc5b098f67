"""The parts that CONTRIBUTING.md shows how to write: they train, do without an input, and come back from disk."""

import json
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch

import sensorium
from sensorium.data.targets import TARGETS
from sensorium.evaluation.columns import TARGET_COLUMNS
from sensorium.features import Features
from sensorium.fusion import FUSIONS
from sensorium.heads import HEADS
from sensorium.heads.late import Late
from sensorium.metrics.kinds import METRIC_KINDS
from tests.readme import example
from tests.readme.pages import ROOT, pieces

FIRST_DAY = date(2024, 1, 1)


@pytest.fixture(scope="module")
def written() -> Iterator[dict]:
    """What the page's blocks of Python define, each the module that its first line names."""
    names: dict = {}
    modules = []
    for piece in pieces(ROOT / "CONTRIBUTING.md"):
        if piece.language == "python":
            path = piece.text.partition("\n")[0].removeprefix("# src/")
            module = ModuleType(path.removesuffix(".py").replace("/", "."))
            modules.append(module.__name__)
            sys.modules[module.__name__] = module
            exec(compile(piece.text, "CONTRIBUTING.md", "exec"), vars(module))
            names |= {name: value for name, value in vars(module).items() if not name.startswith("_")}
    yield names
    for name in modules:
        del sys.modules[name]


@pytest.fixture
def with_date(written, monkeypatch) -> None:
    """The kind of target `date`, and its head."""
    monkeypatch.setitem(TARGETS, "date", written["DateTarget"])
    monkeypatch.setitem(METRIC_KINDS, "date", written["DateMetrics"])
    monkeypatch.setitem(TARGET_COLUMNS, "date", written["DateColumns"])
    monkeypatch.setitem(HEADS, "day", written["Day"])


def orders(count: int) -> list[dict]:
    """Records of what was bought when: the season says the day, to five days; every seventh has no day."""
    seasons, liked = ("winter", "spring", "summer", "autumn"), ("yes", "no")
    return [
        {
            "note": f"bought in {seasons[row % 4]}, order {row}",
            "shelf": row % 4 * 1.5 + row % 3 * 0.01,
            "bought": None if row % 7 == 3 else (FIRST_DAY + timedelta(days=row % 4 * 90 + row % 5)).isoformat(),
            "liked": liked[row % 2],
        }
        for row in range(count)
    ]


def day_of(text: str) -> date:
    """The date that a prediction writes; one far from those that were learned fails."""
    day = date.fromisoformat(text)
    assert FIRST_DAY - timedelta(days=60) < day < FIRST_DAY + timedelta(days=400)
    return day


def test_a_fit_with_them(written, tmp_path, monkeypatch):
    monkeypatch.setitem(FUSIONS, "loudest", written["Loudest"])
    monkeypatch.setitem(HEADS, "median", written["Median"])
    monkeypatch.chdir(tmp_path)
    example.make(tmp_path, reviews=60)
    run = sensorium.fit(
        "reviews.csv", "run", target=["sentiment", "price=number"], fusion="loudest", epochs=1, workers=0, quiet=True,
        recipe={"targets": {"price": {"head": "median"}}},
    )  # fmt: skip
    assert type(run.model.fusion) is written["Loudest"]
    assert type(run.model.heads["price"]) is written["Median"]
    records = [{"review": "a poor mug"}, {"photo": "photos/new-0.png"}, {}]
    before, after = run.model.predict(records), sensorium.load("run").predict(records)
    assert before == after
    assert before[2]["price"]["decision"] == pytest.approx(run.model.heads["price"].config.mean)


def test_the_head_is_one_of_several_under_the_usual_fusion(written, tmp_path, monkeypatch):
    monkeypatch.setitem(HEADS, "median", written["Median"])
    monkeypatch.chdir(tmp_path)
    records = [record | {"price": record["shelf"] * 20 + 3} for record in orders(120)]
    run = sensorium.fit(
        records, "run", target={"price": "number"}, columns={"bought": "ignored", "liked": "ignored"}, epochs=20,
        quiet=True, recipe={"targets": {"price": {"head": "median"}}},
    )  # fmt: skip
    head = run.model.heads["price"]
    assert type(head) is Late
    assert {type(expert) for expert in head.experts} == {written["Median"]}
    assert type(head.decision) is written["MedianDecision"]
    assert run.metrics["targets"]["price"]["r2"]["value"] > 0.5
    assert run.model.predict(records[:5]) == sensorium.load("run").predict(records[:5])


@pytest.mark.parametrize("target", [{"bought": "date"}, {"bought": "date", "liked": "class"}], ids=["alone", "beside"])
def test_a_date_is_fitted_evaluated_predicted_and_reported(target, with_date, written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(orders(140)).to_csv("orders.csv", index=False)
    columns = {} if "liked" in target else {"liked": "ignored"}
    run = sensorium.fit("orders.csv", "run", target=target, columns=columns, epochs=20, quiet=True)
    assert [(spec.name, spec.kind) for spec in run.model.schema.targets] == list(target.items())
    assert type(run.model.heads["bought"]) is Late
    assert {type(expert) for expert in run.model.heads["bought"].experts} == {written["Day"]}

    # Metrics, in days, with what each input is worth.
    days_off = run.metrics["targets"]["bought"]["neg_days_off"]
    assert -120 < days_off["chance"] < -60
    assert days_off["low"] <= days_off["value"] <= days_off["high"]
    assert -20 < days_off["value"] < 0
    assert run.metrics["inputs"]["bought"]["metric"] == "neg_days_off"
    assert "earns its keep" in run.metrics["sentences"]["bought"]
    again = sensorium.evaluate(run, orders(40)).to_dict()
    assert -20 < again["targets"]["bought"]["neg_days_off"]["value"] < 0

    # Predictions, of dicts and to a file, and those of the model that was loaded again.
    asked = [{"note": "bought in winter, order 1", "shelf": 0.0}, {"note": "bought in autumn", "shelf": 4.5}, {}]
    predicted = run.model.predict(asked)
    winter, autumn, prior = (day_of(record["bought"]["decision"]) for record in predicted)
    assert winter < prior < autumn
    assert sensorium.load("run").predict(asked) == predicted
    pd.DataFrame(asked[:2]).to_csv("asked.csv", index=False)
    sensorium.predict("run", "asked.csv", "predicted.csv")
    assert pd.read_csv("predicted.csv")["bought"].tolist() == [record["bought"]["decision"] for record in predicted[:2]]

    # The saved evaluation and its report.
    scores = pd.read_parquet("run/scores.parquet")
    assert scores["bought"].isna().any()
    assert all(map(day_of, [*scores["bought"].dropna(), *scores["bought_decision"]]))
    assert json.loads(Path("run/metrics.json").read_text())["targets"].keys() == target.keys()
    sensorium.report(run)
    page = Path("run/report.html").read_text(encoding="utf-8")
    assert "neg days off" in page and "The records that are furthest off." in page
    known = scores[(scores["coalition"] == "all") & scores["bought"].notna()]
    furthest = known.loc[known["bought_loss"].idxmax()]
    assert furthest["bought"] in page and furthest["bought_decision"] in page


def test_what_is_no_date_is_a_sentence(with_date):
    records = orders(20)
    records[1]["bought"] = "last May"
    with pytest.raises(sensorium.UserError, match="'last May' cannot be read as date: it is not a date as in 2024-05"):
        sensorium.read(records, target={"bought": "date"}, quiet=True)
    with pytest.raises(sensorium.UserError, match="is the day 2024-01-01 in every row"):
        sensorium.read([record | {"bought": "2024-01-01"} for record in records], target={"bought": "date"}, quiet=True)


def test_a_comparison_and_its_report_with_the_fusion(written, tmp_path, monkeypatch):
    monkeypatch.setitem(FUSIONS, "loudest", written["Loudest"])
    monkeypatch.chdir(tmp_path)
    example.make(tmp_path, reviews=60)
    training = {"epochs": 1, "batch_size": 20}
    found = sensorium.compare(
        "reviews.csv", "compared", target="sentiment", fusion="loudest,concat", folds=2, quiet=True,
        recipe={"training": training, "data": {"columns": {"photo": "ignored"}}},
    )  # fmt: skip
    assert {"loudest", "concat"} < {one.name for one in found.contenders}
    assert "loudest" in (tmp_path / "compared" / "report.html").read_text(encoding="utf-8")


def test_noise_in_an_absent_slot_changes_no_bit(written):
    torch.manual_seed(0)
    fusion = written["Loudest"](written["LoudestConfig"](dim=8), {"a": 4, "b": 6}).eval()
    mask = {"a": torch.tensor([[True], [False], [False]]), "b": torch.tensor([[True], [True], [False]])}
    width = {"a": 4, "b": 6}
    quiet = {name: Features.one(torch.randn(3, width[name]), mask[name][:, 0]) for name in mask}
    noise = {name: torch.where(mask[name], quiet[name].pooled, torch.nan) for name in mask}
    noisy = {name: Features(noise[name][:, None], mask[name], noise[name]) for name in mask}
    for one, other in zip(fusion(quiet), fusion(noisy), strict=True):
        assert torch.equal(one, other)
