"""`pretrain albef`: a picture and a text aligned and fused, by the machinery of CLIP's pretraining."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models

import sensorium
from sensorium.build.pretrained import load_pretrained, restore_objective_state
from sensorium.config.load import check_recipe
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import UserError
from sensorium.families.albef_checkpoints import Albef, save
from sensorium.objectives.momentum import Momentum, Queue
from tests.objectives.test_albef import tiny
from tests.pretraining import SMALL, pairs

TOWERS = {"photo": SMALL["photo"], "caption": "bert_text,width=32,depth=1,heads=2,dropout=0.0"}


def albef(table: Path, out: Path, **more) -> sensorium.Run:
    options = {"image": "photo", "text": "caption", "encoders": TOWERS, "workers": 0, "quiet": True, "refit": False}
    return sensorium.pretrain("albef", table, out=out, **options | more)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pairs(tmp_path_factory.mktemp("albef"))


@pytest.fixture(scope="module")
def run(table: Path) -> sensorium.Run:
    more = {"epochs": 60, "patience": 60, "batch_size": 21, "learning_rate": 0.003, "queue": 50, "keep": "last"}
    return albef(table, table.parent / "run", **more)


def test_all_three_losses_fall_and_the_inputs_find_each_other(run):
    log = pd.read_csv(run.folder / "log.csv")
    # A model that knows nothing of a pair is right of one in three, and of a queue of 50 and a batch of 21 takes all.
    assert log["loss_match"].iloc[-5:].mean() < 0.9 * 0.6365
    assert log["loss_photo_caption"].iloc[-5:].mean() < 0.8 * np.log(71)
    assert log["loss_words"].iloc[-1] < 0.6 * log["loss_words"].iloc[0]
    assert log["validation"].iloc[-1] > log["validation"].iloc[0]
    assert json.loads((run.folder / "metrics.json").read_text())["retrieval"].keys() == {
        "photo→caption", "caption→photo",
    }  # fmt: skip


def test_the_model_loads_with_teacher_and_queue_beside_it(run):
    model = sensorium.load(run.folder)
    assert model.encoders.names == ["photo", "caption"] and not model.decides
    assert (model.fusion.query, model.fusion.context) == ("caption", ["photo"])
    assert model.embed([{"caption": "red beside blue"}], "caption").shape == (1, 128)
    beside = load_file(run.folder / "model" / "objectives.safetensors")
    own = {f"teacher.model.{name}": value for name, value in model.state_dict().items()}
    assert own.keys() < beside.keys() and beside["queue.a"].shape == (50, 128) and beside["queue.filled"] == 50
    assert any(not torch.equal(value, beside[name]) for name, value in own.items())
    assert beside["teacher.steps"] == 60 * 2


def test_a_recipe_of_the_run_repeats_it_and_pieces_train_too(table, tmp_path):
    whole = albef(table, tmp_path / "a", epochs=1, batch_size=16, queue=20, pieces=3)
    again = sensorium.pretrain("albef", recipe=whole.folder / "recipe.yaml", out=tmp_path / "b", quiet=True)
    one, two = ((part.folder / "model/model.safetensors").read_bytes() for part in (whole, again))
    assert one == two
    assert np.isfinite(pd.read_csv(whole.folder / "log.csv")["loss"]).all()


def test_a_run_goes_on_with_the_teacher_and_the_queue_of_another(run, table, tmp_path):
    first = load_file(run.folder / "model" / "objectives.safetensors")
    renamed = pd.read_csv(table).rename(columns={"photo": "picture", "caption": "words"})[["words", "picture"]]
    renamed.to_csv(table.parent / "renamed.csv", index=False)
    options = {"image": "picture", "text": "words", "encoders": None, "start_from": run.folder, "queue": 60}
    more = options | {"epochs": 1, "batch_size": 42, "learning_rate": 1e-9}
    on = albef(table.parent / "renamed.csv", tmp_path / "on", **more)
    assert on.model.encoders.names == ["words", "picture"]
    beside = load_file(on.folder / "model" / "objectives.safetensors")
    assert beside["teacher.steps"] == first["teacher.steps"] + 1
    queue = Queue(50, 128)
    queue.load_state_dict({name.removeprefix("queue."): value for name, value in first.items() if "queue." in name})
    # The newest 42 pairs are the epoch's, before them stand the newest of the run before.
    assert torch.equal(beside["queue.ids_a"].roll(-int(beside["queue.pointer"]))[:18], queue.in_order()[2][-18:])
    old, new = sensorium.load(run.folder), sensorium.load(on.folder)
    for mine, theirs in (("picture", "photo"), ("words", "caption")):
        before = old.embed(old.read(table), theirs)
        np.testing.assert_allclose(new.embed(new.read(table.parent / "renamed.csv"), mine), before, atol=1e-4)


def test_a_converted_checkpoint_lends_its_teacher_under_the_columns_names(table, tmp_path):
    model, teacher = tiny(0), Momentum(tiny(1))
    for one in (model, teacher.model):
        words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "[MASK]": 2}, "[UNK]"))
        one.encoders["text"].processor = TextProcessor(words, 8, 0, 1, 2, None)
    save(Albef(model, teacher, None), tmp_path / "published")
    schema = sensorium.read(table, inputs=["caption", "photo"], columns={"caption": "text"}, quiet=True).schema
    recipe = check_recipe({"start_from": str(tmp_path / "published"), "family": {"name": "albef"}})
    new = load_pretrained(schema, recipe, sensorium.load(tmp_path / "published"))
    teacher.steps += 5
    save(Albef(model, teacher, None), tmp_path / "published")
    follows = Momentum(new)
    restore_objective_state([follows], schema, recipe)
    assert new.fusion.query == "caption" and follows.steps == 5
    for name, theirs in (("photo", "image"), ("caption", "text")):
        for one, other in ((new, model), (follows.model, teacher.model)):
            for key, value in other.encoders[theirs].state_dict().items():
                assert torch.equal(one.encoders[name].state_dict()[key], value)
    assert torch.equal(follows.model.heads["match"].linear.weight, teacher.model.heads["match"].linear.weight)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"inputs": "photo,caption,shade"}, "one picture and one text, and the inputs are"),
        ({"loss": "sigmoid"}, "albef has no setting 'loss'"),
        ({"labels": "shade"}, "albef has no setting 'labels'"),
        ({"size": "ViT-B-32"}, "There is no size 'ViT-B-32'; known: base, tiny"),
        ({"encoders": {"caption": "text"}}, "by the words of the encoder bert_text, and that of 'caption' is another"),
    ],
)
def test_what_albef_cannot_be_is_said(table, tmp_path, more, said):
    with pytest.raises(UserError, match=said):
        albef(table, tmp_path / "run", **{"image": "photo", "text": "caption"} | more)


def test_clip_has_no_queue_and_its_model_is_no_albef(table, tmp_path):
    with pytest.raises(UserError, match="clip has no setting 'queue'"):
        sensorium.pretrain("clip", table, tmp_path / "a", image="photo", text="caption", queue=8, quiet=True)
    sensorium.pretrain(
        "clip", table, tmp_path / "b", image="photo", text="caption", encoders=SMALL, epochs=1, workers=0, quiet=True
    )
    with pytest.raises(UserError, match="no pre-trained ALBEF"):
        albef(table, tmp_path / "c", encoders=None, start_from=tmp_path / "b")


def test_a_pair_may_have_an_objective_that_could_read_classes(table, tmp_path):
    """ALBEF has no setting `labels`, and the objective is asked to know of none."""
    recipe = {"objectives": [{"name": "triplet", "inputs": ["photo", "caption"]}]}
    run = albef(table, tmp_path / "run", epochs=1, queue=20, recipe=recipe)
    assert np.isfinite(pd.read_csv(run.folder / "log.csv")["loss_photo_caption_triplet"]).all()
