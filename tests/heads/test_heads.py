"""The heads that decide on the summary: losses, predictions, priors, calibration, saving."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import balanced_accuracy_score, f1_score

from sensorium.features import Features
from sensorium.heads import HEADS

CONFIGS = {
    "classes": {"classes": 3, "prior": [0.5, 0.3, 0.2]},
    "labels": {"classes": 3, "prior": [0.5, 0.1, 0.2]},
    "number": {"mean": 40.0, "scale": 10.0},
}


def build(name, dim=6, **options):
    """A head in evaluation mode."""
    torch.manual_seed(2)
    return HEADS[name](HEADS[name].Config(**CONFIGS[name] | options), dim).eval()


def rows(name, count=12, dim=6, seed=0):
    """Fused features (row 0 without any input) and targets (row 1 unknown, with nonsense in its place)."""
    torch.manual_seed(seed)
    present = torch.arange(count) != 0
    mask = torch.arange(count) != 1
    target = {
        "classes": {"label": torch.where(mask, torch.randint(3, (count,)), -1)},
        "labels": {"labels": torch.where(mask[:, None], (torch.rand(count, 3) > 0.5).float(), torch.nan)},
        "number": {"value": torch.where(mask, 40 + 10 * torch.randn(count), torch.nan)},
    }[name]
    return Features.one(torch.randn(count, dim), present), target | {"mask": mask}


heads = pytest.mark.parametrize("name", list(CONFIGS))


@heads
@pytest.mark.parametrize("hidden", [0, 8])
def test_loss_is_finite_and_reaches_every_parameter(name, hidden):
    head = build(name, hidden=hidden, dropout=0.1).train()
    fused, target = rows(name)
    loss = head.loss(fused, target)
    assert loss.shape == (12,) and loss.dtype == torch.float32 and loss.isfinite().all()
    (loss * (target["mask"] & fused.present)).sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0 for p in head.parameters())
    assert head.kind == {"classes": "class"}.get(name, name)


@heads
def test_a_row_alone_equals_the_row_in_the_batch_and_prediction_mutates_nothing(name):
    head, (fused, target) = build(name, hidden=8), rows(name)
    before = {key: value.clone() for key, value in head.state_dict().items()}
    batch, losses = head.predict(fused), head.loss(fused, target)
    for row in range(12):
        at = torch.tensor([row])
        alone = head.predict(fused.take(at))
        for key, value in batch.items():
            torch.testing.assert_close(alone[key][0], value[row], rtol=1e-5, atol=1e-6)
        one = head.loss(fused.take(at), {key: value[at] for key, value in target.items()})
        torch.testing.assert_close(one[0], losses[row], rtol=1e-5, atol=1e-6)
    assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())


@heads
def test_a_row_without_any_input_gets_the_prior(name):
    head, (fused, target) = build(name), rows(name)
    head.calibrate(fused, target)
    out = head.predict(fused)
    if name == "number":
        assert out["decision"][0] == 40
    else:
        assert out["probabilities"][0].tolist() == pytest.approx(CONFIGS[name]["prior"])
    assert out["decision"].dtype == {"classes": torch.int64, "labels": torch.bool, "number": torch.float64}[name]


@heads
def test_state_and_config_round_trip(name):
    head, (fused, target) = build(name, hidden=4), rows(name)
    head.calibrate(fused, target)
    other = HEADS[name](type(head).Config.model_validate_json(head.config.model_dump_json()), 6).eval()
    other.load_state_dict(head.state_dict(), strict=True)
    for key, value in head.predict(fused).items():
        assert torch.equal(other.predict(fused)[key], value)


@heads
def test_calibration_reads_known_rows_only_and_twice_is_once(name):
    head, (fused, target) = build(name), rows(name)
    head.calibrate(fused, target)
    once = {key: value.clone() for key, value in head.state_dict().items()}
    head.calibrate(fused, target)
    assert all(torch.equal(value, once[key]) for key, value in head.state_dict().items())
    fresh = build(name)
    before = {key: value.clone() for key, value in fresh.state_dict().items()}
    fresh.calibrate(fused, target | {"mask": torch.zeros(12, dtype=torch.bool)})
    assert all(torch.equal(value, before[key]) for key, value in fresh.state_dict().items())


def test_class_loss_is_the_formula():
    """Label smoothing and class weights against NumPy."""
    weights, smoothing = [1.0, 2.0, 0.5], 0.1
    head, (fused, target) = build("classes", class_weights=weights, label_smoothing=smoothing), rows("classes")
    logits = head.network(fused.pooled).detach().double().numpy()
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    label = target["label"].clamp(min=0).numpy()
    soft = np.eye(3)[label] * (1 - smoothing) + smoothing / 3
    expected = -(soft * np.array(weights) * log_p).sum(axis=1)
    np.testing.assert_allclose(head.loss(fused, target).detach().numpy(), expected, rtol=1e-5)


def test_label_loss_is_the_formula():
    head, (fused, target) = build("labels", class_weights=[1.0, 4.0, 2.0], label_smoothing=0.2), rows("labels")
    p = 1 / (1 + np.exp(-head.network(fused.pooled).detach().double().numpy()))
    labels = np.nan_to_num(target["labels"].numpy()) * 0.8 + 0.1
    expected = -(labels * np.array([1.0, 4.0, 2.0]) * np.log(p) + (1 - labels) * np.log(1 - p)).mean(axis=1)
    np.testing.assert_allclose(head.loss(fused, target).detach().numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("criterion", ["huber", "squared"])
def test_number_loss_is_the_formula_in_training_spreads(criterion):
    head, (fused, target) = build("number", criterion=criterion), rows("number")
    target["value"][2] = 400.0
    error = np.abs(head.network(fused.pooled)[:, 0].detach().numpy() - (target["value"].numpy() - 40) / 10)
    expected = error**2 / 2 if criterion == "squared" else np.where(error < 1, error**2 / 2, error - 0.5)
    known = target["mask"].numpy()
    np.testing.assert_allclose(head.loss(fused, target).detach().numpy()[known], expected[known], rtol=1e-5)
    prediction = head.predict(fused)["decision"]
    np.testing.assert_allclose(
        prediction.detach()[1:], 40 + 10 * head.network(fused.pooled)[1:, 0].detach().numpy(), rtol=1e-5
    )


@heads
def test_training_starts_at_the_prior(name):
    """With the weights at zero, an untrained head says the prior."""
    head = build(name)
    with torch.no_grad():
        head.network.layers[-1].weight.zero_()
    out = head.predict(rows(name)[0])
    if name == "number":
        assert (out["decision"] == 40).all()
    else:
        torch.testing.assert_close(out["probabilities"], torch.tensor([CONFIGS[name]["prior"]] * 12))


def imbalanced(seed=0, count=400):
    """A binary world, one in ten positive, whose probabilities seldom reach one half."""
    torch.manual_seed(seed)
    label = (torch.rand(count) < 0.1).long()
    pooled = torch.randn(count, 6)
    pooled[:, 0] += 1.5 * label
    return Features.one(pooled, torch.ones(count, dtype=torch.bool)), {"mask": torch.ones(count).bool(), "label": label}


@pytest.mark.parametrize("rare", [0, 1])
@pytest.mark.parametrize("balance", ["balanced_accuracy", "f1"])
def test_the_threshold_is_chosen_only_when_asked_and_is_better(balance, rare):
    fused, target = imbalanced()
    target["label"] = target["label"] if rare else 1 - target["label"]
    truth = target["label"].numpy()
    metric = balanced_accuracy_score
    if balance == "f1":

        def metric(truth, decision):
            return f1_score(truth, decision, pos_label=rare)

    prior, values = [0.1, 0.9] if rare == 0 else [0.9, 0.1], {}
    for choose in (False, True):
        head = build("classes", classes=2, prior=prior, choose_threshold=choose, balance=balance)
        with torch.no_grad():
            head.network.layers[-1].weight.zero_()
            head.network.layers[-1].weight[rare, 0] = 1.0
        head.calibrate(fused, target)
        assert (float(head.decision.threshold) != 0.5) == choose
        values[choose] = metric(truth, head.predict(fused)["decision"].numpy())
    assert values[True] > values[False] + 0.1


def test_label_thresholds_are_each_labels_own():
    torch.manual_seed(0)
    head = build("labels")
    pooled = torch.randn(500, 6)
    labels = (pooled[:, :3] > torch.tensor([0.0, 1.3, 0.8])).float()
    with torch.no_grad():
        head.network.layers[-1].weight.copy_(torch.eye(3, 6))
    fused = Features.one(pooled, torch.ones(500, dtype=torch.bool))
    target = {"mask": torch.ones(500).bool(), "labels": labels}
    head.calibrate(fused, target)
    assert len(set(head.decision.threshold.tolist())) == 3
    f1 = f1_score(labels.numpy(), head.predict(fused)["decision"].numpy(), average=None)
    assert (f1 > 0.99).all()
    fixed = build("labels", choose_threshold=False)
    fixed.calibrate(fused, target)
    assert fixed.decision.threshold.tolist() == [0.5] * 3


def test_a_calibrated_temperature_lowers_the_log_loss_and_moves_no_decision():
    head, (fused, target) = build("classes"), rows("classes", count=300)
    with torch.no_grad():
        head.network.layers[-1].weight.mul_(20)
    before = head.predict(fused)["decision"]
    loss = head.loss(fused, target)[2:].mean()
    head.calibrate(fused, target)
    assert head.decision.temperature > 2 and head.loss(fused, target)[2:].mean() < loss
    assert torch.equal(head.predict(fused)["decision"][1:], before[1:])


@pytest.mark.parametrize(
    "options", [{"prior": [0.5, 0.5]}, {"class_weights": [1.0]}, {"class_weights": [1.0, 0.0, 1.0]}]
)
def test_a_config_that_does_not_fit_is_refused(options):
    for name in ("classes", "labels"):
        with pytest.raises(ValidationError):
            HEADS[name].Config(**CONFIGS[name] | options)
