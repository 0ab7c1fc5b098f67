"""Two inputs through one encoder: one set of weights, one vocabulary, settings said once."""

import numpy as np
import pandas as pd
import pytest
import torch

import sensorium
from sensorium.errors import UserError


def table(rows: int = 48) -> pd.DataFrame:
    """Two texts and whether they are of one kind; some words stand only in the second."""
    chance = np.random.default_rng(0)
    kinds = chance.integers(0, 2, (rows, 2))
    words = [["red rose in bloom", "small yellow tulip"], ["fast blue lorry", "old steam train"]]
    texts = [[words[kind][chance.integers(2)] for kind in pair] for pair in kinds]
    found = pd.DataFrame(texts, columns=["before", "after"]).assign(size=chance.normal(size=rows))
    found["after"] += [f" again number {index}" for index in range(rows)]
    return found.assign(same=np.where(kinds[:, 0] == kinds[:, 1], "yes", "no"))


def fitted(folder, **inputs):
    recipe = {
        "data": {"columns": {"before": "text", "after": "text"}},
        "inputs": inputs, "training": {"epochs": 2, "refit": False},
    }  # fmt: skip
    return sensorium.fit(table(), folder, target="same", recipe=recipe, quiet=True)


def test_two_inputs_share_weights_vocabulary_and_settings(tmp_path):
    run = fitted(tmp_path / "run", after={"shares": "before"}, before={"encoder": "text", "config": {"width": 32}})
    loaded = sensorium.load(tmp_path / "run")
    for model in (run.model, loaded):
        assert model.encoders["before"] is model.encoders["after"]
        assert len(model.encoders.modules_once) == 2 and model.encoders["after"].config.width == 32
    assert "Ġagain" in loaded.encoders["before"].processor.tokenizer.get_vocab()  # Ġ: a space before it
    text = {"before": "old steam train", "after": "old steam train"}
    one, other = (loaded.embed([text], name) for name in ("before", "after"))
    assert np.array_equal(one, other)
    again = sensorium.fit(table(), tmp_path / "again", recipe=tmp_path / "run" / "recipe.yaml", quiet=True)
    for a, b in zip(again.model.parameters(), run.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_frozen_encoder_that_is_shared_is_cached_once(tmp_path):
    run = fitted(tmp_path / "run", after={"shares": "before"}, before={"frozen": True})
    assert not any(parameter.requires_grad for parameter in run.model.encoders["after"].parameters())


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"after": {"shares": "befor"}}, "no input 'befor'"),
        ({"after": {"shares": "size"}}, "'after' is text and 'size' is table"),
        ({"after": {"shares": "after"}}, "shares the encoder of an input that has one of its own"),
        ({"after": {"shares": "before", "frozen": True}}, "only that one has settings"),
        ({"after": {"shares": "before"}, "before": {"shares": "after"}}, "that has one of its own"),
    ],
)
def test_what_cannot_be_shared_is_said(tmp_path, inputs, said):
    with pytest.raises(UserError, match=said):
        fitted(tmp_path / "run", **inputs)
