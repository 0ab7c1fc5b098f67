"""Fusion of distributions: each input gives a normal distribution, and these are multiplied."""

import math
from typing import NamedTuple

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.errors import check_known
from sensorium.features import Features
from sensorium.nn.inputs import Inputs
from sensorium.nn.named import Named
from sensorium.nn.precision import wide

LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE = -10.0, 10.0


class VariationalConfig(BaseModel, frozen=True, extra="forbid"):
    """`dim`: width of the latent vector, which is the fused token; `dropout` acts before the input maps.

    `reconstruction`: weight of the loss of rebuilding the inputs, beside those of the targets; `divergence`: weight of
    the distance to the prior."""

    dim: int = Field(128, gt=0)
    dropout: float = Field(0.2, ge=0, lt=1)
    reconstruction: float = Field(0.1, ge=0)
    divergence: float = Field(0.01, ge=0)


class Gaussian(NamedTuple):
    """A normal distribution with independent coordinates: mean and variance, float32 [B, D]."""

    mean: Tensor
    variance: Tensor


class Variational(nn.Module):
    """z ~ N(μ, σ²), a product of experts: 1/σ² = 1 + Σᵢ 1/σᵢ², μ = σ² Σᵢ μᵢ/σᵢ², with [μᵢ; log σᵢ²] = xᵢ.

    The multimodal variational autoencoder (Wu & Goodman 2018, arXiv:1802.05335); the 1 is the prior N(0, 1). In
    training the fused token is a sample of z, in evaluation its mean. An absent input is left out of the product.
    A decoder for each input rebuilds the direction of its summary from z, so the fusion can predict an absent one:
    `imputed`. Its `losses`, weighted by `weights`, are added to those of the targets."""

    Config = VariationalConfig
    reads = "pooled"
    gives_experts = False
    experts = 1

    def __init__(self, config: VariationalConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.weights = {"reconstruction": config.reconstruction, "divergence": config.divergence}
        self.inputs = Inputs(dims, 2 * config.dim, config.dropout)
        self.decoders = Named({name: _decoder(config.dim, width) for name, width in dims.items()})

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of every input, widths as in `dims` -> tokens float32 [B, 1, D], mask [B, 1], pooled [B, D]."""
        summaries, present = self.inputs.summaries(features)
        return Features.one(self._draw(_product(summaries, present)), present.any(dim=1))

    def posterior(self, features: dict[str, Features]) -> Gaussian:
        """The distribution of z given the inputs that are present; the prior N(0, 1) in a row without any."""
        return _product(*self.inputs.summaries(features))

    def imputed(self, features: dict[str, Features], name: str) -> Tensor:
        """The summary of input `name` as predicted from the inputs that are present: float32 [B, width of `name`]. Each
        row is the direction of the encoder's summary, of unit length, as `model.embed` gives it where the model has no
        projection. Raises UserError for a name that is no input."""
        check_known(self.decoders.names, "input", name)
        return F.normalize(wide(self.decoders[name](self.posterior(features).mean)), dim=-1)

    def losses(self, features: dict[str, Features]) -> dict[str, Tensor]:
        """By name the losses of each row, float32 [B]; those of a row without any input have no meaning.

        reconstruction: half the squared error of each input that is present, a mean over its coordinates. divergence:
        KL(z ‖ N(0, 1)), a mean over D. In training half of each comes from a random subset of the row's inputs,
        which has to rebuild all of them, so that every pattern of absence is learned (the paper's sub-sampling)."""
        summaries, present = self.inputs.summaries(features)
        if not self.training:
            return self._bound(features, _product(summaries, present))
        subset = present & (torch.rand(present.shape, device=present.device) < 0.5)
        subset = torch.where(subset.any(dim=1, keepdim=True), subset, present)
        from_all, from_subset = (self._bound(features, _product(summaries, mask)) for mask in (present, subset))
        return {name: (from_all[name] + from_subset[name]) / 2 for name in from_all}

    def _bound(self, features: dict[str, Features], posterior: Gaussian) -> dict[str, Tensor]:
        """The two terms of the evidence lower bound of each row, [B]."""
        z = self._draw(posterior)
        errors = torch.stack([self._error(name, features[name], z) for name in self.decoders.names])  # [N, B]
        mean, variance = posterior
        divergence = (mean.square() + variance - 1 - variance.log()).mean(dim=1) / 2
        return {"reconstruction": errors.sum(dim=0), "divergence": divergence}

    def _error(self, name: str, feature: Features, z: Tensor) -> Tensor:
        """float32 [B], zero where the input is absent."""
        # Without detach the encoder would learn to make all summaries equal, which is easy to rebuild.
        pooled = wide(torch.where(feature.present[:, None], feature.pooled.detach(), 0.0))
        target = F.normalize(pooled, dim=-1) * math.sqrt(pooled.shape[1])  # coordinates of about 1
        error = (wide(self.decoders[name](z)) - target).square().mean(dim=1) / 2
        return torch.where(feature.present, error, 0.0)

    def _draw(self, posterior: Gaussian) -> Tensor:
        if not self.training:
            return posterior.mean
        return posterior.mean + torch.randn_like(posterior.mean) * posterior.variance.sqrt()


def _product(summaries: Tensor, mask: Tensor) -> Gaussian:
    """The prior times the experts where `mask`, bool [B, N], is True; `summaries` [B, N, 2 D]: means, log variances."""
    means, log_variances = summaries.chunk(2, dim=-1)  # [B, N, D]
    precisions = (-log_variances.clamp(LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE)).exp()
    precisions = precisions * mask[..., None].to(precisions.dtype)
    variance = 1 / (1 + precisions.sum(dim=1))
    return Gaussian(variance * (precisions * means).sum(dim=1), variance)


def _decoder(dim: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, width))
