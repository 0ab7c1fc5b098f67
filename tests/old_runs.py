"""What runs made before give: where they lie, and the figures that a later version has to find in them again.

Public names of `sensorium` and its command line alone are used here, for all else may move.
"""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

import sensorium
from tests.reviews import sensorium as command

FOLDER = Path(__file__).parent / "fixtures" / "old_runs"
TABLE = "records.csv"
FITS = ("hybrid", "answers")
PRETRAINED = ("clip", "albef")
INDEX = "records.lance"
RECORDS = 4  # whose predictions and embeddings are compared; the second to the fourth lack an input
NUMBERS = 6  # of each embedding
SEARCHES = {
    "text": '"red beside blue, small" --top 50',
    "picture": "photos/07.png --top 50",
    "filter": '"yellow beside green" --where "price < 8 AND shop = \'north\'"',
}


def figures() -> dict[str, Any]:
    """All figures of the runs in the working folder, by run, and of the index. It trains on from albef in `more`."""
    runs = {name: fit_figures(name) for name in FITS} | {name: pretrained_figures(name) for name in PRETRAINED}
    return runs | {"search": {name: hits(name) for name in SEARCHES}, "more": losses_of_more("more")}


def fit_figures(run: str) -> dict[str, Any]:
    """Of a fit: its metrics on the whole table, what each input is worth, and its first predictions."""
    model = sensorium.load(run)
    table = model.read(TABLE)
    report = sensorium.evaluate(model, table).to_dict()
    return {
        "metrics": report["targets"],
        "inputs": report["inputs"],
        "predictions": model.predict_records(table.take(np.arange(RECORDS))),
    }


def pretrained_figures(run: str) -> dict[str, Any]:
    """Of a pretrained run: retrieval among the records of the table, anew with the matching head where there is one,
    and its first embeddings.
    """
    model = sensorium.load(run)
    table = model.read(TABLE)
    options = {"rerank": 8} if run == "albef" else {}
    report = sensorium.evaluate(model, table, "retrieval", **options).to_dict()
    reranked = report.get("reranking", {})
    return {
        "retrieval": report["retrieval"],
        "reranked": {direction: figures["metrics"] for direction, figures in reranked.items()},
        "embeddings": {
            name: model.embed(table.take(np.arange(RECORDS)), name)[:, :NUMBERS].tolist()
            for name in ("photo", "caption")
        },
    }


def hits(name: str) -> dict[str, Any]:
    """By key, the score of each record that a search of the index gives, and its columns where there is a filter.

    Records with one picture have one score, so the order of keys means nothing; that scores fall is checked here.
    """
    answer = command(f"search {INDEX} {SEARCHES[name]} --run clip --json")
    assert answer.code == 0, answer.err
    records = json.loads(answer.out)["hits"]
    scores = [record["score"] for record in records]
    assert scores == sorted(scores, reverse=True)
    return {
        record["key"]: {"score": record["score"]} | ({"columns": record["columns"]} if name == "filter" else {})
        for record in records
    }


def losses_of_more(out: str) -> dict[str, float]:
    """The losses of an epoch that goes on from albef, with the teacher and the queue that stand beside its model."""
    sensorium.pretrain(
        "albef", TABLE, out, image="photo", text="caption", start_from="albef", key="id", epochs=1, batch_size=8,
        precision="fp32", device="cpu", workers=0, seed=3, quiet=True,
    )  # fmt: skip
    return {name: value for name, value in log(out)[0].items() if name.startswith(("loss", "validation"))}


def log(run: str | Path) -> list[dict[str, float]]:
    """The lines of a run's log.csv, without their times."""
    with open(Path(run) / "log.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    return [{name: float(value) for name, value in line.items() if name != "seconds"} for line in lines]


def untimed(run: str | Path) -> dict[str, Any]:
    """What metrics.json of a run holds, without its costs; numbers in sentences without their first zero, as they were
    written before."""
    figures = json.loads((Path(run) / "metrics.json").read_text(encoding="utf-8"))
    figures["sentences"] = {
        target: re.sub(r"(?<![\d.])0\.", ".", sentence) for target, sentence in figures.get("sentences", {}).items()
    }
    return {name: value for name, value in figures.items() if name != "cost"}
