"""A picture that several records share is changed by one chance, and encoded once a step."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import sensorium
from sensorium.data.read import read
from sensorium.data.records import Records
from sensorium.data.scan import scan
from sensorium.encoders.image_augmentation import ImageAugmentation
from sensorium.encoders.image_processor import ImageProcessor, ImageSettings
from sensorium.errors import UserError
from sensorium.objectives.step import Step
from sensorium.training.sampling import grouped
from tests.objectives.test_albef import batch_of, tiny


@pytest.fixture
def asked(tmp_path):
    """Twelve questions about four pictures, three about each, and the picture's name."""
    chance = np.random.default_rng(0)
    for place in range(4):
        Image.fromarray(chance.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(tmp_path / f"{place}.png")
    names = [f"{place % 4}.png" for place in range(12)]
    frame = pd.DataFrame({"photo": names, "of": names, "question": [f"what is {row}?" for row in range(12)]})
    frame["answer"] = ["yes", "no"] * 6
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def test_equal_pictures_of_a_step_are_encoded_once_with_the_same_features_and_gradients():
    model, batch = tiny(), batch_of()
    seen = []
    model.encoders["image"].register_forward_hook(lambda _, given, __: seen.append(len(given[0]["pixels"])))
    once = Step(model, batch).features("image")
    apart = model.encode({"image": batch.inputs["image"]})["image"]
    assert seen == [4, 5]
    for one, other in zip(once, apart, strict=True):
        torch.testing.assert_close(one, other)
    weights = list(model.encoders["image"].parameters())
    found = [torch.autograd.grad(one.tokens.square().sum(), weights) for one in (once, apart)]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_absent_rows_stay_absent_beside_equal_pictures():
    model, batch = tiny(), batch_of()
    batch.inputs["image"]["mask"][1] = False
    batch.ids["image"][1] = 0
    once = Step(model, batch).features("image")
    apart = model.encode({"image": batch.inputs["image"]})["image"]
    assert once.present.tolist() == [True, False, True, True, True]
    torch.testing.assert_close(once.tokens, apart.tokens)


def test_records_of_one_picture_see_it_changed_alike_in_an_epoch_whoever_is_beside_them(asked):
    table = read(asked, target="answer", columns={"of": "ignored", "photo": "image"}, quiet=True)
    processor = ImageProcessor(ImageSettings(size=16, augmentation=ImageAugmentation()))
    records = Records(table, {"photo": processor}, scan(table).ids)
    pixels = records.batch(np.arange(12), epoch=0).inputs["photo"]["pixels"]
    assert torch.equal(pixels[:4], pixels[4:8]) and not torch.equal(pixels[0], pixels[1])
    assert torch.equal(records.batch(np.array([5]), epoch=0).inputs["photo"]["pixels"][0], pixels[1])
    assert not torch.equal(records.batch(np.arange(4), epoch=1).inputs["photo"]["pixels"], pixels[:4])


def test_grouped_rows_come_together_in_another_order_each_epoch(asked):
    table = read(asked, target="answer", group="of", columns={"photo": "image"}, quiet=True)
    records = Records(table, {})
    first, again, next_one = grouped(records, 0, 0), grouped(records, 0, 0), grouped(records, 0, 1)
    assert sorted(first) == list(range(12)) and (first == again).all() and (first != next_one).any()
    assert all(len(set(first[place : place + 3] % 4)) == 1 for place in (0, 3, 6, 9))


def test_grouped_without_a_group_is_refused(asked, tmp_path):
    with pytest.raises(UserError, match="no column is named that groups the records; name it with --group"):
        sensorium.fit(asked, tmp_path / "run", target="answer", sampling="grouped", quiet=True)


def test_a_fit_of_grouped_records(asked, tmp_path):
    run = sensorium.fit(
        asked, tmp_path / "run", target="answer", group="of", sampling="grouped", epochs=1, batch_size=6, workers=0,
        quiet=True,
    )  # fmt: skip
    assert run.metrics["targets"]["answer"]["accuracy"]["value"] >= 0
