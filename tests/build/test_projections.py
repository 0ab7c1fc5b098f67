"""A projection that is more than a linear map, as the settings of a family state it."""

import numpy as np
import pytest

import sensorium
from sensorium.errors import UserError
from tests.pretraining import pairs, small

SHAPE = {"hidden": 24, "norm": True, "dropout": 0.1}


def test_a_projection_has_the_layers_that_are_asked_for_and_is_saved_with_the_run(tmp_path):
    options = small(epochs=1, dim=12, refit=False)
    run = sensorium.pretrain("clip", pairs(tmp_path), tmp_path / "run", projections={"caption": SHAPE}, **options)
    assert run.model.projections["caption"].shape == [32, 12, False, 24, True, 0.1]
    assert run.model.projections["photo"].shape == [32, 12, False, None, False, 0.0]
    model = sensorium.load(run.folder)
    records = model.read(tmp_path / "pairs.csv")
    assert np.array_equal(model.embed(records, "caption"), run.model.embed(records, "caption"))
    with pytest.raises(UserError, match="has its projections already; leave them out"):
        sensorium.pretrain(
            "clip", tmp_path / "pairs.csv", tmp_path / "more", start_from=run.folder, projections={"caption": SHAPE},
            image="photo", text="caption", quiet=True,
        )  # fmt: skip


def test_a_projection_of_an_input_that_is_none_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no input 'captions'; did you mean 'caption'"):
        sensorium.pretrain("clip", pairs(tmp_path), tmp_path / "run", projections={"captions": SHAPE}, **small())
