"""The softmax contrastive loss, tile by tile, as an autograd function."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from sensorium.objectives.losses.pairs import Meeting
from sensorium.objectives.losses.span import Span
from sensorium.objectives.losses.tiles import Tiles, accumulators, finished, wide


class SoftmaxContrastive(torch.autograd.Function):
    """Half of the sum of the logarithms of rows' and columns' sums of exp, less the means of their positives.

    A row and a column need one exponential, exp(logit - shift), when `shift` suits both. No running maxima are needed
    to find it: logits of unit vectors have a bound, and each row and column holds its own pair's logit, so that its
    sum can neither overflow nor vanish; where float32 has no room for that, tiles are float64."""

    @staticmethod
    def forward(ctx: FunctionCtx, a: Tensor, b: Tensor, logit_scale: Tensor, meeting: Meeting) -> Tensor:
        """float [own rows, E] twice and [] → []."""
        scale = logit_scale.double().exp().item()
        span = Span.of(a, b, scale, meeting.ring)
        tiles = Tiles(a, span.dtype)
        row_sum, row_own, column_sum, column_own = a.new_zeros(4, len(a), dtype=torch.float64)

        def visit(owner: int, fixed: list[Tensor], carried: list[Tensor]) -> None:
            [block], [columns_sum, columns_own] = fixed, carried
            for rows, columns, diagonal, i, j in meeting.tiles(owner, tiles.side):
                logits = span.moved_(tiles.product(a[rows], block[columns], scale, diagonal))
                positive = logits[i, j].double()
                row_own[rows].index_add_(0, i, positive)
                columns_own[columns].index_add_(0, j, positive)
                span.exp_(logits)
                row_sum[rows] += logits.sum(1)
                columns_sum[columns] += logits.sum(0)

        column_sum, column_own = meeting.ring.travel([b], [column_sum, column_own], visit)
        ctx.save_for_backward(a, b, logit_scale, row_sum, column_sum)
        ctx.meeting, ctx.span, ctx.scale = meeting, span, scale
        losses = (row_sum.log() + column_sum.log() - (row_own + column_own) / meeting.counts()) / 2  # [own rows]
        return losses.sum().to(wide(a))

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of what `forward` took, from tiles that are made again."""
        a, b, logit_scale, row_sum, column_sum = ctx.saved_tensors
        meeting, span, scale = ctx.meeting, ctx.span, ctx.scale
        grad_a, grad_b = accumulators(ctx, a, b)
        # The processes' factors, taken relative to the largest so that reciprocals of sums stay within the dtype.
        factors = meeting.ring.gather_one(grad.double()).tolist()
        largest = max(map(abs, factors)) or 1.0
        factors = [factor / largest for factor in factors]
        factor = factors[meeting.ring.rank]
        row_factor, column_factors = ((factor / 2 / sums).to(span.dtype) for sums in (row_sum, column_sum))
        tiles = Tiles(a, span.dtype)
        row_counts, all_counts = meeting.counts(), meeting.positives.counts

        def visit(owner: int, fixed: list[Tensor], carried: list[Tensor]) -> None:
            block, column_factor = fixed
            column_counts = all_counts[meeting.ring.starts[owner] :][: len(block)]
            for rows, columns, diagonal, i, j in meeting.tiles(owner, tiles.side):
                power = span.exp_(span.moved_(tiles.product(a[rows], block[columns], scale, diagonal)))
                slope = tiles.buffer("slope", tuple(power.shape))
                torch.add(row_factor[rows, None], column_factor[None, columns], out=slope).mul_(power)
                if len(i):
                    target = factor / row_counts[rows][i].double() + factors[owner] / column_counts[columns][j].double()
                    slope[i, j] -= (target / 2).to(slope.dtype)
                grad_rows = None if grad_a is None else grad_a[rows]
                tiles.add_slope(
                    slope, a[rows], block[columns], scale, diagonal, grad_rows, [grad[columns] for grad in carried]
                )

        home = meeting.ring.travel([b, column_factors], grad_b, visit)
        return *finished(ctx, a, b, logit_scale, grad_a, home, largest), None
