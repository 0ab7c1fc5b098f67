"""Every fusion, by its name, from a table to a prediction: a fit, a loaded run, and records that lack inputs."""

import pytest

import sensorium as api
from sensorium.fusion import FUSIONS
from tests.reviews import write

TINY = "text,width=8,depth=1,heads=1,max_tokens=8"
ROWS = [
    {
        "name": ("lamp", "mug")[index % 2],
        "said": ("works well", "broke at once", "")[index % 3],
        "price": str(index),
        "kind": ("good", "bad")[index % 2],
    }
    for index in range(16)
]
# What a fusion needs to be told beside the width.
TOLD = {"capsules": {"capsules": 2}, "tensor": {"width": 2}}


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_fit_with_it(fusion, dropout, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("table.csv", ROWS)
    run = api.fit(
        "table.csv",
        "run",
        recipe={"fusion": {"name": fusion, "config": {"dim": 8, **TOLD.get(fusion, {})}}},
        target="kind",
        columns={"name": "text", "said": "text"},
        encoders={"name": TINY, "said": TINY, "price": "table,width=4,hidden=4"},
        epochs=1,
        modality_dropout=dropout,
        refit=False,
        workers=0,
        quiet=True,
    )
    assert type(run.model.fusion) is FUSIONS[fusion]
    records = [{"name": "lamp", "said": "broke", "price": 3.0}, {"said": "works well"}, {"price": 1.0}, {}]
    before, after = run.model.predict(records), api.load("run").predict(records)
    assert before == after and [len(one["absent"]) for one in after] == [0, 2, 2, 3]
    assert before[3]["kind"]["probabilities"] == pytest.approx({"good": 0.5, "bad": 0.5}, abs=0.2)
