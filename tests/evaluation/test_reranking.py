"""Retrieval whose best items an ALBEF's matching head orders anew."""

from pathlib import Path

import numpy as np
import pytest
import torch

import sensorium
from sensorium.errors import UserError
from sensorium.evaluation import reranking
from sensorium.evaluation.embedding import check_records
from sensorium.evaluation.reranking import rerank_pair
from sensorium.evaluation.retrieval import evaluate_retrieval
from sensorium.model import Model
from tests.pretraining import SMALL, pairs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> sensorium.Run:
    folder = tmp_path_factory.mktemp("reranking")
    towers = {"photo": SMALL["photo"], "caption": "bert_text,width=32,depth=1,heads=2"}
    options = {"image": "photo", "text": "caption", "encoders": towers, "workers": 0, "quiet": True, "test": 0.5}
    return sensorium.pretrain("albef", pairs(folder), folder / "run", epochs=2, batch_size=8, **options)


def stirred(run: sensorium.Run) -> Model:
    """The model with a matching head that says very different things."""
    model = sensorium.load(run.folder)
    torch.manual_seed(0)
    with torch.no_grad():
        for part in (model.heads["match"], model.fusion):
            for weight in part.parameters():
                weight.add_(torch.randn_like(weight) * 0.3)
    return model


def table(run: sensorium.Run) -> Path:
    return run.folder.parent / "pairs.csv"


def test_pairs_are_scored_as_one_by_one_whatever_the_pieces(run, monkeypatch):
    model = stirred(run)
    monkeypatch.setattr(reranking, "ENCODED", 5)
    monkeypatch.setattr(reranking, "FUSED", 7)
    known = check_records(model.read(table(run)).take(range(13)), "stop")
    vectors = {name: model.embed(known.table, name) for name in ("photo", "caption")}
    [batch] = model.batches(known.table)
    features = model.encode(batch.inputs)
    odds = np.zeros((13, 13))  # [photo, caption]
    with torch.no_grad():
        for photo in range(13):
            for caption in range(13):
                one = {"photo": torch.tensor([photo]), "caption": torch.tensor([caption])}
                fused = model.fuse({name: features[name].take(row) for name, row in one.items()})
                no, yes = model.heads["match"].predict(fused)["probabilities"][0].double().log()
                odds[photo, caption] = yes - no
    assert odds.std() > 0.1
    both = rerank_pair(model, known, vectors, ("photo", "caption"), np.arange(13), 4)
    similar = vectors["photo"] @ vectors["caption"].T
    odds += similar * float(model.logit_scale.exp())  # the head learned against others drawn by this
    for direction, alike, matched in ((both.forward, similar, odds), (both.backward, similar.T, odds.T)):
        for place, record in enumerate(direction.records):
            first = np.argsort(-alike[record])[:4]
            if record in first:
                expected = 1 + (matched[record, first] > matched[record, record]).sum()
            else:
                expected = 1 + (alike[record] > alike[record, record]).sum()
            assert direction.found.rank[place] == expected
    assert not model.training


def test_the_report_has_both_and_what_the_one_gains_over_the_other(run, tmp_path):
    model = stirred(run)
    report = evaluate_retrieval(model, table(run), rerank=8, out=tmp_path)
    plain = evaluate_retrieval(model, table(run)).to_dict()
    said = report.to_dict()
    assert said["retrieval"] == plain["retrieval"] and "reranking" not in plain
    for name, one in said["reranking"].items():
        assert one["best"] == 8
        for metric, gain in one["gain"].items():
            after, before = one["metrics"][metric]["value"], said["retrieval"][name][metric]["value"]
            assert gain["value"] == pytest.approx(after - before)
    assert "the 8 best of each query ranked anew" in str(report)
    assert {"rank", "reranked_rank"} < set(report.samples.column_names)
    assert "reranked_rank" not in evaluate_retrieval(model, table(run)).samples.column_names


def test_a_run_of_albef_reports_both(run):
    assert run.metrics["reranking"]["caption→photo"]["best"] == 16
    assert "the 16 best of each query ranked anew" in (run.folder / "report.html").read_text()


def test_what_cannot_be_ranked_anew_is_said(run, tmp_path):
    with pytest.raises(UserError, match="--rerank is 1"):
        evaluate_retrieval(run.model, table(run), rerank=1)
    with pytest.raises(UserError, match="says nothing to --task few-shot"):
        sensorium.evaluate(run.model, table(run), "few-shot", rerank=4)
    options = {"image": "photo", "text": "caption", "encoders": SMALL, "workers": 0, "quiet": True, "epochs": 1}
    clip = sensorium.pretrain("clip", table(run), tmp_path / "clip", **options)
    with pytest.raises(UserError, match="no head that says whether"):
        evaluate_retrieval(clip.model, table(run), rerank=4)
    assert "reranking" not in clip.metrics
