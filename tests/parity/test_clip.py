"""Published CLIP and SigLIP models give the same logits here, and ours give the same logits there."""

from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoProcessor, AutoTokenizer, CLIPModel, SiglipModel

from sensorium.families.clip_checkpoints import convert
from sensorium.model import Model, load
from tests.parity.published import (
    CONTEXT,
    MEAN,
    STD,
    TEXTS,
    normalised,
    open_clip_folder,
    open_clip_siglip_folder,
    pictures,
    pixels,
    tokenizer,
    transformers_folder,
)

OPENAI = (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
TIGHT = {"rtol": 1e-5, "atol": 1e-5}


def ours(model: Model, texts: list[str] = TEXTS) -> Tensor:
    """logits_per_image [pictures, texts] of our model, from the same pixels and from texts by its own tokenizer."""
    processor = model.encoders["text"].processor
    words = processor.pad([processor(text) for text in texts])
    inputs = {"image": {"pixels": pixels(), "mask": torch.ones(4, 1, dtype=torch.bool)}, "text": words}
    with torch.no_grad():
        features = model.encode(inputs)
        image, text = (model.embedding(name, features[name]) for name in ("image", "text"))
        return model.logit_scale.exp() * image @ text.T + getattr(model, "logit_bias", 0.0)


def theirs(model: nn.Module, folder: Path) -> Tensor:
    """The same of Transformers' model, from the token numbers of its own tokenizer."""
    siglip = isinstance(model, SiglipModel)
    padding = "max_length" if siglip else True
    words = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=padding, truncation=True, return_tensors="pt")
    masks = {} if siglip else {"attention_mask": words["attention_mask"]}
    with torch.no_grad():
        return model(input_ids=words["input_ids"], pixel_values=normalised(pixels()), **masks).logits_per_image


def open_clips(model: nn.Module, pad: int, prepared: tuple = (MEAN, STD)) -> Tensor:
    """The same of open_clip's model."""
    rows = [torch.tensor(tokenizer()(text, truncation=True)["input_ids"]) for text in TEXTS]
    ids = torch.stack([nn.functional.pad(row, (0, CONTEXT - len(row)), value=pad) for row in rows])
    with torch.no_grad():
        return model.get_logits(normalised(pixels(), *prepared), ids)[0]


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu", "gelu_pytorch_tanh"])
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_transformers_model_gives_its_logits_here_and_back_there(tmp_path: Path, kind: str, activation: str):
    published = transformers_folder(tmp_path / "theirs", kind, activation)
    wanted = theirs(published, tmp_path / "theirs")
    convert(tmp_path / "theirs", tmp_path / "ours")
    model = load(tmp_path / "ours")
    torch.testing.assert_close(ours(model), wanted, **TIGHT)

    convert(tmp_path / "ours", tmp_path / "back", to="transformers")
    back = {"clip": CLIPModel, "siglip": SiglipModel}[kind].from_pretrained(tmp_path / "back").eval()
    torch.testing.assert_close(theirs(back, tmp_path / "back"), wanted, rtol=0, atol=0)
    for name, value in published.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name


def test_openais_rule_for_the_end_of_a_text_is_kept(tmp_path: Path):
    published = transformers_folder(tmp_path / "theirs", "clip", "quick_gelu", end=2)
    model = convert(tmp_path / "theirs", tmp_path / "ours")
    assert model.encoders["text"].config.pooling == "largest"
    torch.testing.assert_close(ours(model), theirs(published, tmp_path / "theirs"), **TIGHT)
    convert(tmp_path / "ours", tmp_path / "back", to="transformers")
    assert CLIPModel.from_pretrained(tmp_path / "back").config.text_config.eos_token_id == 2


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("text", [{}, {"pool_type": "eos", "eos_id": 299}, {"no_causal_mask": True}])
def test_an_open_clip_model_gives_its_logits_here_and_back_there(tmp_path: Path, quick: bool, text: dict):
    if "eos_id" in text:
        text = text | {"eos_id": tokenizer().eos_token_id}
    published = open_clip_folder(tmp_path / "theirs", quick, **text)
    wanted = open_clips(published, pad=tokenizer().pad_token_id)
    model = convert(tmp_path / "theirs", tmp_path / "ours")
    torch.testing.assert_close(ours(load(tmp_path / "ours")), wanted, **TIGHT)
    assert model.encoders["text"].config.activation == ("quick_gelu" if quick else "gelu")
    if "no_causal_mask" in text:
        return
    convert(tmp_path / "ours", tmp_path / "back", to="open_clip")
    back = open_clip.create_model(f"local-dir:{tmp_path / 'back'}").eval()
    torch.testing.assert_close(open_clips(back, pad=0), wanted, rtol=0, atol=0)
    ids = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'back'}")(TEXTS)
    for row, words in zip(ids, TEXTS, strict=True):
        own = model.encoders["text"].processor(words)["tokens"]
        assert torch.equal(row[: len(own)], own) and not row[len(own) :].any()
    before, after = (load_file(tmp_path / one / "open_clip_model.safetensors") for one in ("theirs", "back"))
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_open_clips_siglip_gives_its_logits_here_and_in_transformers(tmp_path: Path):
    published = open_clip_siglip_folder(tmp_path / "theirs")
    wanted = open_clips(published, pad=tokenizer().pad_token_id)
    convert(tmp_path / "theirs", tmp_path / "ours")
    torch.testing.assert_close(ours(load(tmp_path / "ours")), wanted, **TIGHT)
    convert(tmp_path / "ours", tmp_path / "transformers", to="transformers")
    moved = SiglipModel.from_pretrained(tmp_path / "transformers").eval()
    torch.testing.assert_close(theirs(moved, tmp_path / "transformers"), wanted, **TIGHT)
    convert(tmp_path / "transformers", tmp_path / "back", to="open_clip")
    back = open_clip.create_model(f"local-dir:{tmp_path / 'back'}").eval()
    torch.testing.assert_close(open_clips(back, pad=tokenizer().pad_token_id), wanted, rtol=0, atol=0)


def test_openais_state_dictionary_is_read_with_its_activation(tmp_path: Path):
    published = _with_heads_of_64(tmp_path / "theirs")
    numbers = {"input_resolution": 32, "context_length": CONTEXT, "vocab_size": 300}
    state = published.state_dict() | {name: torch.tensor(value) for name, value in numbers.items()}
    (tmp_path / "theirs" / "open_clip_config.json").unlink()
    torch.save({name: value.half() for name, value in state.items()}, tmp_path / "theirs" / "weights.pt")
    model = convert(tmp_path / "theirs" / "weights.pt", tmp_path / "ours")
    assert model.encoders["image"].config.activation == model.encoders["text"].config.activation == "quick_gelu"
    published.load_state_dict({name: value.half().float() for name, value in published.state_dict().items()})
    torch.testing.assert_close(ours(model), open_clips(published, 0, OPENAI), **TIGHT)


def test_a_training_checkpoint_is_read_with_the_stated_activation(tmp_path: Path):
    published = _with_heads_of_64(tmp_path / "theirs")
    (tmp_path / "theirs" / "open_clip_config.json").unlink()
    state = {f"module.{name}": value for name, value in published.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "theirs" / "epoch_3.pt")
    model = convert(tmp_path / "theirs" / "epoch_3.pt", tmp_path / "ours", activation="quick_gelu")
    torch.testing.assert_close(ours(model), open_clips(published, 0, OPENAI), **TIGHT)


def _with_heads_of_64(folder: Path) -> nn.Module:
    """open_clip's and OpenAI's bare weights do not say how wide a head is; it is 64."""
    return open_clip_folder(folder, True, {"width": 128, "head_width": 64}, width=64, heads=1)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_text_alone_is_that_text_in_a_batch(tmp_path: Path, kind: str):
    transformers_folder(tmp_path / "theirs", kind, "gelu")
    model = convert(tmp_path / "theirs", tmp_path / "ours")
    together = ours(model)
    for column, text in enumerate(TEXTS):
        torch.testing.assert_close(ours(model, [text])[:, 0], together[:, column], **TIGHT)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_pictures_are_prepared_as_the_published_processor_does(tmp_path: Path, kind: str):
    transformers_folder(tmp_path / "theirs", kind, "gelu")
    model = convert(tmp_path / "theirs", tmp_path / "ours")
    convert(tmp_path / "ours", tmp_path / "back", to="transformers")
    encoder = model.encoders["image"]
    for picture in pictures():
        own = encoder.scale(encoder.processor(picture)["pixels"])
        for folder in ("theirs", "back"):
            published = AutoProcessor.from_pretrained(tmp_path / folder, use_fast=True)
            wanted = published(images=picture, return_tensors="pt")["pixel_values"][0]
            assert (own - wanted).abs().max() < 0.1  # a grey level or two of the resize, whose rounding differs
