"""Places in a picture, written as text by a small decoder that is learned from scratch."""

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from pydantic import BaseModel, Field
from tokenizers import AddedToken
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.data.targets.boxes import in_order
from sensorium.data.targets.places import Place, count_locations, is_flat, location_tokens, read_places, spell_places
from sensorium.data.targets.tokens import Tokens
from sensorium.errors import counted
from sensorium.features import Features
from sensorium.generation.autoregressive import Stream
from sensorium.generation.settings import Generation
from sensorium.heads.writer import Writer, WriterConfig
from sensorium.heads.written import GREEDY, predict_text, text_loss

FEWEST_TOKENS, MOST_TOKENS = 32, 512
FEWEST_BINS, MOST_BINS, BINS_OF_A_SIDE = 100, 1000, 10
MOST_LABELS = 1000  # that the head remembers
WAVES = 5.0  # octaves of the waves that location tokens begin as


class PlacesConfig(BaseModel, frozen=True, extra="forbid"):
    """bins: into how many a picture's width, and its height, are cut; None: so many that 95 % of the sides of training
    boxes are ten bins or longer, from 100 to 1,000. blur: how many bins around the true one are learned as right too,
    a deviation; 0 for none. decoder: the writer's settings. shapes, labels: of the training places, the commonest
    labels; `build` fills them.
    """

    bins: int | None = Field(None, ge=2, le=10_000)
    blur: float = Field(1.0, ge=0)
    decoder: WriterConfig = WriterConfig()
    shapes: tuple[str, ...] = ("box", "quad", "polygon")
    labels: tuple[str, ...] = ()


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
        shapes = sorted({place.shape for places in lists for place in places}) or config.shapes
        commonest = tuple(sorted(label for label, _ in Counter(labels).most_common(MOST_LABELS)))
        learned = {"bins": bins, "shapes": tuple(shapes), "labels": commonest}
        head = cls(config.model_copy(update=learned), dim, processor)
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
        """As heads.written.text_loss gives it; in training of smoothed labels and blurred locations."""
        shares = self.shares if self.training else None
        return text_loss(partial(self.decoder.logits, fused), target, 0.0, shares)

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
        and left out, as those without a label, without an area, or of a shape that training did not have.
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
            usable = [
                place for place in places if place.label and place.shape in self.config.shapes and not is_flat(place)
            ]
            malformed += len(places) - len(usable)
            usable.sort(key=lambda place: -place.confidence)
            rows.append({"decision": usable, "probability": probability, "malformed": malformed})
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
