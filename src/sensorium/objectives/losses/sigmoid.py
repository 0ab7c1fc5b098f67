"""The pairwise sigmoid loss, tile by tile, as an autograd function."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from sensorium.objectives.losses.pairs import Meeting
from sensorium.objectives.losses.tiles import Tiles, accumulators, finished, logistic_, softplus_, wide


class SigmoidContrastive(torch.autograd.Function):
    """Sum of softplus(-logit) over positive pairs and of softplus(logit) over all others."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, a: Tensor, b: Tensor, logit_scale: Tensor, logit_bias: Tensor, meeting: Meeting
    ) -> Tensor:
        """float [own rows, E] twice and [] twice → []."""
        scale, bias = logit_scale.double().exp().item(), logit_bias.item()
        tiles = Tiles(a, wide(a))
        losses = a.new_zeros(len(a), dtype=torch.float64)

        def visit(owner: int, fixed: list[Tensor], carried: list[Tensor]) -> None:
            for rows, columns, diagonal, i, j in meeting.tiles(owner, tiles.side):
                logits = tiles.product(a[rows], fixed[0][columns], scale, diagonal).add_(bias)
                logits[i, j] *= -1
                losses[rows] += softplus_(logits, tiles).sum(1)

        meeting.ring.travel([b], [], visit)
        ctx.save_for_backward(a, b, logit_scale, logit_bias)
        ctx.meeting, ctx.scale, ctx.bias = meeting, scale, bias
        return losses.sum().to(wide(a))

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of what `forward` took, from tiles that are made again."""
        a, b, logit_scale, logit_bias = ctx.saved_tensors
        meeting, scale, factor = ctx.meeting, ctx.scale, grad.item()
        grad_a, grad_b = accumulators(ctx, a, b)
        tiles = Tiles(a, wide(a))
        grad_bias = torch.zeros((), dtype=torch.float64, device=a.device)

        def visit(owner: int, fixed: list[Tensor], carried: list[Tensor]) -> None:
            [block] = fixed
            for rows, columns, diagonal, i, j in meeting.tiles(owner, tiles.side):
                slope = tiles.product(a[rows], block[columns], scale, diagonal).add_(ctx.bias)
                slope[i, j] *= -1
                logistic_(slope)
                slope[i, j] *= -1
                slope *= factor
                grad_bias.add_(slope.sum(1).sum(dtype=torch.float64))
                grad_rows = None if grad_a is None else grad_a[rows]
                tiles.add_slope(
                    slope, a[rows], block[columns], scale, diagonal, grad_rows, [grad[columns] for grad in carried]
                )

        home = meeting.ring.travel([b], grad_b, visit)
        return *finished(ctx, a, b, logit_scale, grad_a, home, 1.0), grad_bias.to(logit_bias.dtype), None
