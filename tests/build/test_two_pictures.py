"""A sentence about two pictures, as in NLVR2: both pictures through one encoder, and asked one after another."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import sensorium

PICTURE = {
    "encoder": "clip_image",
    "augment": False,
    "config": {"size": 8, "patch": 8, "width": 32, "depth": 1, "heads": 2},
}
TEXT = {"encoder": "bert_text", "config": {"width": 32, "depth": 1, "dropout": 0.0}}
SIZE = {"query": "sentence", "context": ["left", "right"], "dim": 32, "layers": 1, "heads": 2, "dropout": 0.0}


def world(folder: Path, count: int) -> pd.DataFrame:
    """Two pictures of different greys, and a sentence that says that the left is the brighter.

    Who sees one picture only is right in five of six at best.
    """
    chance = np.random.default_rng(0)
    greys = [0, 85, 170, 255]
    for grey in greys:
        Image.new("L", (8, 8), grey).save(folder / f"{grey}.png")
    left, right = np.array([chance.permutation(greys)[:2] for _ in range(count)]).T
    return pd.DataFrame(
        {
            "sentence": [chance.choice(["the left one is brighter", "left is lighter"]) for _ in range(count)],
            "left": [f"{grey}.png" for grey in left],
            "right": [f"{grey}.png" for grey in right],
            "label": ["true" if truth else "false" for truth in left > right],
        }
    )


def test_a_sentence_about_two_pictures_is_judged_by_both(tmp_path):
    table = world(tmp_path, 840)
    stated = {"target": {"label": "class"}, "columns": {"sentence": "text"}}
    train = sensorium.read(table[:480], root=tmp_path, quiet=True, **stated)
    inputs = {"sentence": TEXT, "left": PICTURE, "right": {"shares": "left"}}
    training = {"epochs": 10, "batch_size": 32, "learning_rate": 0.003, "refit": False, "workers": 0}
    training |= {"modality_dropout": 0.0}
    recipe = {"inputs": inputs, "fusion": {"name": "serial", "config": SIZE}, "training": training}
    with pytest.warns(UserWarning, match="share records"):
        run = sensorium.fit(train, tmp_path / "run", recipe=recipe, quiet=True)
    test = sensorium.read(table[480:], schema=run.model.schema, root=tmp_path)
    assert accuracy(run.model, test) > 0.95
    for name in ("left", "right"):
        frame = test.frame.assign(**{name: None})
        assert accuracy(run.model, sensorium.read(frame, schema=run.model.schema, root=tmp_path)) < 0.9
    assert len({id(run.model.encoders[name]) for name in inputs}) == 2


def accuracy(model: sensorium.Model, table: sensorium.Table) -> float:
    """The share of the records that are judged as they are labelled."""
    return float((model.predict(table)["label"] == table.frame["label"]).mean())
