"""Each fusion of tokens, and the graph, is its formula: against a plain statement in NumPy, and gradcheck."""

import numpy as np
import pytest
import torch
from scipy.special import erf
from torch.func import functional_call

from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.fusion import FUSIONS

DIMS = {"photo": 5, "type": 3, "a.b": 4}
LENGTHS = {"photo": 3, "type": 2, "a.b": 4}
DIM, HEADS = 4, 2
SMALL = {"bottleneck": {"bottlenecks": 2}, "resampler": {"queries": 3}}
PRESENT = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 0]], dtype=bool)


def build(name, dims=DIMS, **options):
    """A fusion in float64, every parameter random, in evaluation mode."""
    torch.manual_seed(0)
    kind = FUSIONS[name]
    model = kind(kind.Config(dim=DIM, heads=HEADS, **SMALL.get(name, {}), **options), dims).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def random_features(present=PRESENT, seed=0):
    """float64 Features, a row for each row of `present`, bool [B, 3], with one token up to all of them."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for i, (name, width) in enumerate(DIMS.items()):
        rows, most = len(present), LENGTHS[name]
        real = 1 + torch.randint(most, (rows, 1), generator=generator)
        mask = (torch.arange(most) < real) & torch.tensor(present[:, i : i + 1])
        tokens = torch.randn(rows, most, width, generator=generator, dtype=torch.float64)
        found[name] = Features(tokens, mask, torch.randn(rows, width, generator=generator, dtype=torch.float64))
    return found


# The plain statement, of one row: `x` has the mapped tokens [T, D] of the present inputs alone, by name; one at least.


def linear(layer, x):
    y = x @ layer.weight.detach().numpy().T
    return y if layer.bias is None else y + layer.bias.detach().numpy()


def norm(layer, x):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + layer.eps)
    return scaled * layer.weight.detach().numpy() + layer.bias.detach().numpy()


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def attention(query, key, value):
    """By head, of columns side by side."""
    d = DIM // HEADS
    parts = [slice(h * d, (h + 1) * d) for h in range(HEADS)]
    return np.concatenate([softmax(query[:, p] @ key[:, p].T / d**0.5) @ value[:, p] for p in parts], axis=1)


def feed(step, x):
    inner = linear(step.mlp[0], norm(step.norm, x))
    return x + linear(step.mlp[3], inner * (1 + erf(inner / 2**0.5)) / 2)


def own(step, x):
    return x + linear(step.out, attention(*np.split(linear(step.qkv, norm(step.norm, x)), 3, axis=1)))


def crossing(step, x, asked, reader):
    """`asked`: the KeysOf of a context and its tokens."""
    keys, context = asked
    both = linear(keys.linear, norm(keys.norm, context))[:, 2 * DIM * reader : 2 * DIM * (reader + 1)]
    query = linear(step.query, norm(step.norm, x))
    return x + linear(step.out, attention(query, both[:, :DIM], both[:, DIM:]))


def number(parameter):
    return parameter.detach().numpy()


def serial(model, x):
    lead = x.get("photo", number(model.absent)[None])
    for i, layer in enumerate(model.layers):
        lead = own(layer.attention, lead)
        for step, keys, name in zip(layer.crossings, model.asked, model.context, strict=True):
            if name in x:
                lead = crossing(step, lead, (keys, x[name]), i)
        lead = feed(layer.feed, lead)
    return norm(model.norm, lead).mean(0)


def co_attention(model, x):
    means = []
    for a in x:
        asker, answers = model.askers[a], []
        others = [name for name in DIMS if name != a]
        for step, b in enumerate(others):
            answer = x[a]
            for i in range(2):
                # b's readers: those who ask it in order, each with its two layers.
                reader = 2 * [name for name in DIMS if name != b].index(a) + i
                if b in x:
                    answer = crossing(asker.crossings[step][i], answer, (model.asked[b], x[b]), reader)
                answer = feed(asker.feeds[step][i], answer)
            answers.append(answer)
        joined = linear(asker.join, np.concatenate(answers, axis=1))
        means.append(norm(asker.norm, feed(asker.feed, own(asker.attention, joined))).mean(0))
    return np.mean(means, axis=0)


def bottleneck(model, x):
    shared, many = number(model.shared), 2
    streams = {name: np.concatenate([number(model.summary)[[list(DIMS).index(name)]], x[name]]) for name in x}
    for layer in model.layers:
        out = {}
        for name, stream in streams.items():
            block = layer[name]
            out[name] = feed(block.feed, own(block.attention, np.concatenate([shared, stream])))
        shared = np.mean([y[:many] for y in out.values()], axis=0)
        streams = {name: y[many:] for name, y in out.items()}
    return np.mean([norm(model.norm, stream)[0] for stream in streams.values()], axis=0)


def resampler(model, x):
    context = np.concatenate([x[name] + number(model.modality)[list(DIMS).index(name)] for name in x])
    queries = number(model.queries)
    for i, layer in enumerate(model.layers):
        queries = feed(layer.feed, own(layer.attention, crossing(layer.crossing, queries, (model.asked, context), i)))
    return norm(model.norm, queries).mean(0)


def gatv2(stack, x, may):
    """x [N, D]; `may(i, j)`: whether node i takes from node j."""
    d = DIM // HEADS
    for norms, layer in zip(stack.norms, stack.attentions, strict=True):
        y = norm(norms, x)
        asks, answers, taken = linear(layer.asks, y), linear(layer.answers, y), np.zeros_like(x)
        for i in range(len(x)):
            near = [j for j in range(len(x)) if may(i, j)]
            for h in range(HEADS):
                part, pairs = slice(h * d, (h + 1) * d), asks[i] + answers[near]
                pairs = np.where(pairs > 0, pairs, 0.2 * pairs)[:, part]
                taken[i, part] = softmax(pairs @ number(layer.score)[h]) @ answers[near, part]
        x = x + np.where(taken > 0, taken, np.expm1(taken))
    return norm(stack.norm, x)


def graph(model, x):
    return gatv2(model.stack, np.concatenate(list(x.values())), lambda i, j: True).mean(0)


def token_graph(model, x):
    tokens = [x[name] + number(model.modality)[list(DIMS).index(name)] for name in x]
    out = gatv2(model.stack, np.concatenate(tokens), lambda i, j: True)
    ends = np.cumsum([len(one) for one in tokens])[:-1]
    return np.mean([part.mean(0) for part in np.split(out, ends)], axis=0)


def block(layer, x, context=None):
    """Of `transformer` and `cross_attention`."""

    def sum_of(step, y, of):
        return linear(step.out, attention(linear(step.query, y), linear(step.key, of), linear(step.value, of)))

    y = norm(layer.norm, x)
    x = x + sum_of(layer.attention, y, y)
    if context is not None:
        x = x + sum_of(layer.context_attention, norm(layer.context_norm, x), context)
    inner = linear(layer.mlp[0], norm(layer.mlp_norm, x))
    return x + linear(layer.mlp[3], inner * (1 + erf(inner / 2**0.5)) / 2)


def transformer(model, x):
    tokens = [x[name] + number(model.modality)[list(DIMS).index(name)] for name in x]
    stream = np.concatenate([number(model.summary)[None], *tokens])
    for layer in model.stream.blocks:
        stream = block(layer, stream)
    return norm(model.stream.norm, stream)[0]


def cross_attention(model, x):
    lead = x.get("photo", number(model.absent)[None])
    asked = [x[name] + number(model.modality)[i] for i, name in enumerate(model.context) if name in x]
    for layer in model.stream.blocks:
        lead = block(layer, lead, np.concatenate(asked) if asked else None)
    return norm(model.stream.norm, lead).mean(0)


FORMULAS = {
    "transformer": transformer,
    "cross_attention": cross_attention,
    "serial": serial,
    "co_attention": co_attention,
    "bottleneck": bottleneck,
    "resampler": resampler,
    "graph": graph,
    "token_graph": token_graph,
}
formulas = pytest.mark.parametrize("name", FORMULAS)


def mapped_rows(model, features):
    """For each row the mapped tokens (or, for a fusion of summaries, summary) of its present inputs."""
    mapped = model.inputs(features)
    rows = []
    for row in range(len(PRESENT)):
        found = {}
        for name, (tokens, mask, pooled) in mapped.items():
            if mask[row].any():
                found[name] = (tokens[row][mask[row]] if model.reads == "tokens" else pooled[row : row + 1]).numpy()
        rows.append(found)
    return rows


@formulas
def test_each_row_is_the_formula_of_what_it_has(name):
    model, features = build(name), random_features()
    with torch.no_grad():
        out = model(features).pooled.numpy()
        rows = mapped_rows(model, features)
    for row, x in enumerate(rows[:-1]):
        np.testing.assert_allclose(out[row], FORMULAS[name](model, x), rtol=1e-6, atol=1e-7)
    assert (out[-1] == 0).all()


@formulas
def test_the_gradient_is_that_of_differences(name):
    """gradcheck in float64, with respect to every parameter and every input's tokens and summary."""
    model, features = build(name), random_features(PRESENT[[0, 2, 5]])
    names = [name for name, _ in model.named_parameters()]

    def fused(*values):
        given = {key: Features(values[i], features[key].mask, values[3 + i]) for i, key in enumerate(DIMS)}
        return functional_call(model, dict(zip(names, values[6:], strict=True)), (given,)).pooled

    values = [features[key].tokens for key in DIMS] + [features[key].pooled for key in DIMS]
    values += [model.get_parameter(name).detach() for name in names]
    assert torch.autograd.gradcheck(fused, [one.clone().requires_grad_() for one in values], fast_mode=True)


# Which parameters stand in the inputs' order, by the end of their names; those of modules by name move by themselves.
ORDERED = ("modality", "summary")
SYMMETRIC = ("bottleneck", "resampler", "graph", "token_graph", "transformer", "co_attention")


def permuted(name, order):
    """The summaries of a fusion, and of one whose inputs, with their weights, stand in another order."""
    model = build(name)
    names = [list(DIMS)[i] for i in order]
    other = build(name, {name: DIMS[name] for name in names})
    if name == "co_attention":
        _move_pairs(model, other, names)
    else:
        state = {}
        for key, value in model.state_dict().items():
            place = next((at for at, part in enumerate(key.split(".")) if part == "parts"), None)
            parts = key.split(".")
            if place is not None:
                parts[place + 1] = str(order.index(int(parts[place + 1])))
            ordered = key.endswith(ORDERED) and len(value) == 3
            state[".".join(parts)] = value[order] if ordered else value
        other.load_state_dict(state)
    features = random_features()
    return model(features).pooled, other({key: features[key] for key in names}).pooled


def _move_pairs(model, other, names):
    """Weights of MulT's pairs: who asks whom, by name."""
    for a in DIMS:
        other.inputs.maps[a].load_state_dict(model.inputs.maps[a].state_dict())
        old, new = [name for name in DIMS if name != a], [name for name in names if name != a]
        other.askers[a].load_state_dict(model.askers[a].state_dict())
        for place, b in enumerate(new):
            for part in ("crossings", "feeds"):
                source = getattr(model.askers[a], part)[old.index(b)].state_dict()
                getattr(other.askers[a], part)[place].load_state_dict(source)
        turn = [old.index(b) for b in new]
        with torch.no_grad():
            other.askers[a].join.weight.copy_(model.askers[a].join.weight.unflatten(1, (2, -1))[:, turn].flatten(1))
            other.asked[a].norm.load_state_dict(model.asked[a].norm.state_dict())
            for key in ("weight", "bias"):
                value = getattr(model.asked[a].linear, key).unflatten(0, (2, -1))[turn].flatten(0, 1)
                getattr(other.asked[a].linear, key).copy_(value)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric_fusions_do_not_mind_the_order_of_the_inputs(name):
    one, other = permuted(name, [2, 0, 1])
    torch.testing.assert_close(one, other)


def test_serial_takes_its_contexts_in_the_stated_order():
    features = random_features()
    stated = build("serial", query="photo", context=["a.b", "type"])
    same = build("serial", {name: DIMS[name] for name in ("photo", "a.b", "type")})
    same.load_state_dict(stated.state_dict())
    assert torch.equal(stated(features).pooled, same(features).pooled)
    turned = build("serial", query="photo", context=["type", "a.b"])
    rest = {key: value for key, value in stated.state_dict().items() if not key.startswith("inputs.")}
    turned.load_state_dict(rest, strict=False)
    for name in DIMS:
        turned.inputs.maps[name].load_state_dict(stated.inputs.maps[name].state_dict())
    assert (stated(features).pooled - turned(features).pooled)[0].abs().max() > 1e-3


@pytest.mark.parametrize("name", ["graph", "token_graph"])
def test_a_given_graph_passes_along_its_edges_only(name):
    """photo - type - a.b in a row: in one layer photo hears nothing of a.b, in two it does."""
    edges, features = [("photo", "type"), ("type", "a.b")], random_features()
    changed = features | {"a.b": random_features(seed=1)["a.b"]._replace(mask=features["a.b"].mask)}
    for layers, hears in ((1, False), (2, True)):
        model = build(name, edges=edges, layers=layers)
        photo = slice(0, 3) if name == "token_graph" else slice(0, 1)
        one, other = model(features).tokens[:, photo], model(changed).tokens[:, photo]
        assert bool((one != other).any()) is hears
        assert (model(features).tokens[0] - model(changed).tokens[0]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["graph", "token_graph"])
def test_weights_of_the_graph_are_read(name):
    model, features = build(name, edges=[("photo", "type")]), random_features()
    weights, mask = model.weights(features), model(features).mask
    nodes = mask.shape[1]
    assert weights.shape == (len(PRESENT), 2, HEADS, nodes, nodes)
    torch.testing.assert_close(weights.sum(-1), mask[:, None, None].double().expand(-1, 2, HEADS, -1))
    last = slice(5, None) if name == "token_graph" else slice(2, None)
    assert (weights[..., last, : last.start] == 0).all() and (weights[0][..., 0, last.start - 2] > 0).all()


@pytest.mark.parametrize(
    ("edges", "sentence"),
    [([("photo", "tpye")], "no input 'tpye'; did you mean 'type'"), ([("type", "type")], "joins 'type' to itself")],
)
def test_the_graph_names_the_mistake(edges, sentence):
    with pytest.raises(UserError, match=sentence):
        build("graph", edges=edges)


@pytest.mark.parametrize("name", ["serial", "co_attention", "bottleneck", "resampler", "graph"])
def test_heads_must_divide_the_width(name):
    kind = FUSIONS[name]
    with pytest.raises(UserError, match="A width of 10 cannot be cut into 4 heads"):
        kind(kind.Config(dim=10, heads=4), DIMS)
