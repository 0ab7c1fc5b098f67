"""The parts that CONTRIBUTING.md shows how to write: they train, do without an input, and come back from disk."""

import pytest
import torch

import sensorium
from sensorium.build.model import HEAD_OF
from sensorium.features import Features
from sensorium.fusion import FUSIONS
from sensorium.heads import HEADS
from tests.readme import example
from tests.readme.pages import ROOT, pieces


@pytest.fixture(scope="module")
def written() -> dict:
    """What the page's blocks of Python define."""
    names: dict = {}
    for piece in pieces(ROOT / "CONTRIBUTING.md"):
        if piece.language == "python":
            exec(compile(piece.text, "CONTRIBUTING.md", "exec"), names)
    return names


def test_a_fit_with_them(written, tmp_path, monkeypatch):
    monkeypatch.setitem(FUSIONS, "loudest", written["Loudest"])
    monkeypatch.setitem(HEADS, "median", written["Median"])
    monkeypatch.setitem(HEAD_OF, "number", "median")
    monkeypatch.chdir(tmp_path)
    example.make(tmp_path, reviews=60)
    run = sensorium.fit(
        "reviews.csv", "run", target=["sentiment", "price=number"], fusion="loudest", epochs=1, workers=0, quiet=True
    )
    assert type(run.model.fusion) is written["Loudest"]
    assert type(run.model.heads["price"]) is written["Median"]
    records = [{"review": "a poor mug"}, {"photo": "photos/new-0.png"}, {}]
    before, after = run.model.predict(records), sensorium.load("run").predict(records)
    assert before == after
    assert before[2]["price"]["decision"] == pytest.approx(run.model.heads["price"].config.mean)


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
