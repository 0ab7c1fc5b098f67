"""Florence-2 against Transformers on tiny random models: features, states, logits, tokens, places, folders."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoProcessor, Florence2ForConditionalGeneration

from sensorium.errors import UserError
from sensorium.families.checkpoints import convert
from sensorium.families.florence import florence
from sensorium.families.florence_tasks import TASKS
from sensorium.features import Features
from sensorium.generation.settings import Generation
from sensorium.inference.task_request import Asked
from sensorium.inference.tasks import _prompt, _read
from sensorium.model import Model, load
from tests.florence_scenes import (
    BOS,
    END,
    PAD,
    PUBLISHED,
    SIZES,
    WORDS,
    folder_of,
    original_folder_of,
    picture,
    processor,
    published,
    tokenizer,
)

LONGEST = 20
SIZE = (500, 300)  # of a picture, in pixels
ASKED = Asked(tuple(TASKS), "a red car", (50.2, 60.1, 250.2, 180.2))


@pytest.fixture(scope="module", params=SIZES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Any, Any]:
    size = request.param
    model = published(size)
    return florence(folder_of(model, tmp_path_factory.mktemp(size) / "model", size)), model, processor(size)


def prompt(model: Model, task: str) -> str:
    return _prompt(model.encoders["prompt"].processor, TASKS[task], ASKED, SIZE)


@torch.no_grad()
def encoded(model: Model, tasks: list[str], pictures: list[np.ndarray]) -> tuple[Features, Features, Tensor]:
    """What our encoder of pictures says, the fused tokens of all prompts, and the pixels as Transformers takes them."""
    seen, read = (model.encoders[name].processor for name in ("image", "prompt"))
    pixels = seen.pad([seen(value) for value in pictures])
    features = model.encode({"image": pixels, "prompt": read.pad([read(prompt(model, task)) for task in tasks])})
    normalised = model.encoders["image"].normalise(pixels["pixels"]).contiguous()
    return features["image"], model.fuse(features), normalised


@torch.no_grad()
def test_features_states_and_logits(pair):
    model, peer, peers = pair
    tasks = ["caption", "detect", "ground", "region to text"]
    pictures = [picture(seed) for seed in range(4)]
    features, fused, pixels = encoded(model, tasks, pictures)
    torch.testing.assert_close(features.tokens, peer.get_image_features(pixels).pooler_output, rtol=1e-5, atol=1e-5)
    head, tokens = model.heads["text"], torch.randint(4, WORDS, (4, 6), generator=torch.Generator().manual_seed(0))
    ours, state = head.begin(fused, tokens[:, :1])
    for row, task in enumerate(tasks):
        inputs = peers(text=PUBLISHED[task], images=picture(row), return_tensors="pt")
        expected = peer(
            input_ids=inputs["input_ids"], pixel_values=pixels[row : row + 1],
            decoder_input_ids=torch.cat([torch.tensor([[END, BOS]]), tokens[row : row + 1]], dim=1),
        )  # fmt: skip
        states = fused.tokens[row][fused.mask[row]]
        torch.testing.assert_close(states, expected.encoder_last_hidden_state[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours[row], expected.logits[0, 2], rtol=1e-5, atol=1e-5)
        target = {"tokens": tokens[row : row + 1, None], "real": torch.ones(1, 1, 6, dtype=torch.bool)}
        loss = head.loss(fused.take(torch.tensor([row])), target | {"weight": torch.ones(1, 1)})
        expected_loss = torch.nn.functional.cross_entropy(expected.logits[0, 1:7], tokens[row])
        torch.testing.assert_close(loss[0], expected_loss, rtol=1e-5, atol=1e-5)
    stepped = head.step(tokens[:, 1], state)
    assert stepped.shape == ours.shape and not torch.allclose(stepped, ours)


def test_prompts_are_those_of_transformers(pair):
    model, _, peers = pair
    for task, text in PUBLISHED.items():
        expected = peers(text=text, images=picture(), return_tensors="pt")["input_ids"][0]
        expected = expected[expected != peers.image_token_id]
        assert torch.equal(model.encoders["prompt"].processor(prompt(model, task))["tokens"], expected), task
    assert PUBLISHED.keys() == TASKS.keys()


def test_a_picture_is_prepared_as_transformers_does(pair):
    model, _, peers = pair
    value = picture(3, 90, 61)
    expected = peers.image_processor(value, return_tensors="pt")["pixel_values"][0]
    encoder = model.encoders["image"]
    ours = encoder.normalise(encoder.processor.pad([encoder.processor(value)])["pixels"])[0]
    assert (ours - expected).abs().max() < 1.5 / 255 / 0.2  # a level of grey


@pytest.mark.parametrize("beams", [1, 3])
@torch.no_grad()
def test_the_tokens_of_generate_for_all_tasks(pair, beams: int):
    model, peer, peers = pair
    tasks = list(TASKS)
    _, fused, pixels = encoded(model, tasks, [picture(seed) for seed in range(len(tasks))])
    settings = Generation(beams=beams, max_tokens=LONGEST, no_repeat_ngram=3)
    written = model.heads["text"].predict(fused, settings)["tokens"][:, 0]
    for row, task in enumerate(tasks):
        inputs = peers(text=PUBLISHED[task], images=picture(), return_tensors="pt")
        expected = peer.generate(
            input_ids=inputs["input_ids"], pixel_values=pixels[row : row + 1], num_beams=beams, do_sample=False,
            max_new_tokens=LONGEST + 1, no_repeat_ngram_size=3,
        )[0, 2:]  # fmt: skip
        expected = expected[: (expected == END).int().argmax() if (expected == END).any() else None]
        ours = written[row][: len(expected)]
        assert torch.equal(ours, expected) and (written[row][len(expected) :] == PAD).all(), task
    lengths = (written != PAD).sum(dim=1).unique()
    assert len(written.unique(dim=0)) > 8 and (len(lengths) > 3 or written.shape[1] == lengths.max() == LONGEST)


# Texts that a decoder might write at a task, as tokens of places and of labels, well-formed and not.
WRITTEN = {
    "detect": "car<loc_10><loc_20><loc_310><loc_420>wheel<loc_0><loc_1><loc_98><loc_999><loc_5><loc_6><loc_50><loc_60>",
    "regions": "a car on a road<loc_10><loc_20><loc_310><loc_420>sky<loc_3><loc_4>",
    "proposals": "<loc_10><loc_20><loc_310><loc_420><loc_1><loc_2><loc_30><loc_40>",
    "ground": "a red car<loc_10><loc_20><loc_310><loc_420><loc_7><loc_8><loc_9><loc_10>",
    "open vocabulary detection": "a red car<loc_10><loc_20><loc_310><loc_420>",
    "segment": "<loc_1><loc_2><loc_30><loc_4><loc_50><loc_60><loc_7><sep><loc_3><loc_4><loc_5><loc_66><loc_70><loc_8>",
    "region to segment": "<poly><loc_1><loc_2><loc_30><loc_4><loc_50><loc_60></poly>",
    "read with regions": "STOP<loc_1><loc_2><loc_30><loc_4><loc_50><loc_60><loc_7><loc_88>GO<loc_1><loc_2>",
}


@pytest.mark.parametrize("task", WRITTEN)
def test_places_are_those_of_transformers(pair, task: str):
    model, _, peers = pair
    tokens = model.heads["text"].processor
    ids = torch.tensor([[tokens(WRITTEN[task])[:-1]]])
    logprobs = -torch.rand(ids.shape, generator=torch.Generator().manual_seed(0))
    written = {"tokens": ids, "logprobs": logprobs, "probability": logprobs.sum(dim=2).exp()}
    answer = _read(tokens, written | {"finished": torch.ones(1, 1, dtype=torch.bool)}, 0, TASKS[task], ASKED)
    (expected,) = peers.post_process_generation(
        text=WRITTEN[task], task=PUBLISHED[task].split(">")[0] + ">", image_size=SIZE
    ).values()
    names = {"bboxes", "quad_boxes", "polygons"} & expected.keys()
    points = [numbers for name in names for numbers in expected[name]]
    points = [numbers for entry in points for numbers in (entry if isinstance(entry[0], list) else [entry])]
    assert len(points) == len(answer.places) > 0
    for place, numbers in zip(answer.places, points, strict=True):
        ours = np.array(place.points).reshape(-1, 2) * SIZE
        # Transformers cuts to whole pixels.
        assert (np.abs(ours - np.array(numbers).reshape(-1, 2)) <= 1).all()
        assert (np.abs(np.floor(ours) - np.array(numbers).reshape(-1, 2)) <= 0.5 * np.array(SIZE) / 1000).all()
        assert 0 < place.score < 1
    labels = [label for name, values in expected.items() if name.endswith("labels") for label in values]
    if task in ("detect", "regions", "ground", "read with regions"):
        assert [place.label for place in answer.places] == labels


def states_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(second[name], weight) for name, weight in first.items())


@pytest.mark.parametrize("size", SIZES)
def test_transformers_layout_both_ways(tmp_path: Path, size: str):
    model = published(size)
    source = folder_of(model, tmp_path / "published", size)
    convert(source, tmp_path / "ours")
    convert(tmp_path / "ours", tmp_path / "again", to="transformers")
    assert states_equal(load_file(source / "model.safetensors"), load_file(tmp_path / "again" / "model.safetensors"))
    written = Florence2ForConditionalGeneration.from_pretrained(tmp_path / "again")
    assert states_equal(written.state_dict(), model.state_dict())
    assert written.generation_config.forced_bos_token_id == BOS
    again, before = (AutoProcessor.from_pretrained(folder) for folder in (tmp_path / "again", source))
    inputs = [each(text="<OD>", images=picture(), return_tensors="pt") for each in (again, before)]
    assert all(torch.equal(inputs[0][name], inputs[1][name]) for name in ("input_ids", "pixel_values"))
    assert again.tokenizer.get_vocab() == before.tokenizer.get_vocab()


@torch.no_grad()
def test_microsofts_layout_both_ways(tmp_path: Path):
    model = published("deep", words=WORDS)
    source = original_folder_of(model, tmp_path / "published", "deep")
    ours = convert(source, tmp_path / "ours")
    features, fused, pixels = encoded(ours, ["detect"], [picture()])
    torch.testing.assert_close(features.tokens, model.get_image_features(pixels).pooler_output, rtol=1e-5, atol=1e-5)
    expected = model.model.language_model.decoder(
        input_ids=torch.tensor([[END, BOS]]), encoder_hidden_states=fused.tokens
    )
    logits = model.lm_head(expected.last_hidden_state[0, -1])
    torch.testing.assert_close(load(tmp_path / "ours").heads["text"].begin(fused)[0][0], logits, rtol=1e-5, atol=1e-5)
    convert(tmp_path / "ours", tmp_path / "again", to="florence")
    assert states_equal(load_file(source / "model.safetensors"), load_file(tmp_path / "again" / "model.safetensors"))
    assert states_equal(load(tmp_path / "ours").state_dict(), convert(tmp_path / "again", tmp_path / "b").state_dict())
    # Older files are pickled, and hold the table of words under all of its names.
    tensors = load_file(source / "model.safetensors")
    shared = tensors["language_model.model.shared.weight"]
    tensors |= dict.fromkeys(
        ("language_model.lm_head.weight", "language_model.model.encoder.embed_tokens.weight"), shared
    )
    (source / "model.safetensors").unlink()
    torch.save(tensors, source / "pytorch_model.bin")
    assert states_equal(florence(source).state_dict(), load(tmp_path / "ours").state_dict())
    # In Transformers' layout there is a token that stands for pictures, which is never the likeliest word.
    convert(tmp_path / "ours", tmp_path / "theirs", to="transformers")
    theirs = florence(tmp_path / "theirs")
    wider = theirs.heads["text"].begin(encoded(theirs, ["detect"], [picture()])[1])[0][0]
    torch.testing.assert_close(wider[:WORDS], logits, rtol=1e-5, atol=1e-5)
    assert len(wider) % 64 == 0 and wider[WORDS:].max() < logits.max()
    assert AutoProcessor.from_pretrained(tmp_path / "theirs").image_token_id == WORDS


def test_what_is_no_florence_is_said(tmp_path: Path):
    source = folder_of(published(), tmp_path / "published")
    tokenizer(marks=False).save(str(source / "tokenizer.json"))
    with pytest.raises(UserError, match="no location tokens"):
        convert(source, tmp_path / "ours")
    original = original_folder_of(published(words=WORDS), tmp_path / "original")
    config = json.loads((original / "config.json").read_text())
    config["vision_config"]["image_feature_source"] = ["last_frame"]
    (original / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="more or less of a picture"):
        convert(original, tmp_path / "ours")
    config["vision_config"] |= {"image_feature_source": ["spatial_avg_pool", "temporal_avg_pool"], "depths": [1, 2]}
    (original / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="lacks .* weights"):
        convert(original, tmp_path / "ours")
