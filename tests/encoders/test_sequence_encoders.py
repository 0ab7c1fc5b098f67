"""What every encoder of words and of sound frames owes: padding unseen, rows apart, all trained, all saved."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sensorium.model
from sensorium.encoders import ENCODERS
from sensorium.errors import UserError
from sensorium.model import Model

TEXTS = ["a good film", "a bad film, and a long one", "the plot is good", "今天天气很好", "Das Wetter ist schön"] * 4
RATE = 4000
FACTS = {"rate": RATE, "seconds": 1.0}


class Case(NamedTuple):
    """An encoder's name and options, values to build it from and to read, and the key of its batch that has values."""

    name: str
    options: dict[str, Any]
    values: list[Any]
    key: str
    facts: dict[str, float]

    def build(self, summary_only: bool = False, **more: Any) -> nn.Module:
        torch.manual_seed(0)
        kind = ENCODERS[self.name]
        return kind.build(kind.Config(**self.options | more), self.values, self.facts, summary_only).eval()

    def batch(self, encoder: nn.Module, values: list[Any]) -> dict[str, Tensor]:
        return encoder.processor.pad([None if value is None else encoder.processor(value) for value in values])


def sounds() -> list[np.ndarray]:
    chance = np.random.default_rng(0)
    return [chance.standard_normal(length).astype(np.float32) * 0.1 for length in (1, 39, 400, 1234, 2000, 4100)]


def text(name: str, **options: Any) -> Case:
    return Case(name, {"width": 32, "max_tokens": 24} | options, TEXTS[:5], "tokens", {})


def sound(name: str, **options: Any) -> Case:
    return Case(name, {"width": 32, "bands": 20} | options, sounds(), "spectrogram", FACTS)


CASES = {
    "gru both ways": text("text_recurrent"),
    "lstm one way, two layers": text("text_recurrent", cell="lstm", bidirectional=False, depth=2),
    "lstm both ways, two layers": text("text_recurrent", cell="lstm", depth=2),
    "causal": text("text_causal", heads=4),
    "word vectors": Case("word_vectors", {"width": 32, "at_least": 1}, [*TEXTS[:5], "☃!"], "tokens", {}),
    "word vectors, tuned": Case("word_vectors", {"at_least": 1, "tune": True}, [*TEXTS[:5], "???"], "tokens", {}),
    "sound, gru": sound("audio_recurrent"),
    "sound, lstm over a cepstrum": sound("audio_recurrent", cell="lstm", front="mfcc", depth=2, stack=1),
    "sound, convolutions over a cepstrum": sound("audio_conv", front="mfcc", coefficients=13, channels=8),
}


@pytest.fixture(params=CASES)
def case(request) -> Case:
    return CASES[request.param]


@torch.no_grad()
def test_a_row_alone_equals_the_row_in_a_padded_batch(case):
    encoder = case.build()
    together = encoder(case.batch(encoder, case.values))
    for row, value in enumerate(case.values):
        alone = encoder(case.batch(encoder, [value]))
        length = alone.tokens.shape[1]
        assert together.mask[row].sum() == length and alone.mask.all()
        torch.testing.assert_close(alone.pooled[0], together.pooled[row], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(alone.tokens[0], together.tokens[row, :length], rtol=1e-5, atol=1e-5)
        assert not together.tokens[row, length:].any()


def test_noise_in_the_padding_changes_no_bit_and_no_gradient(case):
    encoder = case.build()
    inputs = case.batch(encoder, case.values)
    assert not inputs["mask"].all()
    value = inputs[case.key]
    noise = torch.randint_like(value, 1, 10) if case.key == "tokens" else torch.full_like(value, torch.nan)
    mask = inputs["mask"].view(*inputs["mask"].shape, *[1] * (value.ndim - 2))
    weights = []
    for given in (inputs, inputs | {case.key: torch.where(mask, value, noise)}):
        encoder.zero_grad()
        said = encoder(given)
        (said.pooled.sum() + said.tokens.square().sum()).backward()
        weights.append([*said, *(weight.grad.clone() for weight in encoder.parameters())])
    assert all(torch.equal(one, two) for one, two in zip(*weights, strict=True))


def test_every_parameter_receives_a_gradient_from_the_summary(case):
    encoder = case.build().train()
    said = encoder(case.batch(encoder, case.values))
    (said.pooled * torch.randn_like(said.pooled)).sum().backward()
    assert [name for name, weight in encoder.named_parameters() if weight.grad is None or not weight.grad.any()] == []


@torch.no_grad()
def test_summary_only_gives_the_same_summary_as_one_token(case):
    encoder, brief = case.build(), case.build(summary_only=True)
    brief.load_state_dict(encoder.state_dict())
    said = brief(case.batch(encoder, case.values))
    assert torch.equal(said.pooled, encoder(case.batch(encoder, case.values)).pooled)
    assert said.tokens.shape == (len(case.values), 1, encoder.dim) and said.mask.all()


@torch.no_grad()
def test_absent_rows_reach_no_encoder_and_change_no_bit(case):
    encoder = case.build()
    model = Model({"it": encoder})
    inputs = case.batch(encoder, [None, *case.values, None])
    said = model.encode({"it": inputs})["it"]
    plain = encoder(case.batch(encoder, case.values))
    assert said.present.tolist() == [False] + [True] * len(case.values) + [False]
    assert torch.equal(said.pooled[1:-1], plain.pooled) and torch.equal(said.tokens[1:-1], plain.tokens)
    assert not said.pooled[0].any() and not said.tokens[-1].any()
    nothing = model.encode({"it": case.batch(encoder, [None, None])})["it"]
    assert not nothing.present.any() and not nothing.pooled.any()


@torch.no_grad()
def test_a_saved_model_says_the_same(case, tmp_path):
    encoder = case.build()
    Model({"it": encoder}).save(tmp_path / "model")
    again = sensorium.model.load(tmp_path / "model").encoders["it"]
    assert again.config == encoder.config and type(again) is type(encoder)
    for one, two in zip(again(case.batch(again, case.values)), encoder(case.batch(encoder, case.values)), strict=True):
        assert torch.equal(one, two)


@torch.no_grad()
def test_under_autocast_it_stays_near_and_gives_float32(case):
    encoder = case.build()
    inputs = case.batch(encoder, case.values)
    plain = encoder(inputs).pooled
    with torch.autocast("cpu", torch.bfloat16):
        said = encoder(inputs)
    assert said.tokens.dtype == said.pooled.dtype == torch.float32
    torch.testing.assert_close(said.pooled, plain, rtol=0.1, atol=0.1)


@torch.no_grad()
def test_a_causal_encoders_token_is_not_changed_by_a_later_one():
    case = CASES["causal"]
    encoder = case.build()
    tokens = torch.randint(5, 250, (1, 12))
    mask = torch.ones(1, 12, dtype=torch.bool)
    before = encoder({"tokens": tokens, "mask": mask})
    for place in range(12):
        other = tokens.clone()
        other[0, place] += 1
        after = encoder({"tokens": other, "mask": mask})
        same = (after.tokens == before.tokens).all(dim=-1)[0]
        assert same[:place].all() and not same[place:].any()
    assert torch.equal(before.pooled, before.tokens[:, -1])


@torch.no_grad()
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_summary_is_the_last_state_of_each_direction(cell):
    case = text("text_recurrent", cell=cell)
    encoder = case.build()
    said = encoder(case.batch(encoder, case.values))
    last = said.mask.sum(dim=1) - 1
    rows = torch.arange(len(last))
    assert torch.equal(said.pooled, torch.cat([said.tokens[rows, last, :16], said.tokens[:, 0, 16:]], dim=1))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("text_recurrent", {"width": 33}, "even"),
        ("audio_recurrent", {"width": 33}, "even"),
        ("text_causal", {"width": 30, "heads": 4}, "divide"),
        ("audio_recurrent", {"front": "mfcc", "bands": 10}, "20 coefficients need as many bands"),
        ("audio_conv", {"front": "mfcc", "bands": 10}, "20 coefficients need as many bands"),
    ],
)
def test_settings_that_do_not_fit_are_refused(name, options, said):
    with pytest.raises(ValueError, match=said):
        ENCODERS[name].Config(**options)


@pytest.mark.parametrize("name", ["text_recurrent", "text_causal", "audio_recurrent"])
def test_what_only_data_can_tell_has_to_be_stated(name):
    with pytest.raises(UserError, match="needs the option"):
        ENCODERS[name](ENCODERS[name].Config())
