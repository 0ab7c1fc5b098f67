"""The fusions' formulas as one writes them down in PyTorch: what `benchmarks/fusions.py` measures against.

Each takes the inputs' raw features, {name: (tokens [B, T, E], mask [B, T] or None, pooled [B, E])}, maps them with a
LayerNorm and a linear layer as ours does, and gives the fused summary [B, D]. A mask of None: every token is real.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS, LAYERS, RATIO, BOTTLENECKS, QUERIES = 4, 2, 4, 4, 16
Raw = dict[str, tuple[Tensor, Tensor | None, Tensor]]


class Maps(nn.Module):
    """LayerNorm and a linear map for each input."""

    def __init__(self, dims: dict[str, int], dim: int):
        super().__init__()
        self.maps = nn.ModuleDict(
            {name: nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim)) for name, width in dims.items()}
        )

    def tokens(self, raw: Raw) -> dict[str, Tensor]:
        """[B, T, D] by input."""
        return {name: layer(raw[name][0]) for name, layer in self.maps.items()}

    def pooled(self, raw: Raw) -> Tensor:
        """[B, N, D], zero where an input is absent."""
        mapped = [layer(raw[name][2]) for name, layer in self.maps.items()]
        masks = [raw[name][1] for name in self.maps]
        if masks[0] is not None:
            mapped = [x * mask.any(1, keepdim=True) for x, mask in zip(mapped, masks, strict=True)]
        return torch.stack(mapped, dim=1)


def masks_of(raw: Raw) -> list[Tensor | None]:
    """The inputs' masks, in order."""
    return [mask for _, mask, _ in raw.values()]


def joined(masks: list[Tensor | None]) -> Tensor | None:
    """One mask of all inputs' tokens."""
    return None if masks[0] is None else torch.cat(masks, dim=1)


def mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """[B, T, D] -> [B, D], of the real tokens."""
    if mask is None:
        return x.mean(dim=1)
    return (x * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


def mean_of_means(tokens: list[Tensor], masks: list[Tensor | None]) -> Tensor:
    """[B, D], the mean over the present inputs."""
    means = torch.stack([mean(x, mask) for x, mask in zip(tokens, masks, strict=True)], dim=1)
    return mean(means, None if masks[0] is None else torch.stack([mask.any(1) for mask in masks], dim=1))


class MultiHead(nn.Module):
    """softmax(Q Kᵀ / √d) V, and a linear map."""

    def __init__(self, dim: int):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        def heads(y: Tensor) -> Tensor:
            return y.view(*y.shape[:2], HEADS, -1).transpose(1, 2)

        query, key, value = heads(self.query(x)), heads(self.key(context)), heads(self.value(context))
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        if mask is not None:
            # Rows without any token attend to padding, so that nothing becomes NaN.
            scores = scores.masked_fill(~(mask | ~mask.any(1, keepdim=True))[:, None, None], -torch.inf)
        out = self.out((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
        return out if mask is None else out * mask.any(1)[:, None, None]


class Block(nn.Module):
    """Pre-norm: self-attention if `own`, attention to each of `contexts`, MLP."""

    def __init__(self, dim: int, own: bool = True, contexts: int = 0, norm_context: bool = True):
        super().__init__()
        self.own = nn.ModuleList([nn.LayerNorm(dim), MultiHead(dim)]) if own else None
        self.crossings = nn.ModuleList(
            nn.ModuleList([nn.LayerNorm(dim), nn.LayerNorm(dim) if norm_context else nn.Identity(), MultiHead(dim)])
            for _ in range(contexts)
        )
        self.mlp = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, RATIO * dim), nn.GELU(), nn.Linear(RATIO * dim, dim))

    def forward(self, x: Tensor, mask: Tensor | None, contexts=(), context_masks=()) -> Tensor:
        if self.own is not None:
            norm, attention = self.own
            y = norm(x)
            x = x + attention(y, y, mask)
        for (norm, context_norm, attention), context, seen in zip(self.crossings, contexts, context_masks, strict=True):
            x = x + attention(norm(x), context_norm(context), seen)
        return x + self.mlp(x)


class Stream(nn.Module):
    """One transformer over all tokens and a summary token."""

    def __init__(self, dims: dict[str, int], dim: int):
        super().__init__()
        self.maps, self.blocks = Maps(dims, dim), nn.ModuleList(Block(dim) for _ in range(LAYERS))
        self.modality, self.summary = nn.Parameter(torch.randn(len(dims), dim)), nn.Parameter(torch.randn(dim))
        self.norm = nn.LayerNorm(dim)

    def forward(self, raw: Raw) -> Tensor:
        tokens = [x + self.modality[i] for i, x in enumerate(self.maps.tokens(raw).values())]
        x = torch.cat([self.summary.expand(len(tokens[0]), 1, -1), *tokens], dim=1)
        mask = joined(masks_of(raw))
        mask = None if mask is None else F.pad(mask, (1, 0), value=True)
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)[:, 0]


class Cross(nn.Module):
    """The first input's tokens ask all the others' at once, or (`serial`) one input after another."""

    def __init__(self, dims: dict[str, int], dim: int, serial: bool = False):
        super().__init__()
        self.maps, self.serial = Maps(dims, dim), serial
        contexts = len(dims) - 1 if serial else 1
        self.blocks = nn.ModuleList(Block(dim, contexts=contexts, norm_context=serial) for _ in range(LAYERS))
        self.modality = None if serial else nn.Parameter(torch.randn(len(dims) - 1, dim))
        self.norm = nn.LayerNorm(dim)

    def forward(self, raw: Raw) -> Tensor:
        x, *contexts = self.maps.tokens(raw).values()
        mask, *seen = masks_of(raw)
        if not self.serial:
            contexts = [torch.cat([context + self.modality[i] for i, context in enumerate(contexts)], dim=1)]
            seen = [joined(seen)]
        for block in self.blocks:
            x = block(x, mask, contexts, seen)
        return mean(self.norm(x), mask)


class MulT(nn.Module):
    """Each input asks each other one, layer by layer; the answers side by side, a linear map, a block."""

    def __init__(self, dims: dict[str, int], dim: int):
        super().__init__()
        self.maps = Maps(dims, dim)
        self.pairs = nn.ModuleDict(
            {
                f"{a}-{b}": nn.ModuleList(Block(dim, own=False, contexts=1) for _ in range(LAYERS))
                for a in dims
                for b in dims
                if a != b
            }
        )
        self.join = nn.ModuleDict({name: nn.Linear((len(dims) - 1) * dim, dim) for name in dims})
        self.last = nn.ModuleDict({name: Block(dim) for name in dims})
        self.norm = nn.ModuleDict({name: nn.LayerNorm(dim) for name in dims})

    def forward(self, raw: Raw) -> Tensor:
        tokens, out = self.maps.tokens(raw), []
        for a, x in tokens.items():
            answers = []
            for b in tokens:
                if b == a:
                    continue
                answer = x
                for block in self.pairs[f"{a}-{b}"]:
                    answer = block(answer, raw[a][1], [tokens[b]], [raw[b][1]])
                answers.append(answer)
            out.append(self.norm[a](self.last[a](self.join[a](torch.cat(answers, dim=-1)), raw[a][1])))
        return mean_of_means(out, masks_of(raw))


class MBT(nn.Module):
    """A transformer for each input; the shared tokens become the mean of what each made of them."""

    def __init__(self, dims: dict[str, int], dim: int):
        super().__init__()
        self.maps = Maps(dims, dim)
        self.blocks = nn.ModuleList(nn.ModuleList(Block(dim) for _ in dims) for _ in range(LAYERS))
        self.summary, self.shared = (
            nn.Parameter(torch.randn(len(dims), dim)),
            nn.Parameter(torch.randn(BOTTLENECKS, dim)),
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, raw: Raw) -> Tensor:
        rows = len(next(iter(raw.values()))[0])
        streams = [
            torch.cat([self.summary[i].expand(rows, 1, -1), x], dim=1)
            for i, x in enumerate(self.maps.tokens(raw).values())
        ]
        masks = [None if mask is None else F.pad(mask, (BOTTLENECKS + 1, 0), value=True) for mask in masks_of(raw)]
        shared = self.shared.expand(rows, -1, -1)
        present = None if masks[0] is None else torch.stack([mask.any(1) for mask in masks_of(raw)], dim=1)
        for layer in self.blocks:
            out = [
                block(torch.cat([shared, x], dim=1), mask) for block, x, mask in zip(layer, streams, masks, strict=True)
            ]
            met = torch.stack([x[:, :BOTTLENECKS].flatten(1) for x in out], dim=1)
            shared = mean(met, present).unflatten(1, (BOTTLENECKS, -1))
            streams = [x[:, BOTTLENECKS:] for x in out]
        return mean(torch.stack([self.norm(x)[:, 0] for x in streams], dim=1), present)


class Perceiver(nn.Module):
    """Learned queries ask all tokens, then each other."""

    def __init__(self, dims: dict[str, int], dim: int):
        super().__init__()
        self.maps = Maps(dims, dim)
        self.modality, self.queries = nn.Parameter(torch.randn(len(dims), dim)), nn.Parameter(torch.randn(QUERIES, dim))
        self.ask = nn.ModuleList(
            nn.ModuleList([nn.LayerNorm(dim), nn.LayerNorm(dim), MultiHead(dim)]) for _ in range(LAYERS)
        )
        self.blocks = nn.ModuleList(Block(dim) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(dim)

    def forward(self, raw: Raw) -> Tensor:
        context = torch.cat([x + self.modality[i] for i, x in enumerate(self.maps.tokens(raw).values())], dim=1)
        mask = joined(masks_of(raw))
        x = self.queries.expand(len(context), -1, -1)
        for (norm, context_norm, ask), block in zip(self.ask, self.blocks, strict=True):
            x = block(x + ask(norm(x), context_norm(context), mask), None)
        return self.norm(x).mean(dim=1)


class GATv2(nn.Module):
    """aᵀ LeakyReLU(W h_i + W' h_j) for every pair of nodes, a softmax, the mean of W' h_j; nodes: inputs or tokens."""

    def __init__(self, dims: dict[str, int], dim: int, nodes: str = "inputs"):
        super().__init__()
        self.maps, self.nodes = Maps(dims, dim), nodes
        self.layers = nn.ModuleList(
            nn.ModuleList([nn.LayerNorm(dim), nn.Linear(dim, dim), nn.Linear(dim, dim)]) for _ in range(LAYERS)
        )
        self.score = nn.Parameter(torch.randn(LAYERS, HEADS, dim // HEADS))
        self.modality = nn.Parameter(torch.randn(len(dims), dim)) if nodes == "tokens" else None
        self.norm = nn.LayerNorm(dim)

    def forward(self, raw: Raw) -> Tensor:
        masks = masks_of(raw)
        if self.nodes == "tokens":
            x = torch.cat([x + self.modality[i] for i, x in enumerate(self.maps.tokens(raw).values())], dim=1)
            mask = joined(masks)
        else:
            x = self.maps.pooled(raw)
            mask = None if masks[0] is None else torch.stack([mask.any(1) for mask in masks], dim=1)
        for (norm, asks, answers), score in zip(self.layers, self.score, strict=True):
            y = norm(x)
            ask, answer = asks(y).unflatten(-1, (HEADS, -1)), answers(y).unflatten(-1, (HEADS, -1))  # [B, N, heads, d]
            pairs = F.leaky_relu(ask[:, :, None] + answer[:, None], 0.2)  # [B, N, N, heads, d]
            scores = (pairs * score).sum(-1)  # [B, N, N, heads]
            if mask is not None:
                scores = scores.masked_fill(~(mask | ~mask.any(1, keepdim=True))[:, None, :, None], -torch.inf)
            x = x + F.elu(torch.einsum("bijh,bjhd->bihd", scores.softmax(2), answer).flatten(2))
        x = self.norm(x)
        if self.nodes == "inputs":
            return mean(x, mask)
        lengths = [tokens.shape[1] for tokens, _, _ in raw.values()]
        return mean_of_means(list(x.split(lengths, dim=1)), masks)
