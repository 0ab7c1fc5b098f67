"""The pairwise sigmoid loss, tile by tile, as an autograd function."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from sensorium.objectives.losses.pairs import Meeting
from sensorium.objectives.losses.tiles import Tiles, accumulators, add_slope, finished, logistic_, softplus_, wide


class SigmoidContrastive(torch.autograd.Function):
    """Sum of softplus(-logit) over positive pairs and of softplus(logit) over all others."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, a: Tensor, b: Tensor, logit_scale: Tensor, logit_bias: Tensor, meeting: Meeting
    ) -> Tensor:
        scale, bias = logit_scale.double().exp().item(), logit_bias.item()
        tiles = Tiles(a, wide(a))
        losses = a.new_zeros(len(a), dtype=torch.float64)

        def visit(owner: int, fixed: list[Tensor], carried: list[Tensor]) -> None:
            for rows, columns in tiles.places(len(a), len(fixed[0])):
                logits = tiles.product(a[rows], fixed[0][columns], scale).add_(bias)
                i, j = meeting.places(owner, rows, columns)
                logits[i, j] *= -1
                losses[rows] += softplus_(logits, tiles).sum(1)

        meeting.ring.travel([b], [], visit)
        ctx.save_for_backward(a, b, logit_scale, logit_bias)
        ctx.meeting, ctx.scale, ctx.bias = meeting, scale, bias
        return losses.sum().to(wide(a))

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, b, logit_scale, logit_bias = ctx.saved_tensors
        meeting, scale, own = ctx.meeting, ctx.scale, grad.item()
        grad_a, grad_b = accumulators(ctx, a, b)
        tiles = Tiles(a, wide(a))
        grad_bias = torch.zeros((), dtype=torch.float64, device=a.device)

        def visit(owner: int, fixed: list[Tensor], carried: list[Tensor]) -> None:
            [block] = fixed
            for rows, columns in tiles.places(len(a), len(block)):
                slope = tiles.product(a[rows], block[columns], scale).add_(ctx.bias)
                i, j = meeting.places(owner, rows, columns)
                slope[i, j] *= -1
                logistic_(slope)
                slope[i, j] *= -1
                slope *= own
                grad_bias.add_(slope.sum(1).sum(dtype=torch.float64))
                add_slope(tiles, slope, (rows, columns), a, block, scale, grad_a, carried)

        home = meeting.ring.travel([b], grad_b, visit)
        return *finished(ctx, a, b, logit_scale, grad_a, home, 1.0), grad_bias.to(logit_bias.dtype), None
