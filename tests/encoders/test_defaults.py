"""The encoder of an input for which nobody names one."""

import numpy as np
import pytest

import sensorium
from sensorium.encoders.defaults import choose_encoder

FACTS = {"records": 8, "rate": 8000, "seconds": 0.1, "longest": 0.1}


@pytest.mark.parametrize("kind, config", [("class", {"quick": True}), ("text", {})])
def test_a_sound_of_which_a_text_is_written_keeps_its_frames(kind, config):
    generator = np.random.default_rng(0)
    records = [
        {"voice": (generator.normal(size=800).astype(np.float32), 8000), "says": "no" if row % 2 else "yes"}
        for row in range(8)
    ]
    table = sensorium.read(records, target={"says": kind}, columns={"voice": "audio"}, quiet=True)
    choice = choose_encoder(table.schema.inputs[0], table, FACTS)
    assert (choice.encoder, choice.config) == ("audio_conv", config)


@pytest.mark.parametrize("kind, config", [("class", {"quick": True}), ("text", {"quick": True, "augmentation": None})])
def test_a_picture_of_which_a_text_is_written_stays_as_it_is(kind, config):
    pictures = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 3), dtype=np.uint8)
    records = [{"photo": picture, "says": "no" if row % 2 else "yes"} for row, picture in enumerate(pictures)]
    table = sensorium.read(records, target={"says": kind}, columns={"photo": "image"}, quiet=True)
    choice = choose_encoder(table.schema.inputs[0], table, {"records": 8, "height": 24, "width": 24})
    assert (choice.encoder, choice.config) == ("image_conv", config)
