"""A heat map is attention times the positive part of its gradient: against attention written out, and by hand."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sensorium.errors import UserError
from sensorium.explanation import explain
from sensorium.features import Features
from sensorium.model import Model
from tests.explanation.scenes import QUESTIONS, model, photo

RECORD = {"photo": photo(), "question": QUESTIONS[0]}


def norm(layer: torch.nn.LayerNorm, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], layer.weight, layer.bias, layer.eps)


def heads_of(x: Tensor, heads: int) -> Tensor:
    """[T, D] -> [heads, T, d]."""
    return x.view(len(x), heads, -1).transpose(0, 1)


def attention(query: Tensor, key: Tensor) -> Tensor:
    return torch.softmax(query @ key.transpose(1, 2) / math.sqrt(query.shape[2]), dim=2)


def written_out(made: Model, record: dict, layer: int) -> tuple[Features, Tensor]:
    """What the fusion `bert` gives for one record, and the map of cross-attention of `layer`, [heads, T, S], on the way
    to it.
    """
    fusion = made.fusion.double()
    batch = next(made.batches(made.read([record]), 1))
    with torch.no_grad():
        found = made.encode(batch.inputs)
    x, context = found["question"].tokens[0].double(), found["photo"].tokens[0].double()
    heads, dim, kept = fusion.config.heads, fusion.config.dim, None
    asked = fusion.asking[0].linear(context).split(dim, dim=1)  # key, value, key, value, ...
    for place, block in enumerate(fusion.blocks):
        query, key, value = (heads_of(part, heads) for part in block.attention.qkv(x).split(dim, dim=1))
        mixed = (attention(query, key) @ value).transpose(0, 1).flatten(1)
        x = norm(block.attention.norm, x + block.attention.out(mixed))
        crossing = block.crossings[0]
        key, value = (heads_of(part, heads) for part in asked[2 * place : 2 * place + 2])
        seen = attention(heads_of(crossing.query(x), heads), key)
        if place == layer:
            kept = seen
        x = norm(crossing.norm, x + crossing.out((seen @ value).transpose(0, 1).flatten(1)))
        x = norm(block.norm, x + block.fall(F.gelu(block.rise(x))))
    return Features(x[None], torch.ones(1, len(x), dtype=torch.bool), x[:1]), kept


def score_of(made: Model, name: str, fused: Features) -> Tensor:
    head = made.heads[name].double()
    if name == "match":
        return head.linear(fused.pooled)[0, 1]
    decision = head.as_target(head.predict(fused))
    return -head.loss(fused, decision).sum()


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("head", ["classes", "match", "answer"])
def test_the_map_of_each_word_is_attention_times_its_positive_gradient(head, layer):
    made = model(head=head)
    found = explain(made, RECORD, layer=layer)
    fused, seen = written_out(made, RECORD, layer)
    (gradient,) = torch.autograd.grad(score_of(made, "match" if head == "match" else "answer", fused), seen)
    heat = (seen * gradient.clamp(min=0)).mean(dim=0)[:, 1:].unflatten(1, (3, 3)).detach().numpy()  # [T, 3, 3]
    encoding = made.encoders["question"].processor.tokenizer.encode(RECORD["question"])
    assert found.words == ["what", "colour", "is", "the", "circle"]
    for number, word in enumerate(found.words):
        places = [place for place, one in enumerate(encoding.word_ids) if one == number]
        assert heat[places].max() > 0 or (layer == 2 and head != "answer"), word  # those read the first token alone
        np.testing.assert_allclose(found.maps[number], heat[places].mean(axis=0), rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(found.whole, heat.mean(axis=0), rtol=1e-4, atol=1e-9)


def test_the_middle_layer_is_taken_where_none_is_said():
    made = model()
    np.testing.assert_array_equal(explain(made, RECORD).maps, explain(made, RECORD, layer=1).maps)
    assert not np.allclose(explain(made, RECORD).maps, explain(made, RECORD, layer=0).maps)


@pytest.mark.parametrize("kind", ["bert", "serial"])
def test_another_decision_has_another_map(kind):
    made = model(kind)
    maps = [explain(made, RECORD, decision={"label": torch.tensor([label])}).maps for label in range(3)]
    assert not np.allclose(maps[0], maps[1]) and all((one >= 0).all() and one.max() > 0 for one in maps)


def test_a_decision_that_is_certain_is_explained_as_well_as_one_that_is_not():
    """The gradient of log p is (1 - p) times that of the odds: in float32 nothing would be left of it."""
    made = model()
    label = int(made.heads["answer"].predict(made.fuse(made.encode(batch_of(made))))["decision"])
    before = explain(made, RECORD, decision={"label": torch.tensor([label])}).whole
    with torch.no_grad():
        bias = made.heads["answer"].network.state_dict()
        next(value for name, value in bias.items() if name.endswith("bias"))[label] += 20
    after = explain(made, RECORD, decision={"label": torch.tensor([label])}).whole
    np.testing.assert_allclose(after / after.sum(), before / before.sum(), rtol=0.6)


def batch_of(made: Model) -> dict:
    return next(made.batches(made.read([RECORD]), 1)).inputs


def test_nothing_of_the_model_changes_and_nothing_stays_behind():
    made = model()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    explain(made, RECORD)
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    assert all(not part._forward_pre_hooks and not part._forward_hooks for part in made.modules())
    assert all(parameter.grad is None for parameter in made.parameters())


@pytest.mark.parametrize(
    ("fit", "height", "width", "box"),
    [("squash", 24, 48, (0, 0, 1, 1)), ("crop", 24, 48, (0.25, 0, 0.75, 1)), ("crop", 96, 24, (0, 0.375, 1, 0.625))],
)
def test_the_patches_lie_where_the_picture_was_read(fit, height, width, box):
    found = explain(model(fit=fit), RECORD | {"photo": photo(0, height, width)})
    assert found.box == pytest.approx(box)


@pytest.mark.parametrize(
    ("kind", "record", "options", "said"),
    [
        ("bert", {"question": "is it"}, {}, "The record has no 'photo'"),
        ("bert", {"photo": photo()}, {}, "The record has no 'question'"),
        ("bert", RECORD, {"layer": 3}, "There is no layer 3"),
        ("bert", RECORD, {"image": "foto"}, "The pictures that the fusion asks are: photo"),
        ("bert", RECORD, {"target": "anser"}, "did you mean 'answer'"),
        ("concat", RECORD, {}, "needs a fusion that the text leads"),
    ],
)
def test_what_cannot_be_explained_is_a_sentence(kind, record, options, said):
    made = model()
    if kind == "concat":
        made.fusion = torch.nn.Identity()
    with pytest.raises(UserError, match=said):
        explain(made, record, **options)
