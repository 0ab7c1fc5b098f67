"""Learning what stands at each token of a picture, beside places that are written."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.data.targets.text import hash_texts
from sensorium.features import Batch, Features, Loss
from sensorium.heads.places import Places
from sensorium.model import Model
from sensorium.objectives.step import Step

UNKNOWN = -100  # the class of a label that the head does not remember: nothing is learned of it


class DensePlaces(nn.Module):
    """Each fused token of a picture learns what stands over its middle: the label of the smallest place there, or that
    there is none, as the parts of a picture do in FCOS (Tian et al. 2019, arXiv:1904.01355).

    A decoder that writes places learns where they are long before it learns what they are; with this loss beside its
    own the tokens that it reads say both. What is written does not use it: the layer stays in the objective. A row
    whose picture modality dropout hides counts with a loss of zero.
    head: a Places. picture: the input that its places are in, see `placed_picture`. weight: of the loss in the sum.
    """

    reads = "fused"

    def __init__(self, model: Model, head: str, picture: str, weight: float = 1.0):
        super().__init__()
        self.head, self.picture, self.loss_name = head, picture, f"{head}/dense"
        self.weights = {self.loss_name: weight}
        known = sorted(hash_texts([label]) for label in model.heads[head].config.labels)
        self.register_buffer("known", torch.tensor(known, dtype=torch.int64), persistent=False)
        self.label = nn.Linear(model.fusion.dim, len(known) + 1)  # nothing, or one of the labels

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count of the loss over the rows that have the picture and the target."""
        counted = self._counted(step.batch)
        loss = self._loss(step.fused_tokens(self.picture), step.batch.targets[self.head])  # [B]
        return {self.loss_name: Loss(torch.where(counted, loss, 0.0).sum(), counted.sum())}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many rows `forward` will count."""
        return {self.loss_name: self._counted(batch).sum()}

    def _counted(self, batch: Batch) -> Tensor:
        return batch.targets[self.head]["mask"] & batch.present(self.picture)

    def _loss(self, shown: Features, target: dict[str, Tensor]) -> Tensor:
        side = math.isqrt(shown.tokens.shape[1])
        tokens, real = shown.tokens[:, -(side**2) :], shown.mask[:, -(side**2) :]  # without a class token
        standing = smallest_over(target["boxes"], target["labels"] != 0, side)  # [B, T]
        labels = self._classes(target["labels"]).gather(1, standing.clamp(min=0))
        losses = F.cross_entropy(
            self.label(tokens).float().flatten(0, 1), torch.where(standing >= 0, labels, 0).flatten(),
            reduction="none", ignore_index=UNKNOWN,
        )  # fmt: skip
        return (losses.view_as(real) * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)

    def _classes(self, labels: Tensor) -> Tensor:
        """int64 [B, M]: the classes of labels, from 1."""
        number = torch.searchsorted(self.known, labels.contiguous()).clamp(max=len(self.known) - 1)
        return torch.where(self.known[number] == labels, number + 1, UNKNOWN)


def placed_picture(model: Model, head: str) -> str | None:
    """The picture for whose tokens `DensePlaces` can be learned; None where `head` writes no places or was built for
    none, their picture is not seen whole as a map of tokens, or the fusion does not keep its tokens.
    """
    places = model.heads[head]
    if not isinstance(places, Places) or not places.config.labels or not hasattr(model.fusion, "token_order"):
        return None
    picture = next(spec.picture for spec in model.schema.targets if spec.name == head)
    encoder = model.encoders[picture]
    return picture if getattr(encoder, "gives_map", False) and encoder.processor.can_move else None


def smallest_over(boxes: Tensor, real: Tensor, side: int) -> Tensor:
    """int64 [B, side * side]: which of M boxes is over the middle of each part of a picture, line by line; of several
    the smallest, -1 where none is. One that is over no middle is in the part that its own middle is in.

    boxes: float [B, M, 4], x0, y0, x1, y1 as shares of the picture. real: bool [B, M].
    """
    boxes = boxes[:, None]  # [B, 1, M, 4]
    middle = middles(side, boxes.device)[:, None]  # [T, 1, 2]
    over = ((boxes[..., :2] <= middle) & (middle < boxes[..., 2:])).all(dim=3)  # [B, T, M]
    column, line = ((boxes[..., :2] + boxes[..., 2:]) / 2 * side).long().clamp(max=side - 1).unbind(3)
    own = line * side + column == torch.arange(side * side, device=boxes.device)[:, None]
    over = (over | (own & ~over.any(dim=1, keepdim=True))) & real[:, None]
    area = torch.where(over, (boxes[..., 2:] - boxes[..., :2]).prod(dim=3), math.inf)
    return torch.where(over.any(dim=2), area.argmin(dim=2), -1)


def middles(side: int, device: torch.device) -> Tensor:
    """float [side * side, 2]: x and y of the middle of each part of a picture, line by line, as shares of it."""
    middle = (torch.arange(side, device=device) + 0.5) / side
    return torch.stack([middle.repeat(side), middle.repeat_interleave(side)], dim=1)
