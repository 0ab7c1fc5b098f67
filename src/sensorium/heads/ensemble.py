"""One decision of a network's experts and of experts that are not networks."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.features import Features
from sensorium.heads.calibration import fit_weights, known_rows
from sensorium.heads.late import Late, LateConfig
from sensorium.heads.single import HEADS

ROUNDS = 25  # of the greedy choice
MOST_NUMBERS, LEAST_CHOSEN_BY = 20_000_000, 1_000  # scores that shares are chosen by, and rows at least


class EnsembleConfig(BaseModel, frozen=True, extra="forbid"):
    """network: the settings of the network's head, whose decisions are those of the first `late.experts` tokens, `dim`
    wide. scores: how many numbers each later token's scores are. groups: positions of the tokens that decide from the
    same inputs. whole: those that decide from all inputs.
    """

    network: LateConfig
    dim: int = Field(gt=0)
    scores: int = Field(gt=0)
    groups: list[list[int]]
    whole: list[int]


class Judged(NamedTuple):
    """Of N rows that a head did not learn from: every token's scores, float [N, T, S], which of them are present, bool
    [N, T], and the target's tensors, [N, ...]; and what its network's experts were calibrated to."""

    scores: Tensor
    mask: Tensor
    target: dict[str, Tensor]
    calibrated: list[Tensor]


class Ensemble(nn.Module):
    """What decides from the same inputs is averaged, the groups are multiplied as `late` multiplies its experts, and
    the product is averaged with what decides from all inputs at once.

    The shares of both averages are chosen greedily on validation rows (Caruana et al. 2004,
    doi:10.1145/1015330.1015432), the weights of the product by the least log loss. A row in which one group decides is
    decided by it alone.
    """

    Config = EnsembleConfig

    def __init__(self, config: EnsembleConfig, dim: int):
        super().__init__()
        self.config = config
        self.late = Late(config.network, config.dim)
        inner = HEADS[config.network.head]
        self.kind, self.decode = inner.kind, inner.decode
        if hasattr(inner, "as_target"):
            self.as_target = inner.as_target
        self.decision = inner.Decision(inner.Config(**config.network.config))
        for number, group in enumerate(config.groups):
            self.register_buffer(f"shares_{number}", torch.full((len(group),), 1 / len(group)))
        self.register_buffer("weights", torch.ones(len(config.groups)))
        self.register_buffer("shares", torch.full((1 + len(config.whole),), 1 / (1 + len(config.whole))))

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """float32 [B]: the loss of the one decision."""
        return self.decision.loss(self.decision.apply_temperature(self._combined(fused)), target)

    def predict(self, fused: Features) -> dict[str, Tensor]:
        """What the inner head predicts, of all that is present together; the prior in a row without any input."""
        return self.decision.predict(self.decision.apply_temperature(self._combined(fused)), fused.present)

    @torch.no_grad()
    def calibrate(self, fused: Features, target: dict[str, Tensor], judged: Sequence[Judged] = ()) -> None:
        """Chooses shares, weights, temperature and threshold on validation rows, and on those that twins of this head
        have `judged`. In evaluation mode, once."""
        pieces = [self.judge(fused, target), *judged]
        for buffer, *values in zip(self.late.buffers(), *(piece.calibrated for piece in pieces), strict=True):
            buffer.copy_(torch.stack(values).mean(dim=0))
        scores, mask = torch.cat([piece.scores for piece in pieces]), torch.cat([piece.mask for piece in pieces])
        target = {key: torch.cat([piece.target[key] for piece in pieces]) for key in pieces[0].target}
        most = max(LEAST_CHOSEN_BY, MOST_NUMBERS // scores[0].numel()) if len(scores) else 0
        if len(scores) > most:  # evenly, for a table may be sorted
            rows = torch.linspace(0, len(scores) - 1, most, device=scores.device).long()
            scores, mask, target = scores[rows], mask[rows], _rows(target, rows)
        if len(scores):
            self._choose(scores, mask, target)

    @torch.no_grad()
    def judge(self, fused: Features, target: dict[str, Tensor]) -> Judged:
        """Calibrates the network's experts on validation rows; gives every token's scores for those that have a target
        and an input."""
        self.late.calibrate(self._of_network(fused), target)
        fused, target = known_rows(fused, target)
        calibrated = [buffer.clone() for buffer in self.late.buffers()]
        return Judged(self._scores(fused), fused.mask, target, calibrated)

    def _choose(self, scores: Tensor, mask: Tensor, target: dict[str, Tensor]) -> None:
        for number, group in enumerate(self.config.groups):
            rows = mask[:, group].any(dim=1).nonzero()[:, 0]
            shares = self._greedy(scores[rows][:, group], mask[rows][:, group], _rows(target, rows))
            getattr(self, f"shares_{number}").copy_(shares)
        grouped, group_mask = self._grouped(scores, mask)
        rows = (group_mask.sum(dim=1) > 1).nonzero()[:, 0]
        if len(rows):
            wide, several, truth = grouped[rows].double(), group_mask[rows], _rows(target, rows)
            weights = fit_weights(
                lambda weights: self.decision.log_loss(self.decision.product(wide, weights * several), truth),
                len(self.config.groups),
                len(rows),
            )
            self.weights.copy_(weights)
        candidates, candidate_mask = self._candidates(scores, mask)
        self.shares.copy_(self._greedy(candidates, candidate_mask, target))
        self.decision.calibrate(self._mixed(candidates, candidate_mask, self.shares), target)

    def _of_network(self, fused: Features) -> Features:
        tokens = self.config.network.experts
        return Features(fused.tokens[:, :tokens, : self.config.dim], fused.mask[:, :tokens], fused.pooled)

    def _scores(self, fused: Features) -> Tensor:
        """Every token's scores, float32 [B, T, S]; 1 where it is absent, which every formula of a Decision stands."""
        network = self.late.scores(self._of_network(fused))
        others = fused.tokens[:, self.config.network.experts :, : self.config.scores]
        return torch.where(fused.mask[..., None], torch.cat([network, others.to(network.dtype)], dim=1), 1.0)

    def _combined(self, fused: Features) -> Tensor:
        """The scores of the one decision before its temperature, float32 [B, S]."""
        candidates, mask = self._candidates(self._scores(fused), fused.mask)
        return self._mixed(candidates, mask, self.shares)

    def _candidates(self, scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The product of the groups, then what decides from all inputs: scores [B, C, S] and mask [B, C]."""
        grouped, group_mask = self._grouped(scores, mask)
        product = self.decision.product(grouped, self.weights * group_mask)
        alone = group_mask & (group_mask.sum(dim=1, keepdim=True) == 1)
        single = (grouped * alone[..., None]).sum(dim=1)
        product = torch.where(alone.any(dim=1, keepdim=True), single, product)
        whole = self.config.whole
        product_mask = group_mask.any(dim=1, keepdim=True)
        return torch.cat([product[:, None], scores[:, whole]], dim=1), torch.cat([product_mask, mask[:, whole]], dim=1)

    def _grouped(self, scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Each group's scores, [B, G, S], and whether any of it is present, [B, G]."""
        mixed = [
            self._mixed(scores[:, group], mask[:, group], getattr(self, f"shares_{number}"))
            for number, group in enumerate(self.config.groups)
        ]
        present = torch.stack([mask[:, group].any(dim=1) for group in self.config.groups], dim=1)
        return torch.stack(mixed, dim=1), present

    def _mixed(self, scores: Tensor, mask: Tensor, shares: Tensor) -> Tensor:
        """The average of the scores [B, M, S] that are present, mask [B, M], by their shares [M]: [B, S]. Where those
        that are present have none, all count alike; where nothing is present the scores are 1."""
        weighted = shares.to(scores.dtype) * mask
        weighted = torch.where(weighted.sum(dim=1, keepdim=True) > 0, weighted, mask.to(scores.dtype))
        total = weighted.sum(dim=1, keepdim=True)
        average = self.decision.average(scores, weighted / total.clamp(min=1e-12))
        return torch.where(total > 0, average, 1.0)

    def _greedy(self, scores: Tensor, mask: Tensor, target: dict[str, Tensor]) -> Tensor:
        """The shares, [M], by which the scores [N, M, S] are best averaged."""
        if scores.shape[1] == 1 or not len(scores):
            return torch.full((scores.shape[1],), 1 / scores.shape[1])
        wide = scores.double()
        return greedy_shares(
            lambda shares: float(self.decision.log_loss(self._mixed(wide, mask, shares), target)), scores.shape[1]
        )


def greedy_shares(loss: Callable[[Tensor], float], count: int) -> Tensor:
    """Shares of `count` candidates, float64 [count]: again and again the one joins that lowers the loss most or raises
    it least, and may join several times; the best of all these mixtures counts. loss: of shares."""
    chosen = torch.zeros(count, dtype=torch.float64)
    best, least = torch.full_like(chosen, 1 / count), float("inf")
    for _ in range(ROUNDS):
        joined = [chosen + unit for unit in torch.eye(count, dtype=torch.float64)]
        losses = [loss(candidate / candidate.sum()) for candidate in joined]
        nearest = min(range(count), key=losses.__getitem__)
        chosen = joined[nearest]
        if losses[nearest] < least:
            best, least = chosen / chosen.sum(), losses[nearest]
    return best


def without_experts(head: nn.Module) -> nn.Module:
    """The network's own head, of an ensemble; any other head as it is."""
    return head.late if isinstance(head, Ensemble) else head


def _rows(target: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    return {key: value[rows] for key, value in target.items()}


def ensemble_config(
    network: Late, dim: int, scores: int, inputs: list[str], read: list[tuple[int, list[str]]]
) -> dict[str, Any]:
    """The settings of the ensemble of a network's head, whose fused tokens are `dim` wide, and of experts.

    inputs: those of the model, of which the network's first tokens are each one's; a later one joins several. read: by
    expert of the target its position among all experts, and the inputs that it reads.
    """
    tokens = network.config.experts
    groups = {(name,): [position] for position, name in enumerate(inputs)}
    whole = []
    for position, names in read:
        if len(inputs) > 1 and set(names) == set(inputs):
            whole.append(tokens + position)
        else:
            groups.setdefault(tuple(names), []).append(tokens + position)
    joint = [[position] for position in range(len(inputs), tokens)]
    return {
        "network": network.config,
        "dim": dim,
        "scores": scores,
        "groups": [*groups.values(), *joint],
        "whole": whole,
    }
