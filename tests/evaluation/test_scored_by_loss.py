"""A kind of target that is scored by its loss: training and the worth of inputs never ask its head for a decision."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from accelerate import Accelerator
from torch import nn

import sensorium
from sensorium.data.records import Records
from sensorium.data.targets import TARGETS
from sensorium.data.targets.number import NumberTarget
from sensorium.evaluation.coalitions import coalitions
from sensorium.evaluation.columns import TARGET_COLUMNS
from sensorium.evaluation.columns.base import no_scatter
from sensorium.evaluation.columns.number import NumberColumns
from sensorium.evaluation.robustness import robustness
from sensorium.evaluation.scoring import score
from sensorium.heads import HEADS
from sensorium.heads.number import Number, NumberConfig, NumberDecision
from sensorium.inference.preview import SHOWN
from sensorium.metrics.kinds import METRIC_KINDS
from sensorium.metrics.kinds.number import NumberMetrics
from sensorium.metrics.resampling import mean
from sensorium.objectives import Supervised
from sensorium.training.learner import Learner
from sensorium.training.validation import validator

# What a kind takes from `number`: cells and tensors, measures without classes, rows of predictions.
CELLS = ("infer", "convert", "label_counts", "constant", "column", "statistics", "fit")
FLAGS = ("single_label", "repeats_inputs", "takes_text", "answers_questions")
MEASURES = ("packages", "extra", "prior_decision", "is_right", "first_labels", "per_class", "confusion")
SHOWN_AS = (
    "effect_words", "labels_of", "read_truth", "fields", "row", "cell", "matches", "probability_of", "baselines",
    "breakdowns", "wrong_order", "calibration",
)  # fmt: skip


def taken(source: type, *names: str) -> dict:
    """The attributes `names` of a class."""
    return {name: vars(source)[name] for name in names}


class Singer(nn.Module):
    """A number that is costly to decide: it is decided one by one for a reader, never for a split of the records."""

    Config = NumberConfig
    kind = "tone"
    reads = "pooled"
    decode = staticmethod(Number.decode)
    most = SHOWN  # records in a call that it bears
    decided = 0  # records that it decided on

    def __init__(self, config: NumberConfig, dim: int):
        super().__init__()
        self.config, self.decision, self.linear = config, NumberDecision(config), nn.Linear(dim, 1)

    def loss(self, fused, target):
        value = self.linear(fused.pooled).float() * fused.present[:, None]
        return self.decision.loss(torch.cat([value, torch.ones_like(value)], dim=1), target)

    def predict(self, fused):
        if len(fused.pooled) > Singer.most:
            raise AssertionError(f"a decision on {len(fused.pooled)} records at once")
        Singer.decided += len(fused.pooled)
        return {"decision": self.linear(fused.pooled)[:, 0].float() * self.config.scale + self.config.mean}

    def calibrate(self, fused, target):
        pass


def metrics(truth, prediction):
    return {"neg_tone_loss": mean(-prediction["loss"])}


def score_columns(target, cells, truth, prediction):
    truths = pa.array(truth["value"].astype(np.float64), mask=~truth["mask"])
    return {target.name: truths, f"{target.name}_decision": pa.nulls(len(truths), pa.float64())}


@pytest.fixture(autouse=True)
def kind(monkeypatch):
    """The kind `tone`, with its head, on the three floors."""
    target = {"scored_by": "loss", "default_head": "singer", "distilled_by": None}
    measured = {
        "signature": "neg_tone_loss",
        "score_name": "negative loss",
        "forgetting": ("neg_tone_loss",),
        "metrics": staticmethod(metrics),
        "headline": staticmethod(lambda prior: "neg_tone_loss"),
        "subgroup_metric": staticmethod(lambda headline: headline),
        "sample_loss": staticmethod(lambda truth, prediction: prediction["loss"].astype(np.float64)),
        "sample_score": staticmethod(lambda truth, prediction: -prediction["loss"].astype(np.float64)),
    }
    columns = {
        "wrong_decisions": "The records with the largest loss.",
        "score_columns": staticmethod(score_columns),
        "read_prediction": staticmethod(lambda name, labels, frame: {"loss": frame[f"{name}_loss"].to_numpy()}),
        "scatter": staticmethod(no_scatter),
    }
    monkeypatch.setitem(TARGETS, "tone", type("Tone", (), taken(NumberTarget, *CELLS, *FLAGS) | target))
    monkeypatch.setitem(METRIC_KINDS, "tone", type("ToneMetrics", (), taken(NumberMetrics, *MEASURES) | measured))
    monkeypatch.setitem(TARGET_COLUMNS, "tone", type("ToneColumns", (), taken(NumberColumns, *SHOWN_AS) | columns))
    monkeypatch.setitem(HEADS, "singer", Singer)
    monkeypatch.setattr(Singer, "decided", 0)


def songs(rows: int = 80) -> list[dict]:
    """A number that one of two inputs tells; every ninth record lacks it."""
    pitch = np.random.default_rng(0).normal(size=rows)
    return [
        {"pitch": pitch[row], "words": f"la la {row * 37 % 5}", "sung": None if row % 9 == 4 else 3 * pitch[row] + 0.5}
        for row in range(rows)
    ]


def fit(folder: Path) -> SimpleNamespace:
    columns = {"pitch": "number", "words": "text"}
    return sensorium.fit(
        songs(), folder, target={"sung": "tone"}, columns=columns, fusion="concat", epochs=8, quiet=True
    )


def test_a_fit_decides_for_the_reader_alone_and_scores_by_the_loss(tmp_path):
    run = fit(tmp_path / "run")
    assert Singer.decided > 0
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())
    reached = figures["targets"]["sung"]["neg_tone_loss"]
    assert reached["chance"] < reached["low"] <= reached["value"] < 0
    worth = figures["inputs"]["sung"]
    assert worth["metric"] == "neg_tone_loss" and worth["pitch"]["shapley"]["low"] > 0
    assert worth["pitch"]["shapley"]["value"] > 5 * abs(worth["words"]["shapley"]["value"])
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    assert (log["validation_neg_loss_sung"] == -log["validation_loss_sung"]).all()
    assert log["validation"].tolist() == log["validation_neg_loss_sung"].tolist()
    assert (tmp_path / "run" / "report.html").stat().st_size > 1000
    assert np.isfinite(run.model.predict(songs(3))[0]["sung"]["decision"])


def test_neither_validation_nor_a_coalition_nor_a_curve_asks_for_a_decision(tmp_path, monkeypatch):
    model = fit(tmp_path / "run").model
    monkeypatch.setattr(Singer, "most", 0)
    table = model.read(songs())
    learner = Learner(model, [Supervised("sung")])
    validation = validator(Records(table, model.processors), Accelerator(cpu=True))(learner)
    assert validation.score[0] == pytest.approx(-validation.figures["validation_loss_sung"])

    inputs = tuple(spec.name for spec in model.schema.inputs)
    scores = score(model, model.batches(table), coalitions(inputs))
    assert {tuple(columns["sung"]) for columns in scores.predictions.values()} == {("loss",)}
    known = scores.targets["sung"]["mask"]
    whole, none = (scores.predictions[coalition]["sung"]["loss"][known].mean() for coalition in (inputs, ()))
    assert len(scores.predictions) == 4 and whole < none
    curves = robustness(model, table, {"sung": "neg_tone_loss"})
    assert {curve.input for curve in curves} == set(inputs)
    assert all(value.value < 0 for curve in curves for value in [*curve.values, curve.without])
    with pytest.raises(AssertionError, match="a decision on"):
        model.predict(songs(3))
