"""`pretrain --from`: a pretrained run or a published model, under the names of the table's columns."""

from pathlib import Path

import numpy as np
import pytest

import sensorium
from sensorium.build.pretrained import load_pretrained
from sensorium.config.load import check_recipe
from sensorium.errors import UserError
from sensorium.families.clip_checkpoints import convert
from tests.parity.published import transformers_folder
from tests.pretraining import pairs, small


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pairs.csv and published/, a converted CLIP of random weights."""
    folder = tmp_path_factory.mktemp("from")
    pairs(folder)
    transformers_folder(folder / "theirs", "clip", "gelu")
    convert(folder / "theirs", folder / "published")
    return folder


def begun(world: Path, **more) -> sensorium.Model:
    table = sensorium.read(world / "pairs.csv", inputs=["photo", "caption"], columns={"caption": "text"}, quiet=True)
    recipe = check_recipe({"start_from": str(world / "published"), "family": {"name": "clip"}} | more)
    return load_pretrained(table.schema, recipe, sensorium.load(world / "published"))


def test_the_columns_take_the_places_of_the_inputs_of_their_kind(world):
    new, old = begun(world), sensorium.load(world / "published")
    table = new.read(world / "pairs.csv")
    renamed = [{"image": str(world / name), "text": text} for name, text in table.frame[["photo", "caption"]].values]
    for mine, theirs in (("photo", "image"), ("caption", "text")):
        np.testing.assert_array_equal(new.embed(table, mine), old.embed(renamed, theirs))
    assert new.logit_scale.item() == old.logit_scale.item()


def test_pictures_of_another_size_have_interpolated_positions(world):
    new = begun(world, inputs={"photo": {"config": {"size": 48, "patch_dropout": 0.5}}})
    encoder = new.encoders["photo"]
    assert encoder.config.size == encoder.processor.settings.size == 48 and encoder.config.patch_dropout == 0.5
    assert len(encoder.position) == 1 + 36
    assert new.embed(new.read(world / "pairs.csv"), "photo").shape[1] == new.projections["photo"].out_features


def test_a_run_begins_with_the_weights_and_moves_them(world):
    options = small(start_from=world / "published", encoders=None, epochs=1, batch_size=16, refit=False)
    run = sensorium.pretrain("clip", world / "pairs.csv", out=world / "run", **options)
    old = sensorium.load(world / "published")
    before, after = (one.position.detach() for one in (old.encoders["text"], run.model.encoders["caption"]))
    assert before.shape == after.shape and 0 < (before - after).abs().max() < 0.01
    saved = sensorium.load(world / "run")
    assert saved.encoders.names == ["photo", "caption"]
    again = sensorium.pretrain("clip", out=world / "run", resume=True, quiet=True)
    assert again.metrics["retrieval"] == run.metrics["retrieval"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"inputs": {"photo": {"encoder": "timm"}}}, "is clip_image, and its weights fit no other"),
        ({"inputs": {"photo": {"config": {"size": 20}}}}, "patch .8. must divide size .20."),
        ({"inputs": {"photo": {"config": {"width": 96}}}}, "do not fit the setting width"),
        ({"inputs": {"caption": {"config": {"context": 8}}}}, "whose setting context stays as it was trained"),
    ],
)
def test_what_the_weights_do_not_fit_is_said(world, more, said):
    with pytest.raises(UserError, match=said):
        begun(world, **more)
