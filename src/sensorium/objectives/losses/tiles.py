"""Products of many rows with many rows, a tile at a time, where a loss would need an N × N matrix."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

# Rows and columns: a tile of float32, its working copy and its rows stay in a core's share of the cache.
CPU_TILE, GPU_TILE = 1024, 4096
CHUNK = 1024  # rows at a time in products row by row
FLOOR = {torch.float32: -87.0, torch.float64: -708.0}  # below, exp is denormal, which takes a CPU thirty times as long


def wide(like: Tensor) -> torch.dtype:
    """The dtype of logits, losses and sums for inputs such as `like`: float64 for float64, else float32."""
    return torch.float64 if like.dtype == torch.float64 else torch.float32


class Tiles:
    """Tiles of scale · a bᵀ in buffers that are used again. `wide` is the dtype of the tiles: float32, or float64 where
    the exponentials of float32 would not reach. The products are taken in the dtype of a and b and summed in float32;
    the CPU's products of bfloat16 are rounded to bfloat16 at the end, for PyTorch has none that are not."""

    def __init__(self, like: Tensor, wide: torch.dtype):
        self.side = CPU_TILE if like.device.type == "cpu" else GPU_TILE
        self._narrow, self._wide, self._device = like.dtype, wide, like.device
        self._half = like.dtype not in (torch.float32, torch.float64)
        self._buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def buffer(self, name: str, shape: tuple[int, int], dtype: torch.dtype | None = None) -> Tensor:
        """Memory of a shape that the next call with the same name gives again; of the tiles' dtype by default."""
        key, numbers = (name, dtype or self._wide), shape[0] * shape[1]
        if key not in self._buffers or self._buffers[key].numel() < numbers:
            self._buffers[key] = torch.empty(numbers, dtype=key[1], device=self._device)
        return self._buffers[key][:numbers].view(shape)

    def product(self, a: Tensor, b: Tensor, scale: float, diagonal: bool) -> Tensor:
        """scale · a bᵀ, [n, E] and [m, E] → [n, m], in the buffer "tile". diagonal: the tile's diagonal holds the rows'
        own pairs. The largest logits of all, they bring the most rounding error of narrow products, and so are computed
        separately in float32."""
        shape = (len(a), len(b))
        tile = self.buffer("tile", shape)
        if self._narrow == self._wide:
            return tile.addmm_(a, b.T, beta=0.0, alpha=scale)
        if self._half and self._device.type == "cuda":
            torch.mul(torch.mm(a, b.T, out_dtype=torch.float32), scale, out=tile)
        else:
            torch.mul(torch.mm(a, b.T, out=self.buffer("narrow", shape, self._narrow)), scale, out=tile)
        if diagonal and self._half:
            tile.diagonal().copy_(dots(a, b) * scale)
        return tile

    def add_slope(
        self,
        slope: Tensor,
        a: Tensor,
        b: Tensor,
        scale: float,
        diagonal: bool,
        grad_a: Tensor | None,
        grad_b: list[Tensor],
    ) -> None:
        """Adds what the derivatives by a tile of logits, [n, m], give its rows: scale · slope b to `grad_a`, [n, E],
        and scale · slopeᵀ a to each of `grad_b`, [m, E]. Changes `slope`. diagonal: as for `product`; in gradients,
        too, a row's own pair outweighs the others."""
        if diagonal and self._half:
            diagonal_slope = slope.diagonal().to(wide(a), copy=True)[:, None] * scale  # [n, 1]
            slope.diagonal().zero_()
            if grad_a is not None:
                grad_a.addcmul_(diagonal_slope, b.to(grad_a.dtype))
            for grad in grad_b:
                grad.addcmul_(diagonal_slope, a.to(grad.dtype))
        if self._narrow != self._wide:
            slope = self.buffer("narrow", tuple(slope.shape), self._narrow).copy_(slope)
        if grad_a is not None:
            _add_product(grad_a, slope, b, scale)
        for grad in grad_b:
            _add_product(grad, slope.T, a, scale)


def _add_product(total: Tensor, matrix: Tensor, right: Tensor, scale: float) -> None:
    """total += scale · matrix right; `total` may be wider than the two."""
    if total.dtype == matrix.dtype:
        total.addmm_(matrix, right, alpha=scale)
    else:
        total.add_(torch.mm(matrix, right), alpha=scale)


def softplus_(tile: Tensor, tiles: Tiles) -> Tensor:
    """log(1 + exp(x)) in place, to full relative precision; PyTorch's own takes four times as long on a CPU. max(x, 0)
    + log(1 + e) for e = exp(-|x|); (e - (u - 1)) / u corrects the rounding of u = 1 + e."""
    power, above, rounded = (tiles.buffer(name, tuple(tile.shape)) for name in ("power", "above", "kept"))
    torch.abs(tile, out=power).clamp_max_(-FLOOR[tile.dtype]).neg_().exp_()
    torch.add(power, 1.0, out=above)
    power.sub_(torch.sub(above, 1.0, out=rounded)).div_(above)
    return tile.clamp_min_(0.0).add_(above.log_()).add_(power)


def logistic_(tile: Tensor) -> Tensor:
    """1 / (1 + exp(-x)) in place."""
    return tile.clamp_min_(FLOOR[tile.dtype]).sigmoid_()


def dots(a: Tensor, b: Tensor) -> Tensor:
    """float64 [N]: the products of each row of a, [N, E], with its row of b; in chunks, which need little memory."""
    chunks = zip(a.split(CHUNK), b.split(CHUNK), strict=True)
    return torch.cat([(rows_a.to(wide(a)) * rows_b.to(wide(b))).sum(1).double() for rows_a, rows_b in chunks])


def accumulators(ctx: FunctionCtx, a: Tensor, b: Tensor) -> tuple[Tensor | None, list[Tensor]]:
    """Zeros for the gradients of a and of b, where they are needed; the scale's gradient needs one of the two."""
    need_a, need_b, need_scale = ctx.needs_input_grad[:3]
    grad_a = torch.zeros_like(a, dtype=wide(a)) if need_a or (need_scale and not need_b) else None
    return grad_a, [torch.zeros_like(b, dtype=wide(b))] if need_b else []


def finished(
    ctx: FunctionCtx, a: Tensor, b: Tensor, scale: Tensor, grad_a: Tensor | None, grad_b: list[Tensor], factor: float
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of a, b and the logarithm of the scale, times `factor`. The last needs no pass over the tiles: a
    logit is linear in its row of a, so that what it is times its derivative sums to the row times its gradient."""
    for grad in [*([] if grad_a is None else [grad_a]), *grad_b]:
        grad *= factor
    need_a, need_b, need_scale = ctx.needs_input_grad[:3]
    grad_scale = None
    if need_scale:
        grad_scale = dots(*((b, grad_b[0]) if grad_a is None else (a, grad_a))).sum().to(scale.dtype)
    return grad_a.to(a.dtype) if need_a else None, grad_b[0].to(b.dtype) if need_b else None, grad_scale
