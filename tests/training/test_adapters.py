"""Low-rank adapters: they alone are trained; merged they say the same; a run with them resumes and is a plain model."""

import builtins
import copy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model

import sensorium
from sensorium.encoders import ENCODERS
from sensorium.errors import UserError
from sensorium.runs.run import fit
from sensorium.training.adapters import AdapterSettings, adapt, merge
from tests.journeys import Journey, check_same, make

BERT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 20}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 20, "bos_token_id": 0, "eos_token_id": 0}


def bert() -> nn.Module:
    return BertModel(BertConfig(**BERT), add_pooling_layer=False)


MODELS = {
    "bert": bert,
    "gpt2": lambda: GPT2Model(GPT2Config(**GPT2)),
    **{
        name: lambda name=name: timm.create_model(name, num_classes=0)
        for name in ("test_vit", "test_resnet", "test_efficientnet", "test_convnext")
    },
}


def world(name: str) -> tuple[nn.Module, Tensor]:
    """A module that holds the model, as an encoder does, and what it reads."""
    torch.manual_seed(0)
    encoder = nn.Module()
    encoder.body = MODELS[name]().eval()
    return encoder, torch.randint(20, (3, 5)) if name in ("bert", "gpt2") else torch.randn(3, 3, 64, 64)


def run(encoder: nn.Module, inputs: Tensor) -> Tensor:
    found = encoder.body(inputs) if inputs.is_floating_point() else encoder.body(input_ids=inputs).last_hidden_state
    return found


def trained(encoder: nn.Module) -> list[str]:
    return [name for name, one in encoder.named_parameters() if one.requires_grad]


@pytest.mark.parametrize("name", MODELS)
def test_only_adapters_move_and_merged_they_say_the_same(name):
    encoder, inputs = world(name)
    before, plain = run(encoder, inputs).detach(), copy.deepcopy(encoder.state_dict())
    adapt(encoder, AdapterSettings(rank=4), "it", seed=0)
    torch.testing.assert_close(run(encoder, inputs), before, rtol=0, atol=1e-6)
    assert trained(encoder) and all("lora_" in one for one in trained(encoder))
    optimizer = torch.optim.AdamW([one for one in encoder.parameters() if one.requires_grad], lr=0.05)
    for _ in range(3):
        run(encoder, inputs).sin().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(one.grad is None for one in encoder.parameters())
    base = {key.replace(".base_layer", ""): value for key, value in encoder.state_dict().items() if "lora_" not in key}
    assert base.keys() == plain.keys() and all(torch.equal(value, plain[key]) for key, value in base.items())
    with torch.no_grad():
        adapted = run(encoder, inputs)
        merge(encoder)
        merged = run(encoder, inputs)
    assert (adapted - before).abs().max() > 1e-5 * before.abs().max()
    assert (merged - adapted).abs().max() <= 1e-5 * adapted.abs().max()
    assert encoder.state_dict().keys() == plain.keys() and not hasattr(encoder.body, "peft_config")


@pytest.mark.parametrize(
    ("name", "targets", "expected"),
    [
        ("bert", None, {"query", "key", "value", "dense"}),
        ("bert", ["query", "layer.1.attention.output.dense"], {"query", "dense"}),
        ("gpt2", None, {"c_attn", "c_proj", "c_fc"}),
        ("test_vit", None, {"qkv", "proj", "fc1", "fc2"}),
        ("test_convnext", None, {"fc1", "fc2"}),
        ("test_resnet", ["conv2"], {"conv2"}),
    ],
)
def test_the_layers_that_get_adapters(name, targets, expected):
    encoder, _ = world(name)
    adapt(encoder, AdapterSettings(targets=targets), "it", seed=0)
    assert {one.split(".lora_")[0].rsplit(".", 1)[-1] for one in trained(encoder)} == expected
    if targets and len(targets) == 2:
        assert sum("dense" in one for one in trained(encoder)) == 2, "of one layer alone: A and B"


def test_the_same_seed_gives_the_same_adapters_and_takes_no_chance_of_others():
    states = []
    for seed in (5, 5, 6):
        encoder, _ = world("bert")
        torch.manual_seed(1)
        adapt(encoder, AdapterSettings(), "it", seed)
        states.append({key: value for key, value in encoder.state_dict().items() if "lora_A" in key})
        drawn = torch.rand(1)
        torch.manual_seed(1)
        assert torch.equal(drawn, torch.rand(1))
    one, same, other = states
    assert all(torch.equal(value, same[key]) and not torch.equal(value, other[key]) for key, value in one.items())


def test_what_takes_no_adapter_is_a_sentence(monkeypatch):
    text = ENCODERS["text"](ENCODERS["text"].Config(vocabulary=300, width=16, heads=2))
    with pytest.raises(UserError, match="TextTransformer of 'review' takes no adapter"):
        adapt(text, AdapterSettings(), "review", 0)
    encoder, _ = world("bert")
    with pytest.raises(UserError, match="no layer for the adapter of 'review' 'qurey'; did you mean 'query'"):
        adapt(encoder, AdapterSettings(targets=["qurey"]), "review", 0)
    encoder, _ = world("test_vit")
    with pytest.raises(UserError, match="'photo' has dropout, but a timm model"):
        adapt(encoder, AdapterSettings(dropout=0.1), "photo", 0)
    monkeypatch.setattr("sensorium.training.adapters.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package 'peft', .*sensorium\[peft\]"):
        adapt(encoder, AdapterSettings(), "photo", 0)


@pytest.fixture(scope="module")
def arguments(tmp_path_factory) -> dict[str, Any]:
    made = make(tmp_path_factory.mktemp("records"), records=90)
    made["recipe"]["inputs"]["picture"] |= {"adapter": {"rank": 2}, "learning_rate": 0.01}
    return made


@pytest.fixture(scope="module")
def undisturbed(arguments, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    journey = Journey(out, arguments)
    journey.finish()
    assert journey.process.exitcode == 0
    return out


def test_the_state_holds_the_adapters_alone_and_the_model_is_a_plain_one(arguments, undisturbed, monkeypatch):
    weights = load_file(undisturbed / "last" / "weights.safetensors")
    picture = [key for key in weights if "conv1" in key and key.startswith("model.encoders.parts.0.")]
    assert any("lora_A" in key for key in picture) and not any(key.endswith("base_layer.weight") for key in picture)
    assert not (undisturbed / "features").exists(), "an encoder with adapters is trained, so nothing of it is cached"
    model = sensorium.load(undisturbed)
    given = load_file(Path(arguments["recipe"]["inputs"]["picture"]["config"]["weights"]))
    encoder = model.encoders["picture"].model.state_dict()
    assert encoder.keys() == given.keys()
    moved = {key for key, value in encoder.items() if not torch.equal(value, given[key])}
    assert moved and all(encoder[key].ndim == 4 for key in moved), "the convolutions, and no statistics"
    real = builtins.__import__

    def without(name: str, *others: Any) -> Any:
        assert not name.startswith("peft"), "a trained model needs no package for adapters"
        return real(name, *others)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "decision" in model.predict([{"number": 1.0}])[0]["colour"]


def test_the_run_says_how_many_weights_are_trained(arguments, tmp_path, capsys):
    few = copy.deepcopy(arguments)
    few["recipe"]["training"] |= {"epochs": 1, "refit": False}
    fit(**few, out=tmp_path / "run", details=True)
    counted = sum(
        value.numel() for key, value in load_file(tmp_path / "run/last/weights.safetensors").items() if "lora_" in key
    )
    assert f"of which the {counted:,} of adapters are trained" in capsys.readouterr().out


def test_killed_and_resumed_ends_in_the_same_bits(arguments, undisturbed, tmp_path):
    journey = Journey(tmp_path / "run", arguments)
    for _ in range(7):
        while journey.said()[1] != "training":
            pass
    journey.kill()
    journey.finish()
    resumed = Journey(tmp_path / "run", arguments, resume=True)
    resumed.finish()
    assert resumed.process.exitcode == 0
    check_same(undisturbed, tmp_path / "run", "killed in the second epoch")
