"""The feature cache: what the encoder says, row for row; committed batches survive, anything else is made anew."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sensorium.data.read import read
from sensorium.data.records import Records
from sensorium.data.scan import scan
from sensorium.encoders import ENCODERS
from sensorium.training.cache import CacheJob

TEXTS = ["a cat", None, "two small dogs run home", "a cat", "birds"]


@pytest.fixture(scope="module")
def encoder() -> nn.Module:
    torch.manual_seed(0)
    kind = ENCODERS["text"]
    built = kind.build(kind.Config(width=16, depth=1, heads=2), [text for text in TEXTS if text], {"records": 4})
    return built.eval().requires_grad_(False)


def records(encoder: nn.Module, texts: list[str | None], rows: list[int] | None = None) -> Records:
    frame = pd.DataFrame({"text": texts, "y": [float(row) for row in range(len(texts))]})
    table = read(frame, target={"y": "number"}, columns={"text": "text"}, quiet=True)
    table = table if rows is None else table.take(rows)
    return Records(table, {"text": encoder.processor}, scan(table).ids)


def job(folder: Path, encoder: nn.Module, texts=TEXTS, rows: list[int] | None = None, tokens: bool = True) -> CacheJob:
    return CacheJob(folder, "text", encoder, records(encoder, texts, rows), tokens, "fp32")


@pytest.mark.parametrize("tokens", [True, False])
def test_a_row_reads_as_the_encoder_says_it(tmp_path, encoder, tokens):
    rows = np.array([3, 1, 2, 0])
    found = job(tmp_path, encoder, tokens=tokens).fill(0).read(rows)
    assert found.present.tolist() == [True, False, True, True]
    batch = records(encoder, TEXTS).batch(rows[[0, 2, 3]])
    with torch.no_grad():
        said = encoder(batch.inputs["text"])
    torch.testing.assert_close(found.pooled[[0, 2, 3]], said.pooled)
    assert found.pooled[1].abs().sum() == 0 and found.tokens[1].abs().sum() == 0
    if tokens:
        torch.testing.assert_close(found.tokens[[0, 2, 3]][said.mask], said.tokens[said.mask])
        assert torch.equal(found.mask[[0, 2, 3]], said.mask)


def test_equal_contents_are_encoded_once(tmp_path, encoder):
    asked = job(tmp_path, encoder)
    encoded = []
    asked.fill(0, encoded.append)
    assert sum(encoded) == 3
    asked.fill(0, encoded.append)
    assert sum(encoded) == 3


def test_what_was_not_committed_is_made_anew(tmp_path, encoder):
    asked = job(tmp_path, encoder)
    expected = asked.fill(0).read(np.arange(5))
    with open(asked.folder / "tokens.bin", "ab") as file:
        file.write(b"half a batch")
    assert torch.equal(asked.fill(0).read(np.arange(5)).tokens, expected.tokens)


def test_a_file_that_lost_its_end_is_made_anew(tmp_path, encoder):
    asked = job(tmp_path, encoder)
    expected = asked.fill(0).read(np.arange(5))
    size = json.loads((asked.folder / "done.json").read_text())["sizes"]["tokens.bin"]
    with open(asked.folder / "tokens.bin", "ab") as file:
        file.truncate(size - 4)
    assert torch.equal(asked.fill(0).read(np.arange(5)).tokens, expected.tokens)


@pytest.mark.parametrize("tokens", [True, False])
def test_an_input_that_nobody_has(tmp_path, encoder, tokens):
    found = job(tmp_path, encoder, rows=[1], tokens=tokens).fill(0).read(np.zeros(2, int))
    assert not found.present.any() and found.tokens.abs().sum() == 0


def test_other_weights_or_contents_have_another_place(tmp_path, encoder):
    places = {job(tmp_path, encoder).folder, job(tmp_path, encoder, [*TEXTS[:4], "fish"]).folder}
    places.add(job(tmp_path, encoder, tokens=False).folder)
    weight = next(encoder.parameters())
    weight.data.add_(1)
    places.add(job(tmp_path, encoder).folder)
    weight.data.sub_(1)
    assert len(places) == 4


@pytest.mark.parametrize("tokens", [True, False])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("done.json", b'{"rows": 3,'),
        ("done.json", b'{"rows": 3, "sizes": {"pooled.bin": 7}}'),
        ("done.json", b"[1]"),
        ("done.json", b'{"rows": "a", "sizes": [1]}'),
        ("pooled.bin", None),
        ("lengths.bin", None),
    ],
)
def test_what_is_damaged_is_computed_again(tmp_path, encoder, tokens: bool, name: str, content: bytes | None):
    rows = np.arange(len(TEXTS))
    whole = job(tmp_path, encoder, tokens=tokens).fill(0).read(rows)
    path = next(tmp_path.rglob(name))
    path.write_bytes(bytes(path.stat().st_size) if content is None else content)  # zeros, as after a power cut
    encoded = []
    again = job(tmp_path, encoder, tokens=tokens).fill(0, encoded.append).read(rows)
    assert sum(encoded) == 3 and all(map(torch.equal, whole, again))
