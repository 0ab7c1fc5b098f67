"""Worlds in which it is known how good a model is: predictions that are right with a given chance, and a rival's."""

from types import SimpleNamespace

import numpy as np

from sensorium.data.schema import InputSpec, TargetSpec
from sensorium.evaluation.baselines import Scored
from sensorium.evaluation.target import shuffled_chance
from sensorium.evaluation.verdict import Verdict, verdict
from sensorium.metrics import Columns, Resamples, headline, measure

TABLE = SimpleNamespace(schema=SimpleNamespace(inputs=[InputSpec(name="words", modality="text", columns=["words"])]))
LABELS = ["a", "b", "c", "d"]


def judge(kind: str, truth: Columns, prior: Columns, model: Columns, rival: Columns, seed: int) -> Verdict:
    """The verdict on a model and its rival, from their predictions for the same records."""
    resamples = Resamples(len(next(iter(truth.values()))), None, 400, seed)
    target = TargetSpec(name="target", kind=kind, labels=LABELS)
    scored = Scored(target, TABLE, truth, {(): prior, ("words",): model}, resamples)
    baselines = scored.compare({"always the commonest": scored.metric(prior), "TF-IDF": scored.metric(rival)})
    metric = headline(kind, prior)
    value = measure(kind, truth, model, prior, resamples)[metric]
    shuffled = shuffled_chance(kind, truth, model, prior, resamples)
    return verdict(metric, value, resamples.units, baselines, shuffled)


def classes(seed: int, rows: int, right: float, rival_right: float) -> Verdict:
    """Of four classes; the model is right in a share of the records, its rival in another."""
    generator = np.random.default_rng(seed)
    label = generator.integers(0, 4, rows)

    def predicted(share: float) -> Columns:
        wrong = (label + generator.integers(1, 4, rows)) % 4
        decision = np.where(generator.random(rows) < share, label, wrong)
        return {"decision": decision, "probabilities": np.full((rows, 4), 0.1) + 0.6 * np.eye(4)[decision]}

    prior = {"decision": np.zeros(rows, int), "probabilities": np.full((rows, 4), 0.25)}
    return judge("class", {"label": label}, prior, predicted(right), predicted(rival_right), seed)


def numbers(seed: int, rows: int, signal: float, rival_signal: float) -> Verdict:
    """Of a number; `signal` is the correlation of what the model reads with it, `rival_signal` that of its rival."""
    generator = np.random.default_rng(seed)
    value = generator.normal(size=rows)

    def predicted(correlation: float) -> Columns:
        noise = generator.normal(size=rows)
        return {"decision": correlation * (correlation * value + np.sqrt(1 - correlation**2) * noise)}

    prior = {"decision": np.zeros(rows)}
    return judge("number", {"value": value}, prior, predicted(signal), predicted(rival_signal), seed)


def labels(seed: int, rows: int, signal: float, rival_signal: float) -> Verdict:
    """Of four labels; probabilities are noise and `signal` times the truth, a rival's likewise."""
    generator = np.random.default_rng(seed)
    true = generator.random((rows, 4)) < 0.3

    def predicted(share: float) -> Columns:
        probabilities = (generator.random((rows, 4)) + share * true) / (1 + share)
        return {"probabilities": probabilities, "decision": probabilities > 0.5}

    prior = {"probabilities": np.full((rows, 4), 0.3), "decision": np.zeros((rows, 4), bool)}
    return judge("labels", {"labels": true}, prior, predicted(signal), predicted(rival_signal), seed)
