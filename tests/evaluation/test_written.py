"""What is written, judged: the sample and its bound in time, chance, nearest training texts, loops, empty texts."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import sensorium
from sensorium.data.columns.parse import objects
from sensorium.data.records import Records
from sensorium.evaluation import writing
from sensorium.evaluation.baselines import Scored
from sensorium.evaluation.columns import TARGET_COLUMNS
from sensorium.evaluation.rivals import Training
from sensorium.evaluation.scoring import stack
from sensorium.evaluation.writing import Writing
from sensorium.evaluation.written import judge_written, written_baselines
from sensorium.features import Features
from sensorium.metrics import Resamples

TEXTS = ["a red circle is here", "a blue square is there", "two green stars are here", "nothing at all is there"]
ASKED = ["red round", "blue corner", "green sky", "void"]


def table(rows: int) -> sensorium.Table:
    records = [{"asked": ASKED[row % 4], "size": float(row), "says": TEXTS[row % 4]} for row in range(rows)]
    records[1]["says"] = [TEXTS[1], "one blue square"]
    read = sensorium.read(records, target={"says": "text"}, columns={"asked": "text"}, quiet=True)
    spec = read.schema.targets[0].model_copy(update={"commonest": TEXTS[0]})
    return read.under(read.schema.model_copy(update={"targets": [spec]}))


def scored(written: list, without: list, rows: int = 8) -> Scored:
    records = table(rows)
    inputs = ("asked", "size")
    columns = {inputs: written, ("size",): without, ("asked",): written}
    predictions = {
        coalition: {
            "decision": objects(texts),
            "finished": np.array([text is not None and len(text) < 200 for text in texts]),
            "loss": np.zeros(rows),
        }
        for coalition, texts in columns.items()
    }
    return Scored(records.schema.targets[0], records, {}, predictions, Resamples(rows, count=200))


def test_a_sample_is_judged_beside_the_commonest_text_and_without_each_input():
    right = [TEXTS[row % 4] for row in range(8)]
    right[5] = None  # not written
    judged = judge_written(scored(right, [text and TEXTS[0] for text in right]))
    assert (judged.records, judged.of, judged.units) == (7, 8, 7)
    assert judged.metrics["exact_match"].value == 1 and judged.metrics["chrf"].value == pytest.approx(1)
    assert judged.metrics["exact_match"].chance == pytest.approx(2 / 7)
    assert judged.without["asked"]["exact_match"].value == pytest.approx(2 / 7)
    assert judged.without["size"]["exact_match"].value == 1
    assert judged.sentence == "Written for 7 of 8 records; none is empty or in a loop."
    assert judge_written(scored([None] * 8, [None] * 8)) is None


def test_empty_looping_and_unfinished_texts_are_counted_and_said():
    texts = ["", "a dog a dog a dog a dog a dog", "so so good", "x" * 300, *TEXTS]
    judged = judge_written(scored(texts, texts))
    assert (judged.empty, judged.looping, judged.unfinished) == (1, 2, 1)
    assert judged.sentence == "Written for 8 of 8 records; 1 empty, 2 in a loop, 1 cut at the most tokens."


def test_a_normaliser_is_applied_to_texts_and_references_and_said():
    loud = [f"{TEXTS[row % 4].upper()}!" for row in range(8)]
    plain, spoken = scored(loud, loud), scored(loud, [""] * 8)
    spoken = spoken._replace(target=spoken.target.model_copy(update={"normalise": "english"}))
    assert judge_written(plain).metrics["word_error_rate"].value == 1
    judged = judge_written(spoken)
    assert judged.metrics["word_error_rate"].value == 0 and judged.metrics["exact_match"].value == 1
    assert judged.metrics["exact_match"].chance == pytest.approx(2 / 8)
    assert judged.sentence.endswith("none is empty or in a loop. Compared after the normaliser 'english'.")
    assert judged.to_dict()["normalise"] == "english"
    beside = written_baselines(spoken, None)
    assert beside["without asked"].above.value == 1 and beside["commonest"].value.value < 0.8


def test_a_written_text_stands_under_its_nearest_reference_with_marks():
    align = TARGET_COLUMNS["text"].alignment
    aligned = align("one too four", ["nine nine nine", "one two three four"], "none").splitlines()
    assert aligned[:2] == ["REF: one two three four", "HYP: one too ***** four"]
    assert aligned[2].split() == ["S", "D"] and aligned[2].index("S") == aligned[1].index("too") + 2
    assert align("", ["one"], "none").splitlines()[1] == "HYP: ***"
    assert "S" not in align("One, two", ["one two"], "english")


def test_the_nearest_training_record_gives_its_text():
    model = SimpleNamespace(read=lambda records: records)
    learned, seen = table(12), table(8)
    stores = [SimpleNamespace(read=lambda rows, views=None: picture(rows)) for _ in range(2)]
    records = [Records(part, {}, stores={"size": store}) for part, store in zip((learned, seen), stores, strict=True)]
    wrong = [TEXTS[3]] * 8
    beside = written_baselines(scored(wrong, wrong), Training(model, *records))
    assert set(beside) == {
        "commonest",
        "nearest by asked",
        "nearest by features of size",
        "without asked",
        "without size",
    }
    for name in ("nearest by asked", "nearest by features of size"):
        assert beside[name].value.value == pytest.approx(1) and beside[name].above.high < 0, name
    assert beside["commonest"].value.value < 0.8 and beside["without asked"].above.value == 0
    assert set(written_baselines(scored(wrong, wrong), None)) == {"commonest", "without asked", "without size"}


def picture(rows: np.ndarray) -> Features:
    """Features by which every fourth record is alike."""
    return Features.one(torch.eye(4)[torch.from_numpy(rows) % 4], torch.ones(len(rows), dtype=torch.bool))


class Teller:
    """A head that says who is asked for, in a second by a clock of its own."""

    writes, kind = True, "text"

    def __init__(self):
        self.batches = []

    def predict(self, fused, generation=None, keys=()):
        self.batches.append(list(keys))
        return {"keys": keys, "finished": torch.ones(len(keys), 1, dtype=torch.bool)}

    def decode(self, prediction, labels):
        return [{"decision": f"text of {key}", "probability": 0.5} for key in prediction["keys"]]


def test_the_sample_is_spread_over_the_table_however_little_time_there_is(monkeypatch):
    head, records = Teller(), table(40)
    model = SimpleNamespace(
        schema=records.schema, heads={"says": head}, device=torch.device("cpu"), input_of=lambda view: view,
        fuse=lambda features: features["asked"],
    )  # fmt: skip
    clock = iter(range(1000))
    monkeypatch.setattr(writing.time, "perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(writing, "MOST_RECORDS", 10)
    monkeypatch.setattr(writing, "FIRST", 2)
    monkeypatch.setattr(writing, "AT_ONCE", 2)
    for seconds, expected in (
        (100.0, [0, 4, 9, 13, 17, 22, 26, 30, 35, 39]),
        (3.0, [0, 4, 9, 17, 30, 39]),
        (1.0, [0, 4]),
    ):
        monkeypatch.setattr(writing, "MOST_SECONDS", seconds)
        sample = Writing(model, records, ("asked", "size"))
        assert sample.rows.tolist() == [0, 4, 9, 13, 17, 22, 26, 30, 35, 39]
        for first in (0, 20):
            features = {name: picture(np.arange(20)) for name in ("asked", "size")}
            sample.add(model, features, records.keys[first : first + 20], first)
        columns = sample.columns(("asked", "size"), "says")
        written = np.flatnonzero([text is not None for text in columns["decision"]])
        assert written.tolist() == expected == sample.rows.tolist()
        assert [columns["decision"][row] for row in written] == [f"text of {row + 1}" for row in written]
    assert sample.columns(("asked", "size"), "other") == {}


def test_arrays_of_batches_of_different_lengths_are_stacked_with_zeros_behind():
    pieces = [{"tokens": np.ones((2, 1, 3))}, {"tokens": np.ones((1, 2, 2))}]
    stacked = stack(pieces)["tokens"]
    assert stacked.shape == (3, 2, 3) and stacked.sum() == 10 and stacked[2, :, 2].sum() == 0


def test_columns_are_read_back_as_they_were_written():
    records = table(3)
    spec, kind = records.schema.targets[0], TARGET_COLUMNS["text"]
    prediction = {
        "decision": objects(["a", None, "b"]),
        "probability": np.array([0.5, np.nan, 0.25]),
        "loss": np.ones(3),
    }
    columns = kind.score_columns(spec, records.cells("says", "text"), {}, prediction)

    frame = pd.DataFrame(
        {name: column.to_pandas() for name, column in columns.items()} | {"says_loss": [1.0, 2.0, 3.0]}
    )
    assert kind.read_prediction("says", [], frame)["decision"].tolist() == ["a", None, "b"]
    assert kind.read_truth([], frame["says"])["references"].tolist() == [
        [TEXTS[0]],
        [TEXTS[1], "one blue square"],
        [TEXTS[2]],
    ]
    assert kind.probability_of("says", frame.iloc[1]) is None and kind.probability_of("says", frame.iloc[0]) == 0.5
    truth, predicted = kind.read_truth([], frame["says"]), kind.read_prediction("says", [], frame)
    predicted["decision"] = objects([TEXTS[0], "zzz", "two green stars"])
    assert kind.wrong_order(truth, predicted, predicted["loss"]).tolist() == [1, 2]
