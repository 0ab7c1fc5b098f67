"""What every fusion holds: any number of inputs, any absence, no leak of noise, batch invariance, gradients, saving."""

import itertools

import pytest
import torch

from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.fusion import FUSIONS
from sensorium.fusion.cross_attention import CrossAttention, CrossAttentionConfig
from sensorium.fusion.hybrid import Hybrid, HybridConfig
from sensorium.fusion.tensor import MOST_INPUTS

NAMES = ["type", "items", "a.b", "forward"]
WIDTHS = [5, 8, 3, 6]
LENGTHS = [4, 2, 6, 3]


def build(fusion, count):
    """A fusion of the first `count` inputs in evaluation mode."""
    torch.manual_seed(1)
    kind = FUSIONS[fusion]
    return kind(kind.Config(dim=16), dict(zip(NAMES[:count], WIDTHS, strict=False))).eval()


def every_pattern(count, seed=0):
    """Features of `count` inputs, one row for each pattern of presence; row 0 has none, the last row all."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.tensor(list(itertools.product([False, True], repeat=count)))
    features = {}
    for i, name in enumerate(NAMES[:count]):
        rows, length = len(patterns), LENGTHS[i]
        real = 1 + torch.randint(length, (rows, 1), generator=generator)
        mask = (torch.arange(length) < real) & patterns[:, i : i + 1]
        tokens = torch.randn(rows, length, WIDTHS[i], generator=generator)
        pooled = torch.randn(rows, WIDTHS[i], generator=generator)
        features[name] = Features(tokens, mask, pooled)
    return features, patterns


def own_losses(model, features):
    """The losses a fusion has of its own, over the rows that have any input: what `OfFusion` sums."""
    counted = torch.stack([feature.present for feature in features.values()]).any(dim=0)
    losses = model.losses(features) if hasattr(model, "losses") else {}
    return sum((torch.where(counted, loss, 0.0).sum() for loss in losses.values()), torch.zeros(()))


COUNTS = {name: range(1, 5) for name in FUSIONS} | {"tensor": range(1, MOST_INPUTS + 1)}
cases = pytest.mark.parametrize(("fusion", "count"), [(name, count) for name in FUSIONS for count in COUNTS[name]])


@cases
def test_shapes_and_a_row_without_any_input(fusion, count):
    model = build(fusion, count)
    features, patterns = every_pattern(count)
    out = model(features)
    assert out.tokens.shape == (*out.mask.shape, 16) and out.pooled.shape == (len(patterns), 16) and model.dim == 16
    assert torch.equal(out.present, patterns.any(dim=1))
    assert not out.mask[0].any() and (out.pooled[0] == 0).all() and (out.tokens[~out.mask] == 0).all()
    assert (out.pooled[1:].abs().sum(dim=1) > 0).all() and out.pooled.isfinite().all()
    assert model.experts in (None, out.tokens.shape[1]) and model.reads in ("pooled", "tokens")


@cases
def test_noise_in_an_absent_slot_changes_no_output_bit(fusion, count):
    model = build(fusion, count)
    features, _ = every_pattern(count)
    for noise in (1e4, torch.nan):
        noised = {
            name: Features(
                torch.where(mask[..., None], tokens, noise), mask, torch.where(mask.any(1, keepdim=True), pooled, noise)
            )
            for name, (tokens, mask, pooled) in features.items()
        }
        assert all(torch.equal(a, b) for a, b in zip(model(features), model(noised), strict=True))


@cases
def test_a_row_alone_equals_the_row_in_the_batch(fusion, count):
    model = build(fusion, count)
    features, patterns = every_pattern(count)
    batch = model(features)
    for row in range(len(patterns)):
        alone = {}
        for name, feature in features.items():
            length = max(1, int(feature.mask[row].sum()))
            one = feature.take(torch.tensor([row]))
            alone[name] = Features(one.tokens[:, :length], one.mask[:, :length], one.pooled)
        out = model(alone)
        torch.testing.assert_close(out.pooled[0], batch.pooled[row], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(out.tokens[out.mask], batch.tokens[row][batch.mask[row]], rtol=1e-5, atol=1e-5)


@cases
def test_every_parameter_has_a_gradient_and_stands_in_the_state(fusion, count):
    model = build(fusion, count).train()
    # Several rows of each pattern: where a query finds one key alone, it has no gradient.
    parts = [every_pattern(count, seed)[0] for seed in range(4)]
    features = {name: Features.joined([part[name] for part in parts]) for name in parts[0]}
    out = model(features)
    ((out.pooled * torch.randn_like(out.pooled)).sum() + own_losses(model, features)).backward()
    for name, parameter in model.named_parameters():
        # What stands for a missing query matters only through softmax, so its share may be small.
        assert parameter.grad is not None and parameter.grad.abs().max() > 1e-7, name
    assert set(dict(model.named_parameters())) <= set(model.state_dict())


@cases
def test_state_round_trip(fusion, count):
    model, features = build(fusion, count), every_pattern(count)[0]
    config = type(model).Config.model_validate_json(model.config.model_dump_json())
    other = type(model)(config, dict(zip(NAMES[:count], WIDTHS, strict=False))).eval()
    assert not torch.equal(other(features).pooled, model(features).pooled)
    other.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(other(features).pooled, model(features).pooled)


@cases
def test_a_process_whose_rows_all_lack_an_input_still_trains(fusion, count):
    model = build(fusion, count).train()
    features, patterns = every_pattern(count)
    nobody = torch.zeros(len(patterns), dtype=torch.bool)
    features = {name: feature.where(nobody) for name, feature in features.items()}
    (model(features).pooled.sum() + own_losses(model, features)).backward()
    assert all(p.grad is not None and (p.grad == 0).all() for p in model.parameters())


def test_hybrid_has_a_joint_token_exactly_where_two_inputs_are_present():
    features, patterns = every_pattern(3)
    out = build("hybrid", 3)(features)
    assert torch.equal(out.mask[:, :3], patterns) and torch.equal(out.mask[:, 3], patterns.sum(dim=1) >= 2)
    assert [build("hybrid", count).experts for count in (1, 2, 3)] == [1, 3, 4]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_declares_whether_its_tokens_are_experts(fusion):
    assert vars(FUSIONS[fusion])["gives_experts"] is (fusion in ("separate", "late", "hybrid"))
    if FUSIONS[fusion].gives_experts:
        assert build(fusion, 2).experts is not None


def test_separate_keeps_inputs_apart():
    """The token of one input is the same whatever the others are; the summary is the mean of the present ones."""
    model, (features, _) = build("separate", 3), every_pattern(3)
    out = model(features)
    changed = model(features | {"items": every_pattern(3, seed=5)[0]["items"]})
    assert torch.equal(out.tokens[:, [0, 2]], changed.tokens[:, [0, 2]])
    torch.testing.assert_close(out.pooled[5], (out.tokens[5, 0] + out.tokens[5, 2]) / 2)


def test_concat_tells_absent_from_zero():
    """The learned vector of an absent input changes the output where that input is absent, and nowhere else."""
    model, (features, patterns) = build("concat", 2), every_pattern(2)
    before = model(features).pooled
    with torch.no_grad():
        model.joint.absent[0] += 1.0
    moved = (model(features).pooled != before).any(dim=1)
    assert torch.equal(moved, ~patterns[:, 0] & patterns[:, 1])


@pytest.mark.parametrize("fusion", ["transformer", "cross_attention"])
def test_deep_fusions_read_the_other_inputs_tokens(fusion):
    model, (features, patterns) = build(fusion, 2), every_pattern(2)
    other = model(features | {"items": every_pattern(2, seed=5)[0]["items"]._replace(mask=features["items"].mask)})
    moved = (other.pooled - model(features).pooled).abs().amax(dim=1) > 1e-4
    assert torch.equal(moved, patterns[:, 1])


def test_cross_attention_leads_with_the_query_and_reads_its_context_only():
    dims = dict(zip(NAMES[:3], WIDTHS, strict=False))
    model = CrossAttention(CrossAttentionConfig(query="a.b", context=["type"], layers=1, dim=16), dims).eval()
    features, patterns = every_pattern(3)
    out = model(features)
    assert out.tokens.shape[1] == 6 and torch.equal(out.mask[patterns[:, 2]], features["a.b"].mask[patterns[:, 2]])
    assert torch.equal(out.present, patterns[:, 2] | patterns[:, 0])
    without = model(features | {"items": features["items"].where(torch.zeros(8, dtype=torch.bool))})
    assert torch.equal(out.pooled, without.pooled)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"query": "itms"}, "no input 'itms'; did you mean 'items'"),
        ({"context": ["photo"]}, "no input 'photo'"),
        ({"query": "type", "context": ["type"]}, "'type' is also in its own context"),
    ],
)
def test_cross_attention_names_the_mistake(options, sentence):
    with pytest.raises(UserError, match=sentence):
        CrossAttention(CrossAttentionConfig(**options), dict(zip(NAMES[:2], WIDTHS, strict=False)))


@cases
def test_fusion_gives_float32_under_autocast(fusion, count):
    with torch.autocast("cpu", torch.bfloat16):
        out = build(fusion, count)(every_pattern(count)[0])
    assert out.tokens.dtype == out.pooled.dtype == torch.float32


def test_hybrid_hides_inputs_from_the_joint_token_of_more_than_two_only():
    for count, hides in ((2, False), (3, True)):
        dims = dict.fromkeys("abc"[:count], 4)
        hybrid = Hybrid(HybridConfig(dim=8, dropout=0.0, modality_dropout=0.5), dims).train()
        features = {name: Features.one(torch.randn(64, 4), torch.ones(64, dtype=torch.bool)) for name in dims}
        once, again = hybrid(features), hybrid(features)
        assert once.mask[:, :count].all() and torch.equal(once.tokens[:, :count], again.tokens[:, :count])
        assert torch.equal(once.tokens[:, count], again.tokens[:, count]) is not hides
        assert bool(once.mask[:, count].all()) is not hides
        assert hybrid.eval()(features).mask.all()
