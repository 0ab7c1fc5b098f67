"""Stored views of a cached input: the first is the input as it is, the others are augmented, an epoch draws of them."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from sensorium.data.read import read
from sensorium.data.records import Records, epoch_batches, load
from sensorium.data.scan import scan
from sensorium.encoders import ENCODERS
from sensorium.runs.run import fit
from sensorium.training.cache import CacheJob
from sensorium.training.views import ViewsJob
from tests.journeys import Journey, check_same, make

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
TEXTS = [" ".join(np.random.default_rng(row).permutation(WORDS)[: 5 + row % 7]) for row in range(40)]
TEXTS[7], TEXTS[9] = None, TEXTS[8]


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    kind = ENCODERS["text"]
    config = kind.Config(width=16, depth=1, heads=2, augmentation={"rate": 0.5})
    return kind.build(config, [text for text in TEXTS if text], {"records": 40}).eval().requires_grad_(False)


def records(encoder, seed: int = 3, stores=None, rows: list[int] | None = None) -> Records:
    frame = pd.DataFrame({"text": TEXTS, "y": [float(row) for row in range(40)]})
    table = read(frame, target={"y": "number"}, columns={"text": "text"}, quiet=True)
    table = table if rows is None else table.take(rows)
    return Records(table, {"text": encoder.processor}, scan(table).ids, stores, seed)


def job(folder: Path, encoder, views: int, seed: int = 3, tokens: bool = True) -> ViewsJob:
    return ViewsJob(folder, "text", encoder, records(encoder, seed), tokens, "fp32", views)


@pytest.mark.parametrize("tokens", [True, False])
def test_each_view_is_what_the_encoder_says_of_the_input_changed_by_the_chance_of_the_view(tmp_path, encoder, tokens):
    found, rows = job(tmp_path, encoder, 3, tokens=tokens).fill(0), np.arange(40)
    given = records(encoder)
    once = np.array([row for row in rows if row not in (7, 9)])
    for view in range(3):
        with torch.no_grad():
            said = encoder(given.batch(once, view or None).inputs["text"])
        stored = found.read(rows, np.full(40, view))
        torch.testing.assert_close(stored.pooled[once], said.pooled)
        assert torch.equal(stored.pooled[8], stored.pooled[9]), "equal contents are encoded once"
        assert stored.present.tolist() == [row != 7 for row in rows]
    plain, one, two = (found.read(rows, np.full(40, view)).pooled for view in range(3))
    assert (plain - one).abs().max() > 0.01 and (one - two).abs().max() > 0.01
    assert torch.equal(found.read(rows).pooled, plain), "the first view, when none is asked for"


@pytest.mark.parametrize("tokens", [True, False])
def test_rows_of_different_views_come_in_their_order(tmp_path, encoder, tokens):
    found = job(tmp_path, encoder, 3, tokens=tokens).fill(0)
    rows, views = np.array([11, 7, 2, 30, 2]), np.array([2, 1, 0, 2, 1])
    mixed = found.read(rows, views)
    for place, (row, view) in enumerate(zip(rows, views, strict=True)):
        alone = found.read(np.array([row]), np.array([view]))
        length = alone.tokens.shape[1]
        assert torch.equal(mixed.pooled[place], alone.pooled[0])
        assert torch.equal(mixed.tokens[place, :length], alone.tokens[0]) and not mixed.mask[place, length:].any()


def test_an_epoch_draws_of_the_views_and_validation_reads_the_first(tmp_path, encoder):
    stored = job(tmp_path, encoder, 4).fill(0)
    made, rows = records(encoder, stores={"text": stored}), np.arange(40)

    def drawn(epoch, order=rows):
        pooled = made.batch(order, epoch).inputs["text"].pooled
        every = torch.stack([stored.read(order, np.full(len(order), view)).pooled for view in range(4)])
        return (every == pooled).all(dim=2).int().argmax(dim=0)  # [B]

    epochs = torch.stack([drawn(epoch) for epoch in range(30)])  # [epochs, B]
    counts = torch.bincount(epochs.flatten(), minlength=4) / epochs.numel()
    assert counts.min() > 0.2, counts
    assert all(len(set(views.tolist())) > 1 for views in epochs.T[10:])
    order = np.random.default_rng(0).permutation(40)
    assert torch.equal(drawn(5, order), epochs[5][order]), "a record's view does not hang on the batch it is in"
    assert torch.equal(made.batch(rows).inputs["text"].pooled, stored.read(rows).pooled)
    items = [(part, 5) for step in epoch_batches(40, 16, 0, 0) for part in step]
    loaded = torch.cat([batch.inputs["text"].pooled for batch in load(made, items, 0)])
    expected = made.batch(np.concatenate([part for part, _ in items]), 5).inputs["text"].pooled
    torch.testing.assert_close(loaded, expected)


def test_more_views_keep_what_is_stored_and_another_seed_does_not(tmp_path, encoder, monkeypatch):
    filled = []
    encode = CacheJob._encode
    monkeypatch.setattr(CacheJob, "_encode", lambda self, batch: filled.append(self.epoch) or encode(self, batch))
    job(tmp_path, encoder, 2).fill(0)
    job(tmp_path, encoder, 3).fill(0)
    assert filled == [None, 1, 2]
    job(tmp_path, encoder, 2, seed=4).fill(0)
    assert filled == [None, 1, 2, 1], "the first view is nobody's chance"


def test_the_size_counts_every_view(tmp_path, encoder):
    assert job(tmp_path, encoder, 3).bytes() == 3 * job(tmp_path, encoder, 1).bytes()
    wanted = job(tmp_path, encoder, 3, tokens=False)
    wanted.fill(0)
    assert sum(path.stat().st_size for path in tmp_path.rglob("pooled.bin")) == wanted.bytes()


@pytest.fixture(scope="module")
def arguments(tmp_path_factory) -> dict[str, Any]:
    made = make(tmp_path_factory.mktemp("records"), records=90)
    made["recipe"]["inputs"]["picture"]["views"] = 3
    return made


@pytest.fixture(scope="module")
def undisturbed(arguments, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    journey = Journey(out, arguments)
    journey.finish()
    assert journey.process.exitcode == 0
    assert len(list((out / "features").iterdir())) == 4, "three views of the known records, one of the test"
    return out


@pytest.mark.parametrize(("stage", "nth"), [("cache", 5), ("training", 6)])
def test_killed_and_resumed_ends_in_the_same_bits(stage, nth, arguments, undisturbed, tmp_path):
    journey = Journey(tmp_path / "run", arguments)
    for _ in range(nth):
        while journey.said()[1] != stage:
            pass
    journey.kill()
    journey.finish()
    resumed = Journey(tmp_path / "run", arguments, resume=True)
    resumed.finish()
    assert resumed.process.exitcode == 0
    check_same(undisturbed, tmp_path / "run", stage)


def test_the_run_says_how_many_views_are_stored(arguments, tmp_path, capsys):
    few = copy.deepcopy(arguments)
    few["recipe"]["training"] |= {"epochs": 1, "refit": False}
    fit(**few, out=tmp_path / "run", details=True)
    assert "features cached, 3 views of each record, all but one augmented" in capsys.readouterr().out
