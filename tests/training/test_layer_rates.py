"""Learning rates by layer: the blocks of each kind of encoder are found, and the optimiser moves them as they say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2Model,
    ModernBertConfig,
    ModernBertModel,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5EncoderModel,
    WhisperConfig,
    WhisperModel,
)  # fmt: skip

from sensorium.build.model import apply_finetuning, build
from sensorium.config.load import check_recipe
from sensorium.data.read import read
from sensorium.encoders import ENCODERS
from sensorium.errors import UserError
from sensorium.objectives import Supervised
from sensorium.training.layers import layer_scales
from sensorium.training.learner import Learner
from sensorium.training.optimizer import EncoderLearningRate, optimizer
from sensorium.training.settings import TrainingSettings

BERT = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 20}
GPT2 = {"n_embd": 16, "n_layer": 3, "n_head": 2, "vocab_size": 20, "bos_token_id": 0, "eos_token_id": 0}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 3, "num_heads": 2, "vocab_size": 20}
SPEECH = {"d_model": 16, "encoder_layers": 3, "encoder_attention_heads": 2, "encoder_ffn_dim": 16, "vocab_size": 20}
SPEECH |= {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "pad_token_id": 0}

# By model: how to make it with three blocks, and the part of a name that says the block.
MODELS = {
    "bert": (lambda: BertModel(BertConfig(**BERT), add_pooling_layer=False), "encoder.layer.{}."),
    "roberta": (lambda: RobertaModel(RobertaConfig(**BERT), add_pooling_layer=False), "encoder.layer.{}."),
    "distilbert": (
        lambda: DistilBertModel(DistilBertConfig(dim=16, n_layers=3, n_heads=2, hidden_dim=16, vocab_size=20)),
        "transformer.layer.{}.",
    ),
    "modernbert": (lambda: ModernBertModel(ModernBertConfig(**BERT, pad_token_id=0)), "layers.{}."),
    "gpt2": (lambda: GPT2Model(GPT2Config(**GPT2)), "h.{}."),
    "t5": (lambda: T5EncoderModel(T5Config(**T5)), "encoder.block.{}."),
    "whisper": (lambda: WhisperModel(WhisperConfig(**SPEECH)).get_encoder(), "layers.{}."),
}


def by_name(encoder: nn.Module, decay: float = 0.5) -> dict[str, float]:
    scales = layer_scales(encoder, decay, "it")
    return {name: scales[id(one)] for name, one in encoder.named_parameters()}


@pytest.mark.parametrize("name", MODELS)
def test_each_block_of_a_transformers_model_has_half_the_rate_of_the_one_above(name):
    make, block = MODELS[name]
    encoder = nn.Module()
    encoder.body = make()
    scales = by_name(encoder)
    blocks = {key: next((n for n in range(3) if block.format(n) in key), None) for key in scales}
    assert set(blocks.values()) == {0, 1, 2, None}
    for key, number in blocks.items():
        if number is not None:
            assert scales[key] == 0.5 ** (2 - number), key
        elif "embed" in key or "wte" in key or "wpe" in key or "shared" in key:
            assert scales[key] == 0.5**3, key
    norm = [key for key in scales if blocks[key] is None and scales[key] == 1.0]
    assert all("norm" in key.lower() or "ln_f" in key for key in norm), norm


def test_the_blocks_of_our_transformers():
    text = ENCODERS["text"]
    words = text(text.Config(vocabulary=300, width=16, depth=3, heads=2))
    picture = ENCODERS["vit"](ENCODERS["vit"].Config(size=16, width=16, depth=3, heads=2))
    starts = ("transformer.embedding", "transformer.position")
    for encoder, first in ((words, starts), (picture, ("summary", "position", "patches"))):
        for key, scale in by_name(encoder).items():
            block = next((n for n in range(3) if f".blocks.{n}." in key), None)
            below = key.startswith(first)
            assert scale == (0.125 if below else 1.0 if block is None else 0.5 ** (2 - block)), key


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext", "test_efficientnet"])
def test_the_groups_of_timm_fall_from_the_top_to_the_stem(name):
    encoder = nn.Module()
    encoder.model = timm.create_model(name, num_classes=0)
    scales = by_name(encoder)
    order = list(scales.values())
    assert order[0] == min(order) < 0.3 and order == sorted(order), "the model's own order is from the stem up"


def test_the_blocks_of_our_convolutions():
    encoder = ENCODERS["image_conv"].build(ENCODERS["image_conv"].Config(size=16), [], {"records": 4})
    scales = by_name(encoder)
    assert scales["stem.weight"] == 0.5**4 and scales["blocks.0.conv1.weight"] == 0.5**3 and scales["norm.weight"] == 1


def test_an_encoder_without_blocks_is_a_sentence():
    encoder = ENCODERS["table"].build(ENCODERS["table"].Config(), [{"a": 1.0}, {"a": 2.0}], {"records": 2})
    with pytest.raises(UserError, match="TableEncoder of 'price' has no blocks one above the other"):
        layer_scales(encoder, 0.5, "price")


def test_the_optimiser_moves_each_layer_by_its_rate(tmp_path: Path):
    """AdamW's first step is the learning rate in every weight that has a gradient, whatever the gradient."""
    frame = pd.DataFrame({"words": ["a b", "b c", "c a", "a a"] * 5, "y": np.arange(20.0)})
    rows = read(frame, target={"y": "number"}, columns={"words": "text"}, quiet=True)
    settings = {"config": {"width": 16, "depth": 2, "heads": 2, "dropout": 0.0}, "layer_decay": 0.1}
    recipe = check_recipe({"inputs": {"words": settings}})
    model = build(rows, recipe, {})
    apply_finetuning(model, recipe)
    learner = Learner(model, [Supervised("y", 1.0)])
    made = optimizer(
        learner, TrainingSettings(learning_rate=1e-2, weight_decay=0.0), {"words": EncoderLearningRate(1e-3, 0.1)}
    )
    before = {key: value.detach().clone() for key, value in learner.named_parameters()}
    for one in learner.parameters():
        one.grad = torch.ones_like(one)
    made.step()
    rates = {"blocks.1.": 1e-3, "blocks.0.": 1e-4, "embedding": 1e-5, "fusion": 1e-2}
    seen = set()
    for key, value in learner.named_parameters():
        part = next((one for one in rates if one in key), None)
        if part:
            seen.add(part)
            moved = (before[key] - value).abs()
            torch.testing.assert_close(moved, torch.full_like(moved, rates[part]), rtol=1e-2, atol=1e-7)
    assert seen == set(rates)


def test_without_a_rate_of_its_own_the_top_layer_has_that_of_the_rest():
    frame = pd.DataFrame({"words": ["a b", "b c", "c a", "a a"] * 5, "y": np.arange(20.0)})
    rows = read(frame, target={"y": "number"}, columns={"words": "text"}, quiet=True)
    model = build(rows, check_recipe({"inputs": {"words": {"config": {"width": 16, "depth": 2, "heads": 2}}}}), {})
    learner = Learner(model, [Supervised("y", 1.0)])
    made = optimizer(learner, TrainingSettings(learning_rate=1e-2), {"words": EncoderLearningRate(None, 0.5)})
    assert sorted({group["base_lr"] for group in made.param_groups}) == pytest.approx([0.0025, 0.005, 0.01])
