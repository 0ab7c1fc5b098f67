"""ALBEF's pre-training as its authors describe and run it (Li et al. 2021, arXiv:2107.07651), in plain PyTorch.

The peer of albef_step.py. Parameters have the published names, so that weights go from one to the other. It does what
the published training does: pads texts, encodes the text for alignment and its masked copy anew, draws negatives one by
one, sends true pairs and others through the fusion in separate passes that each project the picture's keys and values
again, computes logits over the whole vocabulary at every place, and moves the teacher parameter by parameter.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEAD = 64
IGNORED = -100

Draw = Callable[[Tensor], int]


class Attention(nn.Module):
    """ViT's self-attention."""

    def __init__(self, width: int):
        super().__init__()
        self.qkv, self.proj, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), width // HEAD

    def forward(self, x: Tensor) -> Tensor:
        """float [B, T, D] -> the same shape."""
        rows, count, width = x.shape
        q, k, v = self.qkv(x).view(rows, count, 3, self.heads, HEAD).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) * HEAD**-0.5).softmax(dim=3)
        return self.proj((weights @ v).transpose(1, 2).reshape(rows, count, width))


class Mlp(nn.Module):
    """Two layers with GELU."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """float [..., D] -> the same shape."""
        return self.fc2(F.gelu(self.fc1(x)))


class VitBlock(nn.Module):
    """A pre-norm block."""

    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.attn, self.mlp = Attention(width), Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        """float [B, T, D] -> the same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Vit(nn.Module):
    """Patches of 16 pixels, a class token, learned places."""

    def __init__(self, size: int, width: int, depth: int):
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, 16, 16)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, (size // 16) ** 2 + 1, width))
        self.blocks = nn.ModuleList(VitBlock(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, 1e-6)

    def forward(self, pictures: Tensor) -> Tensor:
        """float [B, 3, H, W], normalised -> [B, 1 + patches, D]."""
        x = self.patch_embed["proj"](pictures).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class BertAttention(nn.Module):
    """BERT's attention, to itself or to a picture, and its output: `self` and `output` are the published names."""

    def __init__(self, width: int, other: int):
        super().__init__()
        sizes = {"query": width, "key": other, "value": other}
        self.self = nn.ModuleDict({name: nn.Linear(size, width) for name, size in sizes.items()})
        self.output = nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, 1e-12)})

    def forward(self, x: Tensor, other: Tensor, hidden: Tensor) -> Tensor:
        """x [B, T, D], other [B, S, E], hidden: what is added to the scores, [B, 1, 1, S] -> [B, T, D]."""

        def heads(name: str, of: Tensor) -> Tensor:
            return self.self[name](of).view(len(of), of.shape[1], -1, HEAD).transpose(1, 2)

        scores = heads("query", x) @ heads("key", other).transpose(2, 3) / HEAD**0.5 + hidden
        found = (scores.softmax(dim=3) @ heads("value", other)).transpose(1, 2).flatten(2)
        return self.output["LayerNorm"](self.output["dense"](found) + x)


class BertLayer(nn.Module):
    """Self-attention, attention to the picture where `other` is its width, an MLP."""

    def __init__(self, width: int, other: int | None):
        super().__init__()
        self.attention = BertAttention(width, width)
        if other is not None:
            self.crossattention = BertAttention(width, other)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, 4 * width)})
        self.output = nn.ModuleDict({"dense": nn.Linear(4 * width, width), "LayerNorm": nn.LayerNorm(width, 1e-12)})

    def forward(self, x: Tensor, hidden: Tensor, picture: Tensor | None) -> Tensor:
        """float [B, T, D] -> the same shape."""
        x = self.attention(x, x, hidden)
        if picture is not None:
            x = self.crossattention(x, picture, torch.zeros(()))
        return self.output["LayerNorm"](self.output["dense"](F.gelu(self.intermediate["dense"](x))) + x)


class Text(nn.Module):
    """BERT with a head for masked words; its upper layers ask the picture."""

    def __init__(self, words: int, places: int, width: int, layers: int, fusion: int, other: int):
        super().__init__()
        embeddings = {
            "word_embeddings": nn.Embedding(words, width),
            "position_embeddings": nn.Embedding(places, width),
            "token_type_embeddings": nn.Embedding(2, width),
            "LayerNorm": nn.LayerNorm(width, 1e-12),
        }
        each = [BertLayer(width, other if place >= layers - fusion else None) for place in range(layers)]
        encoder = nn.ModuleDict({"layer": nn.ModuleList(each)})
        self.bert = nn.ModuleDict({"embeddings": nn.ModuleDict(embeddings), "encoder": encoder})
        transform = {"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, 1e-12)}
        decoder = nn.Linear(width, words)
        decoder.weight = embeddings["word_embeddings"].weight
        self.cls = nn.ModuleDict(
            {"predictions": nn.ModuleDict({"transform": nn.ModuleDict(transform), "decoder": decoder})}
        )
        self.lower = layers - fusion

    def text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """int64 [B, L], mask float [B, L] -> [B, L, D], without the picture."""
        known = self.bert["embeddings"]
        x = known["word_embeddings"](tokens) + known["token_type_embeddings"].weight[0]
        x = known["LayerNorm"](x + known["position_embeddings"].weight[: tokens.shape[1]])
        for layer in self.bert["encoder"]["layer"][: self.lower]:
            x = layer(x, _hidden(mask), None)
        return x

    def fused(self, x: Tensor, mask: Tensor, picture: Tensor) -> Tensor:
        """[B, L, D] and the picture's tokens [B, S, E] -> [B, L, D]."""
        for layer in self.bert["encoder"]["layer"][self.lower :]:
            x = layer(x, _hidden(mask), picture)
        return x

    def words(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, V]."""
        head = self.cls["predictions"]
        return head["decoder"](head["transform"]["LayerNorm"](F.gelu(head["transform"]["dense"](x))))


def _hidden(mask: Tensor) -> Tensor:
    return (1 - mask)[:, None, None, :] * -10_000.0


class Albef(nn.Module):
    """The model, its teacher and the queues."""

    def __init__(
        self, size: int, width: int, depth: int, words: int, places: int, layers: int, fusion: int, queue: int
    ):
        super().__init__()
        for suffix in ("", "_m"):
            self.add_module(f"visual_encoder{suffix}", Vit(size, width, depth))
            self.add_module(f"text_encoder{suffix}", Text(words, places, width, layers, fusion, width))
            self.add_module(f"vision_proj{suffix}", nn.Linear(width, 256))
            self.add_module(f"text_proj{suffix}", nn.Linear(width, 256))
        self.itm_head = nn.Linear(width, 2)
        self.temp = nn.Parameter(torch.tensor(0.07))
        self.register_buffer("image_queue", F.normalize(torch.randn(256, queue), dim=0))
        self.register_buffer("text_queue", F.normalize(torch.randn(256, queue), dim=0))
        self.pointer = 0
        for name, value in self.named_parameters():
            if "_m." in name:
                value.requires_grad = False

    @torch.no_grad()
    def follow(self, momentum: float = 0.995) -> None:
        """Moves the teacher, one parameter after another."""
        mine = dict(self.named_parameters())
        for name, value in mine.items():
            if "_m." in name:
                value.data = value.data * momentum + mine[name.replace("_m.", ".")].data * (1 - momentum)

    def losses(
        self, pictures: Tensor, tokens: Tensor, mask: Tensor, masked: Tensor, labels: Tensor, alpha: float, draw: Draw
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Alignment, matching, masked words; `draw` picks one of the others by their chances, float [B]."""
        rows = len(pictures)
        image, text = self.visual_encoder(pictures), self.text_encoder.text(tokens, mask)
        image_feat = F.normalize(self.vision_proj(image[:, 0]), dim=1)
        text_feat = F.normalize(self.text_proj(text[:, 0]), dim=1)
        with torch.no_grad():
            image_m, text_m = self.visual_encoder_m(pictures), self.text_encoder_m.text(tokens, mask)
            image_feat_m = F.normalize(self.vision_proj_m(image_m[:, 0]), dim=1)
            text_feat_m = F.normalize(self.text_proj_m(text_m[:, 0]), dim=1)
            images = torch.cat([image_feat_m.T, self.image_queue], dim=1)
            texts = torch.cat([text_feat_m.T, self.text_queue], dim=1)
            true = torch.zeros(rows, images.shape[1])
            true.fill_diagonal_(1)
            i2t = alpha * (image_feat_m @ texts / self.temp).softmax(dim=1) + (1 - alpha) * true
            t2i = alpha * (text_feat_m @ images / self.temp).softmax(dim=1) + (1 - alpha) * true
        there = -((image_feat @ texts / self.temp).log_softmax(dim=1) * i2t).sum(dim=1).mean()
        back = -((text_feat @ images / self.temp).log_softmax(dim=1) * t2i).sum(dim=1).mean()
        self._enqueue(image_feat_m, text_feat_m)
        matched = self._matched(image, text, mask, image_feat @ text_feat.T / self.temp, draw)
        return (there + back) / 2, matched, self._filled(image, image_m, masked, mask, labels, alpha)

    @torch.no_grad()
    def _enqueue(self, image: Tensor, text: Tensor) -> None:
        places = slice(self.pointer, self.pointer + len(image))
        self.image_queue[:, places], self.text_queue[:, places] = image.T, text.T
        self.pointer = (self.pointer + len(image)) % self.image_queue.shape[1]

    def _matched(self, image: Tensor, text: Tensor, mask: Tensor, scores: Tensor, draw: Draw) -> Tensor:
        rows = len(image)
        true = self.text_encoder.fused(text, mask, image)[:, 0]
        with torch.no_grad():
            of_image, of_text = scores.softmax(dim=1), scores.T.softmax(dim=1)
            of_image.fill_diagonal_(0)
            of_text.fill_diagonal_(0)
        images = torch.stack([image[draw(of_text[row])] for row in range(rows)])
        others = [draw(of_image[row]) for row in range(rows)]
        texts, masks = torch.stack([text[row] for row in others]), torch.stack([mask[row] for row in others])
        false = self.text_encoder.fused(torch.cat([text, texts]), torch.cat([mask, masks]), torch.cat([images, image]))[
            :, 0
        ]
        logits = self.itm_head(torch.cat([true, false]))
        return F.cross_entropy(logits, torch.cat([torch.ones(rows), torch.zeros(2 * rows)]).long())

    def _filled(
        self, image: Tensor, image_m: Tensor, masked: Tensor, mask: Tensor, labels: Tensor, alpha: float
    ) -> Tensor:
        with torch.no_grad():
            teacher = self.text_encoder_m
            soft = teacher.words(teacher.fused(teacher.text(masked, mask), mask, image_m)).softmax(dim=2)
        logits = self.text_encoder.words(self.text_encoder.fused(self.text_encoder.text(masked, mask), mask, image))
        hard = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        taught = -(logits.log_softmax(dim=2) * soft).sum(dim=2)[labels != IGNORED].mean()
        return (1 - alpha) * hard + alpha * taught
