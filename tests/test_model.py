"""The model as a whole: absence, batch invariance, shared encoders, saving and loading."""

import numpy as np
import pandas as pd
import pytest
import torch

from sensorium.build.model import build
from sensorium.config.load import check_recipe
from sensorium.data.read import read
from sensorium.data.scan import scan
from sensorium.data.table import Table
from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.model import Model, load
from sensorium.nn.projection import Projection

FUSIONS = ["concat", "hybrid", "late", "transformer", "cross_attention"]


@pytest.fixture(scope="module")
def table() -> Table:
    """Text, picture, sound and a number, each absent in some rows, together in one; a class, labels and a number to
    learn.
    """
    generator = np.random.default_rng(0)
    rows = 24
    frame = pd.DataFrame(
        {
            "text": [" ".join(generator.choice(["red", "shoe", "blue", "hat"], 1 + i % 5)) for i in range(rows)],
            "picture": [generator.integers(0, 255, (12, 12, 3), np.uint8) for _ in range(rows)],
            "sound": [(generator.normal(0, 0.1, 1600 + 400 * (i % 3)).astype(np.float32), 8000) for i in range(rows)],
            "number": generator.normal(size=rows),
            "kind": generator.choice(["a", "b", "c"], rows),
            "tags": [["x"], ["x", "y"], ["y"], ["z"]] * (rows // 4),
            "size": generator.normal(5, 2, rows),
        }
    )
    for place, name in enumerate(["text", "picture", "sound", "number"]):
        frame[name] = frame[name].astype(object)
        frame.loc[[place, 10 + place, 20], name] = None
    kinds = {"text": "text", "picture": "image", "sound": "audio", "number": "number"}
    return read(frame, target={"kind": "class", "tags": "labels", "size": "number"}, columns=kinds, quiet=True)


def made(table: Table, fusion: str) -> Model:
    return build(table, check_recipe({"fusion": {"name": fusion}}), scan(table).facts).eval()


def decided(model: Model, inputs) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        found = model.decide(model.fuse(model.encode(inputs)))
    return {f"{name} {key}": value for name, one in found.items() for key, value in one.items()}


@pytest.mark.parametrize("fusion", FUSIONS)
def test_noise_in_an_absent_slot_changes_no_output_bit(table, fusion):
    model = made(table, fusion)
    inputs = next(model.batches(table)).inputs
    before = decided(model, inputs)
    for name, tensors in inputs.items():
        absent = ~tensors["mask"].any(dim=1)
        assert absent.any()
        noisy = {key: value.clone() for key, value in tensors.items()}
        for key, value in noisy.items():
            if key != "mask":
                value[absent] = torch.randint(1, 5, value[absent].shape).to(value.dtype)
        after = decided(model, inputs | {name: noisy})
        assert all(torch.equal(before[key], after[key]) for key in before), name


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_row_alone_equals_the_row_in_a_batch(table, fusion):
    model = made(table, fusion)
    together = decided(model, next(model.batches(table)).inputs)
    for row in range(len(table)):
        alone = decided(model, next(model.batches(table.take(np.array([row])))).inputs)
        for key, value in alone.items():
            torch.testing.assert_close(value[0], together[key][row], rtol=1e-5, atol=1e-5, msg=f"{key}, row {row}")


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_row_without_any_input_gets_the_training_prior(table, fusion):
    model = made(table, fusion)
    empty, full = model.predict([{}, {"text": "red hat"}])
    share = table.frame["kind"].value_counts(normalize=True)
    for label, value in empty["kind"]["probabilities"].items():
        assert value == pytest.approx(share[label], abs=0.05)
    assert empty["size"]["decision"] == pytest.approx(table.frame["size"].mean(), rel=1e-5)
    assert empty["absent"] == ["text", "picture", "sound", "number"]
    assert full["absent"] == ["picture", "sound", "number"]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_loaded_model_predicts_the_same_bits(table, fusion, tmp_path):
    model = made(table, fusion)
    model.save(tmp_path / "model")
    pd.testing.assert_frame_equal(load(tmp_path / "model").predict(table), model.predict(table), check_exact=True)
    assert load(tmp_path / "model").schema == model.schema


def test_every_trained_parameter_gets_a_gradient(table):
    for fusion in FUSIONS:
        model = made(table, fusion).train()
        batch = next(model.batches(table))
        fused = model.fuse(model.encode(batch.inputs))
        sum(head.loss(fused, batch.targets[name]).sum() for name, head in model.heads.items()).backward()
        without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
        assert not without, (fusion, without)


def test_two_inputs_that_share_an_encoder_share_its_weights_and_are_saved_once(table, tmp_path):
    picture = made(table, "late").encoders["picture"]
    model = Model(
        {"front": picture, "back": picture}, projections={"front": Projection(picture.dim, 4)}, temperature=0.07
    )
    assert len(model.encoders.modules_once) == 1
    model.save(tmp_path / "shared")
    again = load(tmp_path / "shared")
    assert again.encoders["front"] is again.encoders["back"]
    assert again.logit_scale.item() == pytest.approx(np.log(1 / 0.07), rel=1e-6)


def test_an_input_the_model_does_not_have_is_an_error(table):
    model = made(table, "late")
    with pytest.raises(UserError, match="no input 'pictures'; did you mean 'picture'"):
        model.encode({"pictures": Features.one(torch.zeros(1, 4), torch.ones(1, dtype=torch.bool))})


def test_embeddings_have_unit_length_and_are_zero_where_absent(table):
    embedded = made(table, "late").embed(table, "text")
    present = table.present(table.schema.inputs[0])
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), present.astype(float), atol=1e-5)
