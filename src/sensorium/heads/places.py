"""Places in a picture, written as text by a small decoder that is learned from scratch."""

import math
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from pydantic import BaseModel, Field
from tokenizers import AddedToken
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.data.targets.boxes import in_order
from sensorium.data.targets.places import BOX, Place, count_locations, location_tokens, read_places, spell_places
from sensorium.data.targets.tokens import Tokens
from sensorium.errors import counted
from sensorium.features import Features
from sensorium.generation.autoregressive import Stream
from sensorium.generation.settings import Generation
from sensorium.heads.writer import Writer, WriterConfig
from sensorium.heads.written import GREEDY, predict_text, text_loss, texts_of
from sensorium.nn.precision import wide

FEWEST_TOKENS, MOST_TOKENS = 32, 512
FEWEST_BINS, MOST_BINS, BINS_OF_A_SIDE = 100, 1000, 10
WAVES = 5.0  # octaves of the waves that location tokens begin as


class PlacesConfig(BaseModel, frozen=True, extra="forbid"):
    """bins: into how many a picture's width, and its height, are cut; None: so many that 95 % of the sides of training
    boxes are ten bins or longer, from 100 to 1,000. blur: how many bins around the true one are learned as right too,
    a deviation; 0 for none. guide: how much it counts in training how well the fused tokens by themselves say the
    places, see `Guide`; 0 for not at all. decoder: the writer's settings.
    """

    bins: int | None = Field(None, ge=2, le=10_000)
    blur: float = Field(1.0, ge=0)
    guide: float = Field(0.3, ge=0)
    decoder: WriterConfig = WriterConfig()


class Guide(nn.Module):
    """What each fused token says by itself: a label, four locations, and how much it has to say. A true place is learnt
    as what a mixture of all tokens says (Bishop 1994), so that each finds its own; they then hold what a decoder has to
    look for, which it learns late from the places that it writes alone.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, 1 + (1 + BOX) * dim)

    def forward(self, fused: Features, words: Tensor, locations: slice, row: Tensor, tokens: Tensor) -> Tensor:
        """float32 [M]: minus the log-probability of M places. words: [V, D]. row: int64 [M], that of `fused`. tokens:
        int64 [M, 1 + 4], each place's label and its four locations.
        """
        weight, vectors = self.linear(self.norm(fused.tokens)).split([1, (1 + BOX) * self.dim], dim=2)
        weight = torch.where(fused.mask, wide(weight[..., 0]), torch.finfo(torch.float32).min).log_softmax(dim=1)
        vectors = vectors.unflatten(2, (1 + BOX, self.dim))  # [B, T, 5, D]
        labels = wide(F.linear(vectors[:, :, 0], words[: locations.start])).log_softmax(dim=2)  # [B, T, V']
        corners = wide(F.linear(vectors[:, :, 1:], words[locations])).log_softmax(dim=3)  # [B, T, 4, bins]
        token = torch.arange(weight.shape[1], device=row.device)[:, None]  # [T, 1]
        of_label = labels[row[:, None, None], token, tokens[:, None, :1]].squeeze(2)  # [M, T]
        axis = torch.arange(BOX, device=row.device)
        of_corners = corners[row[:, None, None], token, axis, tokens[:, None, 1:] - locations.start]  # [M, T, 4]
        return -(weight[row] + of_label + of_corners.sum(dim=2)).logsumexp(dim=1)


class Places(nn.Module):
    """A Writer whose texts are places: each label, then its location tokens (Chen et al. 2022, arXiv:2109.10852; Xiao
    et al. 2023, arXiv:2311.06242). Location tokens begin as waves of where they are, so that near ones are alike.
    """

    Config = PlacesConfig
    Processor = Tokens
    kind = "boxes"
    writes = True

    def __init__(self, config: PlacesConfig, dim: int, processor: Tokens):
        super().__init__()
        self.config, self.processor = config, processor
        self.decoder = Writer(config.decoder, dim, processor)
        self.special, self.context = self.decoder.special, self.decoder.context
        self.bins = count_locations(processor.tokenizer)
        first = processor.tokenizer.token_to_id("<loc_0>")
        self.locations = slice(first, first + self.bins)
        waves = location_waves(self.bins, dim)
        with torch.no_grad():
            self.decoder.words.weight[self.locations] = waves * (2 / dim) ** 0.5
        self.guide = Guide(dim) if config.guide else None
        self.register_buffer("shares", self._label_shares(), persistent=False)

    @classmethod
    def build(cls, config: PlacesConfig, dim: int, lists: Iterable[list[Place]]) -> "Places":
        """The untrained head, its tokenizer learned from the labels of the training `lists`. Warns of those that are
        cut.
        """
        lists = [in_order(places) for places in lists]
        bins = config.bins or choose_bins(lists)
        labels = [place.label for places in lists for place in places]
        processor = Tokens.train(labels, config.decoder.context or MOST_TOKENS, config.decoder.vocabulary)
        processor.tokenizer.add_tokens(
            [AddedToken(token, normalized=False, special=False) for token in location_tokens(bins)]
        )
        if config.decoder.context is None:
            longest = max((len(processor(spell_places(places, bins))) for places in lists), default=1)
            processor.max_tokens = min(MOST_TOKENS, max(FEWEST_TOKENS, longest + longest // 4))
        head = cls(config.model_copy(update={"bins": bins}), dim, processor)
        head.warn_of_cut(lists)
        return head

    def warn_of_cut(self, lists: Sequence[list[Place]]) -> None:
        """Warns of lists of places to learn that are cut, with their number."""
        cut = sum(self.processor.is_cut(spell_places(places, self.bins)) for places in lists)
        if cut:
            warnings.warn(
                f"{cut:,} of the {counted(len(lists), 'list')} of places to learn have more than"
                f" {self.context} tokens and are cut there; the head's decoder takes more by its context.",
                UserWarning,
                stacklevel=3,
            )

    @staticmethod
    def usual_fusion(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """As Writer's."""
        return Writer.usual_fusion(config)

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """As heads.written.text_loss gives it; in training of smoothed labels and blurred locations, with the guide's
        mean over a row's places beside it.
        """
        if not self.training:
            return text_loss(partial(self.decoder.logits, fused), target, 0.0)
        loss = text_loss(partial(self.decoder.logits, fused), target, 0.0, self.shares)
        if self.guide is None:
            return loss
        row, tokens = self._places_of(target)
        guided = self.guide(fused, self.decoder.words.weight, self.locations, row, tokens)
        count = torch.bincount(row, minlength=len(loss)).clamp(min=1)
        return loss + self.config.guide * loss.new_zeros(len(loss)).index_add(0, row, guided / count[row])

    def _places_of(self, target: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Of the M places of a batch the row, int64 [M], and the last token of the label with the first four of the
        locations, int64 [M, 5].
        """
        row, tokens, real, _ = texts_of(target)
        is_location = (tokens >= self.locations.start) & (tokens < self.locations.stop) & real
        begins = is_location & ~F.pad(is_location[:, :-1], (1, 0))
        text, position = begins.nonzero().unbind(1)
        fits = (position > 0) & (position + BOX <= tokens.shape[1])
        text, position = text[fits], position[fits]
        offsets = torch.arange(-1, BOX, device=tokens.device)
        spelled = tokens[text[:, None], position[:, None] + offsets]
        complete = (spelled[:, 1:] >= self.locations.start).all(dim=1) & (spelled[:, 1:] < self.locations.stop).all(
            dim=1
        )
        return row[text][complete], spelled[complete]

    def begin(self, fused: Features, prompt: Tensor | None = None) -> tuple[Tensor, Any]:
        """As Decoder says."""
        return self.decoder.begin(fused, prompt)

    def step(self, tokens: Tensor, state: Any) -> Tensor:
        """As Decoder says."""
        return self.decoder.step(tokens, state)

    def predict(
        self, fused: Features, generation: Generation = GREEDY, keys: Sequence[str] = (), stream: Stream | None = None
    ) -> dict[str, Tensor]:
        """The tokens, as heads.written.predict_text gives them."""
        return predict_text(self, self.processor, fused, generation, keys, stream)

    def decode(self, prediction: dict[str, Tensor], labels: list[str]) -> list[dict[str, Any]]:
        """A row's places as `decision`, the surest first; the `probability` of all of them; how many were `malformed`
        and left out.
        """
        tokenizer, rows = self.processor.tokenizer, []
        for tokens, logprobs, probability in zip(
            prediction["tokens"][:, 0].tolist(), prediction["logprobs"][:, 0].tolist(),
            prediction["probability"][:, 0].tolist(), strict=True,
        ):  # fmt: skip
            real = [number for number, token in enumerate(tokens) if token != self.processor.pad]
            pieces = [tokenizer.id_to_token(tokens[number]) for number in real]
            places, malformed = read_places(
                pieces, [logprobs[number] for number in real], self.bins, tokenizer.decoder.decode
            )
            places.sort(key=lambda place: -place.confidence)
            rows.append({"decision": places, "probability": probability, "malformed": malformed})
        return rows

    def calibrate(self, fused: Features, target: dict[str, Tensor]) -> None:
        """Nothing is chosen after training."""

    def _label_shares(self) -> Tensor:
        """float32 [V, V]: of each true token the probabilities that are learned: of a location those of the bins around
        it, of any other its own, some of it spread over all.
        """
        count, smoothing = self.processor.vocabulary, self.config.decoder.smoothing
        shares = torch.full((count, count), smoothing / count) + (1 - smoothing) * torch.eye(count)
        if self.config.blur:
            number = torch.arange(self.bins)
            near = torch.exp(-((number[:, None] - number) ** 2) / (2 * self.config.blur**2))
            shares[self.locations] = F.pad(
                near / near.sum(dim=1, keepdim=True), (self.locations.start, count - self.locations.stop)
            )
        return shares


def choose_bins(lists: Sequence[Sequence[Place]]) -> int:
    """So many bins, in hundreds, that 95 % of the sides of boxes are BINS_OF_A_SIDE long or longer."""
    boxes = torch.tensor([place.box for places in lists for place in places] or [(0.0, 0.0, 1.0, 1.0)])
    side = float((boxes[:, 2:] - boxes[:, :2]).flatten().quantile(0.05))
    return min(MOST_BINS, max(FEWEST_BINS, 100 * math.ceil(BINS_OF_A_SIDE / max(side, 1e-6) / 100 - 1e-3)))


def location_waves(bins: int, dim: int) -> Tensor:
    """float32 [bins, D]: sines and cosines of the middle of each bin, of waves from two pictures long to a sixteenth of
    one.
    """
    frequency = math.pi * 2 ** torch.linspace(0, WAVES, dim - dim // 2)
    angle = (torch.arange(bins)[:, None] + 0.5) / bins * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :dim]
