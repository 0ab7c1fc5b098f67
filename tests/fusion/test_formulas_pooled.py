"""Each pooled fusion is its formula: against a plain statement in NumPy, and its gradient against differences."""

import numpy as np
import pytest
import torch
from torch.func import functional_call

from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.fusion import FUSIONS
from sensorium.fusion.attention import AttentionConfig
from sensorium.fusion.capsules import CapsulesConfig
from sensorium.fusion.film import Film, FilmConfig
from sensorium.fusion.low_rank import LowRank, LowRankConfig
from sensorium.fusion.tensor import TensorConfig, TensorFusion

DIMS = {"photo": 5, "type": 3, "a.b": 4}
SMALL = {
    "attention": {"heads": 2},
    "capsules": {"capsules": 2},
    "tensor": {"width": 3},
    "low_rank": {"width": 3, "rank": 2},
}
PRESENT = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 0]], dtype=bool)


def build(name, dims=DIMS, **options):
    """A fusion in float64, every parameter random, in evaluation mode."""
    torch.manual_seed(0)
    kind = FUSIONS[name]
    model = kind(kind.Config(dim=4, **SMALL.get(name, {}), **options), dims).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def random_features(dims=DIMS, present=PRESENT, seed=0):
    """float64 Features of one token: a row for each row of `present`, bool [B, N]."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: Features.one(
            torch.randn(len(present), width, generator=generator, dtype=torch.float64), torch.tensor(present[:, i])
        )
        for i, (name, width) in enumerate(dims.items())
    }


def numbers(model):
    """The parameters as arrays, by name."""
    return {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def squash(x):
    length = np.linalg.norm(x)
    return x * length / (1 + length**2)


# One row at a time: `x` has the mapped summary of each input, None where it is absent; one is present at least.


def weighted_sum(x, p):
    return sum(p["weight"][i] * one for i, one in enumerate(x) if one is not None) + p["bias"]


def attention(x, p):
    present = [one for one in x if one is not None]
    h, heads = sum(present) / len(present), []
    for head in range(2):
        v = p["score.2.weight"][head]
        e = [v @ np.tanh(p["score.0.weight"] @ np.concatenate([h, one]) + p["score.0.bias"]) for one in present]
        a = np.exp(e) / np.exp(e).sum()
        heads.append(sum(weight * one[2 * head : 2 * head + 2] for weight, one in zip(a, present, strict=True)))
    return np.concatenate(heads)


def gated(x, p):
    dim = 4
    beside = np.concatenate([np.zeros(dim) if one is None else one for one in x])
    y = np.zeros(dim)
    for i, one in enumerate(x):
        if one is not None:
            rows = slice(i * dim, (i + 1) * dim)
            y += sigmoid(p["gate.weight"][rows] @ beside + p["gate.bias"][rows]) * np.tanh(one)
    return y


def film(x, p):
    h = None
    for k, one in enumerate(x):
        if one is None:
            continue
        if h is None:
            h = one
        else:
            gamma, beta = np.split(p[f"modulations.{k - 1}.weight"] @ h + p[f"modulations.{k - 1}.bias"], 2)
            h = (1 + gamma) * one + beta
    return h


def tensor(x, p):
    z = np.ones(1)
    for one in x:
        z = np.kron(z, np.append(np.zeros(3) if one is None else one, 1.0))
    return z @ p["weight"].reshape(len(z), 4) + p["bias"]


def low_rank(x, p):
    rank, dim = 2, 4
    y = p["bias"].copy()
    for r in range(rank):
        product, columns = np.ones(dim), slice(r * dim, (r + 1) * dim)
        for i, one in enumerate(x):
            constant = p["constants"][i, 0, columns]
            product *= constant if one is None else one @ p["factors"][i][:, columns] + constant
        y += p["weight"][r] * product
    return y


def capsules(x, p):
    present = [i for i, one in enumerate(x) if one is not None]
    votes = np.stack([np.einsum("p,mpd->md", squash(x[i]), p["capsules.weight"][i]) for i in present])  # [N, M, D]
    b = np.zeros(votes.shape[:2])
    for _ in range(3):
        c = np.exp(b) / np.exp(b).sum(axis=1, keepdims=True)
        v = np.stack([squash(one) for one in (c[..., None] * votes).sum(axis=0)])  # [M, D]
        b = b + (votes * v).sum(axis=2)
    return v.reshape(-1)  # [M * D]


def variational(x, p):
    """The product of N(0, 1) and each input's Gaussian; `posterior` has its variance too."""
    experts = [(np.zeros(4), np.ones(4))] + [(one[:4], np.exp(one[4:])) for one in x if one is not None]
    precision = sum(1 / variance for _, variance in experts)
    return sum(mean / variance for mean, variance in experts) / precision


FORMULAS = {
    one.__name__: one for one in (weighted_sum, attention, gated, film, tensor, low_rank, capsules, variational)
}
formulas = pytest.mark.parametrize("name", FORMULAS)


@formulas
def test_the_fusion_is_its_formula(name):
    model, features = build(name), random_features()
    with torch.no_grad():
        mapped = model.inputs.summaries(features)[0].numpy()
        out = model(features).pooled.numpy()
    for row, present in enumerate(PRESENT[:-1]):
        x = [mapped[row, i] if here else None for i, here in enumerate(present)]
        np.testing.assert_allclose(out[row], FORMULAS[name](x, numbers(model)), rtol=1e-6, atol=1e-7)
    assert (out[-1] == 0).all()


@formulas
def test_the_gradient_is_that_of_differences(name):
    """gradcheck in float64, with respect to every parameter and every input's summary."""
    model, features = build(name), random_features(present=PRESENT[:3])
    names = [name for name, _ in model.named_parameters() if not name.startswith("decoders.")]

    def fused(*values):
        summaries, parameters = values[: len(DIMS)], values[len(DIMS) :]
        given = {key: Features.one(one, features[key].present) for key, one in zip(DIMS, summaries, strict=True)}
        return functional_call(model, dict(zip(names, parameters, strict=True)), (given,)).pooled

    values = [features[key].pooled for key in DIMS] + [model.get_parameter(name).detach() for name in names]
    assert torch.autograd.gradcheck(fused, [one.clone().requires_grad_() for one in values], fast_mode=True)


# Where the inputs stand in a parameter: how to put them into another order.
def blocks(weight, order, axes):
    """`weight` with its N equal blocks along each of `axes` in another order."""
    for axis in axes:
        parts = np.split(weight, len(order), axis=axis)
        weight = np.concatenate([parts[i] for i in order], axis=axis)
    return weight


MOVES = {
    "weighted_sum": {"weight": lambda w, order: w[order]},
    "attention": {},
    "gated": {
        "gate.weight": lambda w, order: blocks(w, order, (0, 1)),
        "gate.bias": lambda w, order: blocks(w, order, (0,)),
    },
    "tensor": {"weight": lambda w, order: w.reshape(4, 4, 4, 4).transpose(*order, 3).reshape(w.shape)},
    "low_rank": {"factors": lambda w, order: w[order], "constants": lambda w, order: w[order]},
    "capsules": {"capsules.weight": lambda w, order: w[order]},
    "variational": {},
}


def permuted(name, order):
    """The outputs of a fusion, and of one whose inputs, with their weights, stand in another order."""
    model = build(name)
    names = [list(DIMS)[i] for i in order]
    other = build(name, {name: DIMS[name] for name in names})
    own = {key: torch.tensor(move(numbers(model)[key], order)) for key, move in MOVES.get(name, {}).items()}
    rest = {key: value for key, value in model.state_dict().items() if not key.startswith(("inputs.", "decoders."))}
    other.load_state_dict(rest | own, strict=False)
    for key in DIMS:
        other.inputs.maps[key].load_state_dict(model.inputs.maps[key].state_dict())
    features = random_features()
    return model(features).pooled, other({key: features[key] for key in names}).pooled


@pytest.mark.parametrize("name", MOVES)
def test_symmetric_fusions_do_not_mind_the_order_of_the_inputs(name):
    one, other = permuted(name, [2, 0, 1])
    torch.testing.assert_close(one, other)


def test_film_minds_the_order_of_the_inputs():
    one, other = permuted("film", [2, 0, 1])
    assert (one[0] - other[0]).abs().max() > 1e-3


def test_film_takes_the_inputs_in_the_stated_order():
    stated = build("film", order=["a.b", "photo", "type"])
    turned = build("film", {name: DIMS[name] for name in ("a.b", "photo", "type")})
    turned.load_state_dict(stated.state_dict())
    features = random_features()
    assert torch.equal(stated(features).pooled, turned(features).pooled)


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        (["photo", "tpye", "a.b"], "no input 'tpye'; did you mean 'type'"),
        (["photo", "type"], "names the input 'a.b' not at all; name each input once"),
        (["photo", "type", "a.b", "type"], "names the input 'type' twice"),
    ],
)
def test_film_names_the_mistake_in_its_order(order, sentence):
    with pytest.raises(UserError, match=sentence):
        Film(FilmConfig(order=order, dim=4), DIMS)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_low_rank_at_full_rank_is_any_tensor_fusion(count):
    """Each rank takes one coordinate of all inputs but the first, and from the first what the map says of those."""
    dims = dict(list(DIMS.items())[:count])
    whole, width, dim = build("tensor", dims), 3, 4
    rank = (width + 1) ** (count - 1)
    factored = LowRank(LowRankConfig(dim=dim, width=width, rank=rank), dims).double().eval()
    factored.inputs.load_state_dict(whole.inputs.state_dict())
    maps = np.zeros((count, width + 1, rank, dim))  # W of [x; 1], by input and rank
    kernel = numbers(whole)["weight"].reshape(width + 1, rank, dim)
    for r, places in enumerate(np.ndindex(*[width + 1] * (count - 1))):
        maps[0, :, r] = kernel[:, r]
        for i, place in enumerate(places, start=1):
            maps[i, place, r] = 1.0
    maps = torch.tensor(maps).flatten(2)  # [N, width + 1, rank * D]
    with torch.no_grad():
        factored.factors.copy_(maps[:, :width])
        factored.constants.copy_(maps[:, width:])
        factored.weight.fill_(1.0)
        factored.bias.copy_(whole.bias)
    features = random_features(dims, PRESENT[:, :count])
    torch.testing.assert_close(factored(features).pooled, whole(features).pooled)


def test_low_rank_trains_and_saves_all_of_its_factors():
    model = build("low_rank")
    assert {"factors", "constants", "weight", "bias"} <= set(model.state_dict())
    assert model.factors.shape == (3, 3, 2 * 4) and all(one.requires_grad for one in model.parameters())


def test_the_tensor_of_more_than_three_inputs_is_refused_with_a_reason():
    dims = dict.fromkeys("abcd", 4)
    with pytest.raises(UserError, match=r"of 4 inputs 83,521 products a record.* take 'low_rank'"):
        TensorFusion(TensorConfig(), dims)
    assert LowRank(LowRankConfig(), dims).experts == 1


@pytest.mark.parametrize(("dim", "most"), [(8, 5 * 8), (64, 5**3)])
def test_nothing_that_the_tensor_fusion_keeps_is_larger_than_the_product(dim, most):
    """What autograd keeps is seen by its hooks; of the product of a row there are (width + 1) ** 3 = 125 numbers."""
    model = TensorFusion(TensorConfig(dim=dim, width=4), DIMS)
    rows, kept = 64, []
    features = random_features(present=np.ones((rows, 3), dtype=bool))
    features = {name: Features.one(one.pooled.float(), one.present) for name, one in features.items()}
    weights = {parameter.data_ptr() for parameter in model.parameters()}

    def see(value):
        if value.data_ptr() not in weights:
            kept.append(value.numel() / rows)
        return value

    with torch.autograd.graph.saved_tensors_hooks(see, lambda value: value):
        model(features)
    assert max(kept) == most <= 5**3


def test_weights_gates_and_routing_can_be_read():
    features = random_features()
    present = torch.tensor(PRESENT)
    weights = build("attention").weights(features)
    torch.testing.assert_close(weights.sum(dim=1), present.any(dim=1).double())
    assert (weights[~present] == 0).all() and (weights[0] > 0).all()
    gates = build("gated").gates(features)
    assert gates.shape == (7, 3, 4) and (gates[~present] == 0).all()
    assert ((gates[present] > 0) & (gates[present] < 1)).all()
    routing = build("capsules").routing(features)
    assert routing.shape == (7, 3, 2) and (routing[~present] == 0).all()
    torch.testing.assert_close(routing.sum(dim=2), present.double())
    assert (routing[0] - 0.5).abs().max() > 1e-3  # three iterations have told the wholes apart


@pytest.mark.parametrize(("kind", "parts"), [(CapsulesConfig, "8 capsules"), (AttentionConfig, "4 heads")])
def test_parts_must_divide_the_width(kind, parts):
    with pytest.raises(ValueError, match=f"a width of 10 cannot be cut into {parts}; choose a multiple"):
        kind(dim=10)
