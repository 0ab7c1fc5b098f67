"""The variational fusion: its sample, its losses against a plain statement, and what it fills in."""

import numpy as np
import pytest
import torch

from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.fusion.variational import Variational, VariationalConfig
from tests.fusion.test_formulas_pooled import DIMS, PRESENT, build, random_features


def test_the_posterior_is_the_product_of_the_prior_and_the_experts():
    model, features = build("variational"), random_features()
    with torch.no_grad():
        x = model.inputs.summaries(features)[0].numpy()
        mean, variance = (one.numpy() for one in model.posterior(features))
    for row, present in enumerate(PRESENT):
        precision = 1 + sum(np.exp(-x[row, i, 4:]) for i in range(3) if present[i])
        np.testing.assert_allclose(variance[row], 1 / precision, rtol=1e-9)
    assert (mean[-1] == 0).all() and (variance[-1] == 1).all()


def test_training_draws_a_sample_and_evaluation_takes_the_mean():
    features = random_features(present=np.ones((1, 3), dtype=bool))
    many = {name: feature.take(torch.zeros(20_000, dtype=torch.long)) for name, feature in features.items()}
    model = build("variational", dropout=0.0)
    mean, variance = model.posterior(features)
    assert torch.equal(model(features).pooled, mean)
    drawn = model.train()(many).pooled
    torch.testing.assert_close(drawn.mean(dim=0), mean[0], rtol=0, atol=0.03)
    torch.testing.assert_close(drawn.var(dim=0), variance[0], rtol=0.05, atol=0)


def test_the_losses_are_the_terms_of_the_evidence_lower_bound():
    model, features = build("variational"), random_features()
    with torch.no_grad():
        losses = {name: loss.numpy() for name, loss in model.losses(features).items()}
        mean, variance = (one.numpy() for one in model.posterior(features))
        rebuilt = {name: model.decoders[name](torch.tensor(mean)).numpy() for name in DIMS}
    for row, present in enumerate(PRESENT):
        error = 0.0
        for i, name in enumerate(DIMS):
            if present[i]:
                target = features[name].pooled[row].numpy()
                target = target / np.linalg.norm(target) * np.sqrt(DIMS[name])
                error += ((rebuilt[name][row] - target) ** 2).mean() / 2
        kl = (mean[row] ** 2 + variance[row] - 1 - np.log(variance[row])) / 2
        np.testing.assert_allclose(losses["reconstruction"][row], error, rtol=1e-9)
        np.testing.assert_allclose(losses["divergence"][row], kl.mean(), rtol=1e-9)


def test_the_gradient_of_the_losses_is_that_of_differences():
    """The targets of the decoders are fixed, so only what the fusion reads is moved: its parameters."""
    model, features = build("variational"), random_features(present=PRESENT[:3])
    names = [name for name, _ in model.named_parameters()]

    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self):
            return sum(loss.sum() for loss in self.model.losses(features).values())

    def total(*values):
        given = {f"model.{name}": value for name, value in zip(names, values, strict=True)}
        return torch.func.functional_call(Both(), given, ())

    values = [parameter.detach().clone().requires_grad_() for parameter in model.parameters()]
    assert torch.autograd.gradcheck(total, values, fast_mode=True)


def test_noise_in_an_absent_slot_changes_no_loss():
    model, features = build("variational"), random_features()
    noised = {
        name: Features(
            torch.where(mask[..., None], tokens, torch.nan),
            mask,
            torch.where(mask.any(1, keepdim=True), pooled, torch.nan),
        )
        for name, (tokens, mask, pooled) in features.items()
    }
    for name, loss in model.losses(features).items():
        assert torch.equal(loss, model.losses(noised)[name])


def test_no_encoder_learns_from_being_its_own_target():
    """An input that no expert reads, and only the decoder has to rebuild, gets no gradient."""
    model = build("variational")
    with torch.no_grad():
        model.inputs.maps["type"][-1].weight.zero_()
    features = random_features(present=np.ones((4, 3), dtype=bool))
    pooled = features["type"].pooled.clone().requires_grad_()
    given = features | {"type": Features.one(pooled, features["type"].present)}
    model.losses(given)["reconstruction"].sum().backward()
    assert (pooled.grad == 0).all()


def test_what_is_filled_in_is_near_what_is_absent():
    """Three inputs are views of one vector, each with noise; two of them tell the direction of the third."""
    generator = torch.Generator().manual_seed(0)
    mixes = {name: torch.randn(4, 8, generator=generator) for name in "abc"}

    def world(rows):
        cause, everywhere = torch.randn(rows, 4, generator=generator), torch.ones(rows, dtype=torch.bool)
        return {
            name: Features.one(cause @ mix + 0.3 * torch.randn(rows, 8, generator=generator), everywhere)
            for name, mix in mixes.items()
        }

    torch.manual_seed(0)
    model = Variational(VariationalConfig(dim=8, dropout=0.0), dict.fromkeys("abc", 8))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    for _ in range(150):
        losses = model.losses(world(64))
        sum(model.weights[name] * loss.mean() for name, loss in losses.items()).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    held_out = world(200)
    gone = held_out | {"c": held_out["c"].where(torch.zeros(200, dtype=torch.bool))}
    filled = model.imputed(gone, "c")
    torch.testing.assert_close(filled.norm(dim=1), torch.ones(200))
    truth = torch.nn.functional.normalize(held_out["c"].pooled, dim=1)
    assert (filled * truth).sum(dim=1).mean() > 0.85
    assert (filled * truth.roll(1, dims=0)).sum(dim=1).mean() < 0.3


def test_only_an_input_can_be_filled_in():
    with pytest.raises(UserError, match="no input 'tpye'; did you mean 'type'"):
        build("variational").imputed(random_features(), "tpye")
