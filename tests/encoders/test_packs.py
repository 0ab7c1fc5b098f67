"""Weights that packages bring: how they are named, and what is said when they are missing."""

import importlib
import sys

import numpy as np
import pytest

from sensorium.encoders import ENCODERS
from sensorium.encoders.transformers_text import TransformersText, TransformersTextConfig
from sensorium.errors import UserError
from sensorium.nn import packs as module
from sensorium.nn.packs import PACKS, resolve


def test_weights_are_located_without_importing_their_packages(packs):
    before = set(sys.modules)
    for name, pack in packs.items():
        assert resolve(name) == str(pack.location)
        assert pack.location.exists()
    assert not {pack.module for pack in packs.values()} & (set(sys.modules) - before)


def test_any_other_source_stays_as_it_is():
    assert resolve("./minilm") == "./minilm"
    assert resolve("openai/whisper-tiny") == "openai/whisper-tiny"


@pytest.mark.parametrize("name", PACKS)
def test_each_pack_is_read_by_an_encoder_of_its_modality(name, monkeypatch):
    pack = PACKS[name]
    encoder = ENCODERS[pack.encoder]
    assert encoder.modality == pack.modality
    monkeypatch.setattr(module, "find_spec", lambda package: None)
    with pytest.raises(UserError, match=rf"'{pack.package}', which is not installed: .*sensorium\[models\]"):
        encoder.build(encoder.Config(**pack.config), [], {})


def test_a_package_without_its_weights_is_a_sentence(tmp_path, monkeypatch):
    package = tmp_path / PACKS["minilm"].module
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(UserError, match="has no model; reinstall it"):
        resolve("minilm")


def test_a_built_encoder_names_the_pack_and_no_folder(packs):
    encoder = TransformersText.build(TransformersTextConfig(model="minilm"), [], {}, summary_only=True).eval()
    assert encoder.config.model == "minilm"
    assert "site-packages" not in encoder.config.model_dump_json()
    texts = ("a cat", "a kitten", "tax law")
    inputs = encoder.processor.pad([encoder.processor(text) for text in texts])
    cat, kitten, law = encoder(inputs).pooled.detach().numpy()
    assert np.corrcoef(cat, kitten)[0, 1] > np.corrcoef(cat, law)[0, 1] + 0.2
