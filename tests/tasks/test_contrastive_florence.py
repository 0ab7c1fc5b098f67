"""`pretrain florence`: pictures brought to their captions and to the labels of their classes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch

import sensorium
from sensorium.data.label_texts import label_texts, with_label_texts
from sensorium.encoders import ENCODERS
from sensorium.errors import UserError
from sensorium.evaluation.zero_shot import ZeroShot
from sensorium.families import FAMILIES, FlorenceSettings
from sensorium.families.florence_training import SIZES
from tests.pretraining import COLOURS, pairs, small

LABELS = ["bluish", "greenish", "grey", "reddish"]  # words that no caption has


def labelled(folder: Path) -> Path:
    """The table of pairs with a class by its picture's left half; some records have no caption, some no class."""
    path = pairs(folder)
    table = pd.read_csv(path)
    classes = dict(zip(sorted(COLOURS), [LABELS[index] for index in (2, 0, 1, 3, 3, 2, 1)], strict=True))
    table["kind"] = table["photo"].str.split("-").str[0].map(classes)
    table.loc[::6, "caption"] = None
    table.loc[3::10, "kind"] = None
    table.to_csv(path, index=False)
    return path


def florence(table: Path | pd.DataFrame, out: Path, **more) -> sensorium.Run:
    return sensorium.pretrain("florence", table, out=out, **small(labels="kind", refit=False, **more))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled(tmp_path_factory.mktemp("florence"))


@pytest.fixture(scope="module")
def run(table: Path) -> sensorium.Run:
    options = {"batch_size": 42, "epochs": 40, "learning_rate": 0.003, "patience": 40, "keep": "last"}
    return florence(table, table.parent / "run", **options)


def test_captions_find_their_pictures_and_labels_the_pictures_of_their_class(run, table):
    log = pd.read_csv(run.folder / "log.csv")
    assert log["loss_photo_caption"].iloc[-1] < 0.4 * log["loss_photo_caption"].iloc[0]
    assert log["loss_photo_caption/label"].iloc[-1] < 0.9 * log["loss_photo_caption/label"].iloc[0]
    model, frame = sensorium.load(run.folder), pd.read_csv(table)
    assert model.encoders.names == ["photo", "caption"] and model.schema.targets == []
    frame = frame[frame["kind"].notna()]
    photos = model.embed([{"photo": str(table.parent / photo)} for photo in frame["photo"]], "photo")
    decided = np.array(LABELS)[(photos @ ZeroShot(model, LABELS).vectors.T).argmax(axis=1)]
    assert len(model.processors["caption"].encode("greenish")[0]) == 3, "a word that the tokenizer has learned"
    assert (decided == frame["kind"]).mean() > 0.6, "by chance it is a quarter"


def test_without_a_class_it_learns_as_clip_does(table, tmp_path):
    recipe = {"inputs": {"photo": {"encoder": "clip_image"}}}
    runs = [
        sensorium.pretrain(family, table, out=tmp_path / family, recipe=recipe, **small(epochs=1, refit=False))
        for family in ("clip", "florence")
    ]
    weights = [(run.folder / "model" / "model.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]


def test_a_trained_model_is_gone_on_with(run, table, tmp_path):
    more = small(labels="kind", epochs=1, refit=False, start_from=run.folder)
    del more["encoders"]
    second = sensorium.pretrain("florence", table, out=tmp_path / "second", **more)
    assert second.model.encoders.names == ["photo", "caption"]
    with pytest.raises(UserError, match="has its size and dim already"):
        sensorium.pretrain("florence", table, out=tmp_path / "sized", size="tiny", **more)
    run.model.register_parameter("logit_bias", torch.nn.Parameter(torch.zeros(())))
    with pytest.raises(UserError, match="learned by the sigmoid loss"):
        FAMILIES["florence"].continue_from(FlorenceSettings(name="florence", size=None), run.model)
    del run.model.logit_bias


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"labels": "kinds"}, "kinds.*did you mean 'kind'"),
        ({"kind": "grey"}, {}, "'kind' of .* is grey in every row that has it"),
        ({"kind": None}, {}, "'kind' .* is absent in all 49 rows"),
        ({}, {"loss": "sigmoid"}, "family florence has no setting 'loss'"),
        ({}, {"size": "swin"}, "no size 'swin'.*swin-tiny"),
        ({}, {"inputs": ["shade"], "columns": {"shade": "category"}}, "one picture and one text, and the inputs are"),
    ],
)
def test_what_cannot_be_is_said(table, tmp_path, change, options, message):
    pd.read_csv(table).assign(**change).to_csv(table.parent / "changed.csv", index=False)
    with pytest.raises(UserError, match=message):
        sensorium.pretrain(
            "florence",
            table.parent / "changed.csv",
            out=tmp_path / "run",
            **small(epochs=1) | {"labels": "kind"} | options,
        )


def test_labels_stand_in_the_place_of_texts(table):
    records = sensorium.read(table, target={"kind": "class"}, inputs=["photo", "caption"], quiet=True)
    texts = label_texts(records, "caption")
    kinds = records.cells("kind", "class")
    assert texts.cells("caption", "text").tolist() == kinds.tolist() and None in kinds
    assert [key for key, kind in zip(texts.keys, kinds, strict=True) if kind] == [kind for kind in kinds if kind]
    both = with_label_texts(records, ["caption"])
    captions = records.cells("caption", "text").tolist()
    assert both.cells("caption", "text").tolist() == captions + [kind for kind in kinds if kind]
    assert not both.present(both.schema.inputs[0])[len(records) :].any(), "a label has no picture"


def test_the_sizes_are_hierarchical_towers_that_timm_has():
    family = FAMILIES["florence"]
    for size in SIZES:
        towers = family.towers(FlorenceSettings(name="florence", size=size))
        config = towers["image"].config
        assert towers["text"].encoder == "clip_text"
        assert size == "tiny" or timm.is_model(config["model"])
    swin = ENCODERS["timm"](ENCODERS["timm"].Config(**config | {"model": "swin_tiny_patch4_window7_224", "size": 64}))
    pictures = {"pixels": torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "mask": torch.ones(1, 1, dtype=torch.bool)}
    assert swin(pictures).tokens.shape == (1, 4, 768), "a map of 2 x 2"
