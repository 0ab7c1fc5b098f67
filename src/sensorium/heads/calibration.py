"""What is fitted on validation rows after training: temperatures, weights, decision thresholds."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from sensorium.features import Features

Balance = Literal["balanced_accuracy", "f1"]


def known_rows(fused: Features, target: dict[str, Tensor]) -> tuple[Features, dict[str, Tensor]]:
    """The rows that have both a target and an input, of the fused features and of the target's tensors."""
    rows = (target["mask"] & fused.present).nonzero()[:, 0]  # [N]
    return fused.take(rows), {key: value[rows] for key, value in target.items()}


def minimise(objective: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Where a smooth function of a vector is least, by L-BFGS from `start`, float [N]: float64 [N].

    An objective that is not finite where the search ends gives `start` back.
    """
    start = start.detach().double()
    with torch.enable_grad():
        point = start.clone().requires_grad_()
        optimiser = torch.optim.LBFGS([point], max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            value = objective(point)
            value.backward()
            return value

        optimiser.step(closure)
    minimum = point.detach()
    with torch.no_grad():
        is_better = objective(minimum) <= objective(start)  # False for a NaN
    return minimum if is_better else start


def fit_temperature(log_loss: Callable[[Tensor], Tensor], rows: int) -> float:
    """The one temperature, between 0.1 and 10, with the least mean log loss (Guo et al. 2017, arXiv:1706.04599).

    log_loss: temperature (scalar) -> mean loss of `rows` validation rows. A pull towards 1, worth about one row, keeps
    a few rows that are all decided correctly from making the model certain.
    """
    bound = math.log(10)

    def objective(raw: Tensor) -> Tensor:
        log_temperature = bound * torch.tanh(raw)
        return log_loss(log_temperature.exp()[0]) + log_temperature.square().sum() / rows

    return float((bound * torch.tanh(minimise(objective, torch.zeros(1)))).exp())


def fit_weights(log_loss: Callable[[Tensor], Tensor], experts: int, rows: int) -> Tensor:
    """One non-negative weight for each expert, float64 [E], with the least mean log loss of `rows` validation rows.

    log_loss: weights [E] -> mean loss. A pull towards 1, worth about one row, keeps them near 1 when rows say little.
    """

    def objective(log_weights: Tensor) -> Tensor:
        weights = log_weights.exp()
        return log_loss(weights) + (weights - 1).square().sum() / rows

    return minimise(objective, torch.zeros(experts)).exp()


def best_threshold(scores: Tensor, positive: Tensor, balance: Balance) -> float:
    """The threshold t for which the decision `score > t` has the best balanced accuracy or F1.

    scores: float [N] in [0, 1]. positive: bool [N]. Of equally good ones the nearest to 0.5, which it also is when all
    rows are positive, or none.
    """
    count, positives = len(scores), int(positive.sum())
    if positives in (0, count):
        return 0.5
    scores, order = scores.double().sort(descending=True)
    # Cut k calls the k highest scores positive; its threshold is anywhere from the next score down to the last of them.
    cut = torch.arange(count + 1, device=scores.device)
    right = torch.cat([scores.new_zeros(1), positive[order].double().cumsum(0)])  # [N + 1]
    upper, lower = torch.cat([scores.new_ones(1), scores]), torch.cat([scores, scores.new_zeros(1)])  # [N + 1]
    threshold = torch.where((lower <= 0.5) & (upper > 0.5), 0.5, (upper + lower) / 2)
    if balance == "f1":
        value = 2 * right / (cut + positives)
    else:
        value = right / positives + 1 - (cut - right) / (count - positives)
    value = torch.where(upper > lower, value, -1.0)
    distance = torch.where(value >= value.max() - 1e-9, (threshold - 0.5).abs(), 2.0)
    return float(threshold[distance.argmin()])
