"""The files of a published CLIP in every form that Transformers has written over the years."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sensorium.encoders.clip_image import MEAN, STD
from sensorium.errors import UserError
from sensorium.families.clip_files import read_preparation, read_tokenizer, read_weights
from tests.parity.published import tokenizer

SQUARE, EDGE = {"height": 16, "width": 16}, {"shortest_edge": 16}
NAMES = ("model.safetensors", "pytorch_model.bin")


def prepared(folder: Path, settings: Any, siglip: bool = False, name: str = "preprocessor_config.json") -> dict:
    (folder / name).write_text(json.dumps(settings))
    return read_preparation(folder, 16, siglip)


@pytest.mark.parametrize("size", [16, EDGE, EDGE | {"longest_edge": None}, None])
@pytest.mark.parametrize("crop", [16, [16, 16], SQUARE, None])
def test_a_clip_cuts_the_middle_out(tmp_path: Path, size: Any, crop: Any):
    fitted = prepared(tmp_path, {"size": size, "crop_size": crop})
    assert fitted == {"fit": "crop", "crop_offset": "down", "interpolation": "bicubic", "mean": MEAN, "std": STD}


@pytest.mark.parametrize("size", [[16, 16], SQUARE, {"height": 16}])
def test_a_height_and_a_width_stretch(tmp_path: Path, size: Any):
    assert prepared(tmp_path, {"size": size, "crop_size": [16, 16]})["fit"] == "squash"
    assert prepared(tmp_path, {"size": size, "do_center_crop": False})["fit"] == "squash"


@pytest.mark.parametrize("size", [16, [16, 16], SQUARE, None])
def test_a_siglip_stretches_and_has_means_of_its_own(tmp_path: Path, size: Any):
    half = (0.5, 0.5, 0.5)
    expected = {"fit": "squash", "crop_offset": "down", "interpolation": "bicubic", "mean": half, "std": half}
    assert prepared(tmp_path, {"size": size}, siglip=True) == expected


@pytest.mark.parametrize("resample", [2, "2", "bilinear", "BILINEAR", "PIL.Image.BILINEAR", "Resampling.BILINEAR"])
def test_a_resampling_by_number_or_name(tmp_path: Path, resample: Any):
    assert prepared(tmp_path, {"resample": resample})["interpolation"] == "bilinear"


def test_a_single_mean_and_a_processor_file(tmp_path: Path):
    settings = {"image_processor": {"image_mean": 0.25, "image_std": [1, 1, 1]}}
    fitted = prepared(tmp_path, settings, name="processor_config.json")
    assert (fitted["mean"], fitted["std"]) == ((0.25, 0.25, 0.25), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"size": [16]}, "does not say how"),
        ({"size": "large"}, "does not say how"),
        ({"size": {"shortest_edge": [16]}}, "does not say how"),
        ({"crop_size": -1}, "does not say how"),
        ({"image_mean": [0.5, 0.5]}, "does not say how"),
        ({"image_std": {"r": 1}}, "does not say how"),
        ({"rescale_factor": "small"}, "does not say how"),
        ({"size": {}}, "in a way that is not ours"),
        ({"size": [16, 24]}, "in a way that is not ours"),
        ({"crop_size": [16, 24]}, "in a way that is not ours"),
        ({"resample": [3]}, "in a way that is not ours"),
        ({"size": 32, "crop_size": 32}, "brings pictures to 32 pixels"),
        ([16], "not a JSON object"),
    ],
)
def test_an_odd_preparation_is_a_sentence(tmp_path: Path, settings: Any, sentence: str):
    with pytest.raises(UserError, match=sentence):
        prepared(tmp_path, settings)


def test_a_processor_file_without_pictures(tmp_path: Path):
    with pytest.raises(UserError, match="no preprocessor_config.json"):
        prepared(tmp_path, {"processor_class": "CLIPProcessor"}, name="processor_config.json")


def sharded(folder: Path, name: str) -> dict[str, str]:
    """Weights in two files with their index; which is in which."""
    stem, suffix = name.rsplit(".", 1)
    files = [f"{stem}-0000{number}-of-00002.{suffix}" for number in (1, 2)]
    for number, file in enumerate(files):
        tensors = {f"w{number}{letter}": torch.full((2,), float(number)) for letter in "ab"[: number + 1]}
        (save_file if suffix == "safetensors" else torch.save)(tensors, folder / file)
    weight_map = {"w0a": files[0], "w1a": files[1], "w1b": files[1]}
    (folder / f"{name}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return weight_map


@pytest.mark.parametrize("name", NAMES)
def test_weights_in_several_files(tmp_path: Path, name: str):
    weight_map = sharded(tmp_path, name)
    tensors = read_weights(tmp_path, NAMES)
    assert tensors.keys() == weight_map.keys() and tensors["w1b"].tolist() == [1.0, 1.0]
    (tmp_path / weight_map["w1a"]).unlink()
    with pytest.raises(UserError, match=f"no {weight_map['w1a']} in .*one of the 2 files"):
        read_weights(tmp_path, NAMES)


@pytest.mark.parametrize("weight_map", [None, {}, ["a"], {"w": 3}, {"w": "../secret.bin"}, {"w": "folder/x.bin"}])
def test_an_index_that_names_no_files(tmp_path: Path, weight_map: Any):
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(UserError, match="does not say which files"):
        read_weights(tmp_path, NAMES)


def test_a_padding_that_is_no_token(tmp_path: Path):
    tokenizer().save_pretrained(tmp_path)
    for pad in ({"id": 3}, 3, ["<pad>"]):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"pad_token": pad}))
        assert read_tokenizer(tmp_path, 8, 1).pad_token == 1
