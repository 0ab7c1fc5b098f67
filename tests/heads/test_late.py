"""Late fusion's head: the formulas in NumPy, absence, gradients, calibration, and with the fusions it is made for."""

import itertools

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.fusion import FUSIONS
from sensorium.heads import HEADS
from sensorium.heads.late import Late, LateConfig

CONFIGS = {
    "classes": {"classes": 3, "prior": [0.5, 0.3, 0.2], "hidden": 5},
    "labels": {"classes": 2, "prior": [0.5, 0.1], "hidden": 5},
    "number": {"mean": 40.0, "scale": 10.0, "hidden": 5},
}
CASES = [
    (head, combine)
    for head in CONFIGS
    for combine in ("mean", "learned", "vote", "product")
    if (head, combine) != ("number", "vote")
]
cases = pytest.mark.parametrize(("name", "combine"), CASES)


def build(name, combine, experts=3, **options):
    """A late head in evaluation mode."""
    torch.manual_seed(3)
    return Late(LateConfig(head=name, config=CONFIGS[name] | options, experts=experts, combine=combine), 6).eval()


def rows(name, experts=3, repeat=2, seed=0):
    """Fused features with every pattern of presence `repeat` times (the first row has none) and targets."""
    torch.manual_seed(seed)
    mask = torch.tensor(list(itertools.product([False, True], repeat=experts)) * repeat)
    count = len(mask)
    tokens = torch.where(mask[..., None], torch.randn(count, experts, 6), 0.0)
    target = {
        "classes": {"label": torch.randint(3, (count,))},
        "labels": {"labels": (torch.rand(count, 2) > 0.5).float()},
        "number": {"value": 40 + 10 * torch.randn(count)},
    }[name]
    fused = Features(tokens, mask, tokens.mean(dim=1))
    return fused, target | {"mask": torch.arange(count) != 3}


def scores_of(head, fused):
    """Each expert's scores as NumPy, [B, E, K], and the masks, [B, E]."""
    with torch.no_grad():
        each = [expert.scores(token) for expert, token in head._tokens(fused)]
    return torch.stack(each, dim=1).double().numpy(), fused.mask.numpy()


def normalised(log_p):
    """Log-probabilities of a vector of any offset."""
    return log_p - np.log(np.exp(log_p).sum())


def plain(name, combine, scores, mask, weights, shares):
    """The combined probabilities (a number: mean) of one row by the textbook formula, in NumPy; scores [E, K]."""
    here = np.flatnonzero(mask)
    share = shares[here] / shares[here].sum()
    weight = np.ones(1) if len(here) == 1 else weights[here]  # an expert alone speaks for itself
    if name == "number":
        mean, precision = scores[here, 0], 1 / scores[here, 1]
        if combine == "product":
            return (weight * precision * mean).sum() / ((weight * precision).sum() - (weight.sum() - 1))
        return (share * mean).sum()
    prior = np.array(CONFIGS[name]["prior"])
    if name == "classes":
        if combine == "product":
            log_p = (weight[:, None] * scores[here]).sum(axis=0) - (weight.sum() - 1) * np.log(prior)
            return np.exp(normalised(log_p))
        return (share[:, None] * np.exp(scores[here])).sum(axis=0)
    if combine == "product":
        odds = (weight[:, None] * scores[here]).sum(axis=0) - (weight.sum() - 1) * np.log(prior / (1 - prior))
        return 1 / (1 + np.exp(-odds))
    return (share[:, None] / (1 + np.exp(-scores[here]))).sum(axis=0)


@pytest.mark.parametrize(("name", "combine"), [case for case in CASES if case[1] != "vote"])
def test_the_combination_is_the_formula(name, combine):
    head, (fused, _) = build(name, combine), rows(name)
    weights, shares = np.ones(3), np.ones(3)
    with torch.no_grad():
        if combine == "product":
            weights = np.array([0.4, 1.7, 1.0])
            head.weights.copy_(torch.tensor(weights))
        if combine == "learned":
            shares = np.exp(np.array([0.5, -1.0, 2.0]))
            head.shares.copy_(torch.tensor(shares).log())
        out = head.predict(fused)
    scores, mask = scores_of(head, fused)
    for row in range(len(mask)):
        if mask[row].any():
            expected = plain(name, combine, scores[row], mask[row], weights, shares)
            if name == "number":
                assert float(out["decision"][row]) == pytest.approx(40 + 10 * expected, rel=1e-5)
            else:
                np.testing.assert_allclose(out["probabilities"][row].numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["classes", "labels"])
def test_a_vote_is_the_majority_and_a_tie_goes_by_the_mean_probability(name):
    head, (fused, _) = build(name, "vote"), rows(name, repeat=20)
    out = head.predict(fused)
    scores, mask = scores_of(head, fused)
    ties = 0
    for row in range(len(mask)):
        here = scores[row][mask[row]]
        if not len(here):
            continue
        if name == "classes":
            share = np.bincount(here.argmax(axis=1), minlength=3) / len(here)
            best = np.flatnonzero(share == share.max())
            expected = max(best, key=lambda k: np.exp(here)[:, k].mean())
            ties += len(best) > 1
        else:
            share = (here > 0).mean(axis=0)
            mean = (1 / (1 + np.exp(-here))).mean(axis=0)
            expected = np.where(share == 0.5, mean > 0.5, share > 0.5)
            ties += (share == 0.5).any()
        if len(here) > 1:
            np.testing.assert_allclose(out["probabilities"][row].detach().numpy(), share, atol=1e-6)
        assert np.array_equal(out["decision"][row].numpy(), expected)
    assert ties > 5


@cases
def test_loss_is_the_present_experts_mean_and_of_means_also_the_joint_decisions(name, combine):
    head, (fused, target) = build(name, combine), rows(name)
    loss = head.loss(fused, target)
    each = torch.stack([expert.loss(token, target) for expert, token in head._tokens(fused)], dim=1)
    assert loss.shape == (16,) and loss.isfinite().all()
    for row in range(1, 8):
        own = each[row][fused.mask[row]].mean()
        scores = torch.tensor(scores_of(head, fused)[0][row][fused.mask[row].numpy()], dtype=torch.float32)
        if combine in ("vote", "product"):
            expected = own
        elif len(scores) == 1:
            expected = 2 * own
        else:
            continue
        torch.testing.assert_close(loss[row], expected, rtol=1e-4, atol=1e-5)
    (loss * target["mask"] * fused.present).sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0 for p in head.parameters())


@cases
def test_an_expert_alone_keeps_its_own_decision_after_calibration(name, combine):
    head, (fused, target) = build(name, combine), rows(name, repeat=20)
    head.calibrate(fused, target)
    out = head.predict(fused)
    for place, (expert, token) in enumerate(head._tokens(fused)):
        alone = fused.mask[:, place] & (fused.mask.sum(dim=1) == 1)
        for key, value in expert.predict(token).items():
            torch.testing.assert_close(out[key][alone], value[alone])


@cases
def test_a_row_without_any_input_gets_the_prior(name, combine):
    head, (fused, target) = build(name, combine), rows(name)
    head.calibrate(fused, target)
    out = head.predict(fused)
    if name == "number":
        assert out["decision"][0] == 40
    else:
        assert out["probabilities"][0].tolist() == pytest.approx(CONFIGS[name]["prior"])


@cases
def test_noise_in_an_absent_token_changes_no_bit_and_a_row_alone_is_the_row(name, combine):
    head, (fused, target) = build(name, combine), rows(name)
    noised = fused._replace(tokens=torch.where(fused.mask[..., None], fused.tokens, torch.nan))
    out, other = head.predict(fused), head.predict(noised)
    assert all(torch.equal(out[key], other[key]) for key in out)
    assert torch.equal(head.loss(fused, target), head.loss(noised, target))
    for row in range(8):
        alone = head.predict(fused.take(torch.tensor([row])))
        for key in out:
            torch.testing.assert_close(alone[key][0], out[key][row], rtol=1e-5, atol=1e-6)


@cases
def test_state_round_trip_after_calibration(name, combine):
    head, (fused, target) = build(name, combine), rows(name, repeat=10)
    head.calibrate(fused, target)
    other = Late(LateConfig.model_validate_json(head.config.model_dump_json()), 6).eval()
    other.load_state_dict(head.state_dict(), strict=True)
    for key, value in head.predict(fused).items():
        assert torch.equal(other.predict(fused)[key], value)
    once = {key: value.clone() for key, value in head.state_dict().items()}
    head.calibrate(fused, target)
    assert all(torch.equal(value, once[key]) for key, value in head.state_dict().items())


@cases
def test_a_single_expert_learns_all_its_parameters(name, combine):
    head, (fused, target) = build(name, combine, experts=1), rows(name, experts=1, repeat=8)
    (head.loss(fused, target) * fused.present).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in head.parameters())


@pytest.mark.parametrize("name", list(CONFIGS))
def test_calibration_turns_down_the_expert_that_is_useless_and_sure_of_itself(name):
    """Expert 0 knows, expert 1 shouts at random: the product must hear the first."""
    torch.manual_seed(0)
    head = build(name, "product", experts=2, hidden=0)
    tokens = torch.randn(600, 2, 6)
    signal = tokens[:, 0, :3] + 0.3 * torch.randn(600, 3)
    target = {
        "classes": {"label": (signal + torch.tensor([0.5, 0.3, 0.2]).log()).argmax(dim=1)},
        "labels": {"labels": (signal[:, :2] > torch.tensor([0.0, 1.3])).float()},
        "number": {"value": 40 + 10 * signal[:, 0]},
    }[name] | {"mask": torch.ones(600).bool()}
    with torch.no_grad():
        for expert, loud in zip(head.experts, (1.0, 5.0), strict=True):
            weight = expert.network.layers[-1].weight
            weight.copy_(loud * torch.eye(len(weight), 6))
    fused = Features(tokens, torch.ones(600, 2).bool(), tokens.mean(dim=1))
    before = head.loss(fused, target).mean()
    head.calibrate(fused, target)
    if name == "number":
        assert head.experts[1].slope < 0.05 < 0.5 < head.experts[0].slope
    else:
        assert head.weights[1] < 0.5 * head.weights[0] or head.experts[1].decision.temperature > 5
    assert head.loss(fused, target).mean() < before
    decision = head.predict(fused)["decision"]
    if name == "classes":
        assert (decision == target["label"]).float().mean() > 0.85
    elif name == "labels":
        assert (decision == target["labels"].bool()).float().mean() > 0.85
    else:
        assert np.corrcoef(decision.detach().numpy(), target["value"].numpy())[0, 1] > 0.9


def test_weighted_losses_are_taken_out_of_the_product_as_they_were_put_in():
    """Class weights teach the probabilities of a world of weighted classes, which experts that know nothing say."""
    head = build("classes", "product", class_weights=[1.0, 2.0, 5.0], hidden=0)
    with torch.no_grad():
        for expert in head.experts:
            expert.network.layers[-1].weight.zero_()
    fused, _ = rows("classes")
    weighted = torch.tensor([0.5, 0.6, 1.0])
    expected = (weighted / weighted.sum()).expand(7, -1)
    torch.testing.assert_close(head.predict(fused)["probabilities"][1:8], expected)


@pytest.mark.parametrize("combine", ["mean", "learned", "product"])
def test_hybrid_and_late_learn_the_exclusive_or_and_survive_absence(combine):
    """The joint token learns what no input alone can; an input that decides alone still does when the other is away."""
    torch.manual_seed(0)
    sides = torch.rand(512, 2) > 0.5
    label = (sides[:, 0] ^ sides[:, 1]).long()
    pooled = torch.where(sides[..., None], 1.0, -1.0) * torch.tensor([1.0, 0.5, -1.0, 0.2]) + 0.1 * torch.randn(
        512, 2, 4
    )
    here = torch.ones(512, dtype=torch.bool)
    features = {name: Features.one(pooled[:, i], here) for i, name in enumerate(["type", "a.b"])}
    fusion = FUSIONS["hybrid"](FUSIONS["hybrid"].Config(dim=16, dropout=0.0), {"type": 4, "a.b": 4})
    inner = {"classes": 2, "prior": [0.5, 0.5]}
    head = HEADS["late"](LateConfig(head="classes", config=inner, experts=fusion.experts, combine=combine), fusion.dim)
    optimiser = torch.optim.AdamW([*fusion.parameters(), *head.parameters()], lr=1e-2)
    target = {"mask": here, "label": label}
    for _ in range(150):
        optimiser.zero_grad()
        head.loss(fusion(features), target).mean().backward()
        optimiser.step()
    head.calibrate(fusion(features), target)
    assert (head.predict(fusion(features))["decision"] == label).float().mean() > 0.98
    alone = head.predict(fusion(features | {"a.b": features["a.b"].where(~here)}))
    assert alone["probabilities"].amax(dim=1).mean() < 0.65


def test_mistakes_are_sentences():
    with pytest.raises(ValidationError, match="inner head, hiden: Extra inputs"):
        LateConfig(head="number", config={"hiden": 3}, experts=2)
    with pytest.raises(ValidationError, match=r"inner head: .*2 values were given for 3 classes"):
        LateConfig(head="classes", config={"classes": 3, "prior": [0.5, 0.5]}, experts=2)
    with pytest.raises(UserError, match="cannot be voted on"):
        build("number", "vote")
    with pytest.raises(UserError, match="has 3 experts but the fusion gives 2 tokens"):
        build("classes", "mean").predict(rows("classes", experts=2)[0])
