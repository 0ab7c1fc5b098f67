"""A text read off the fused tokens in their order, each of which is a letter or none: speech, lines of handwriting."""

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from pydantic import BaseModel, Field
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.data.targets.tokens import Tokens
from sensorium.errors import UserError, counted
from sensorium.features import Features
from sensorium.generation.autoregressive import Stream
from sensorium.generation.ctc import beam_texts, frames_needed, greedy_texts, text_logprobs
from sensorium.generation.settings import Generation
from sensorium.heads.written import GREEDY, decode_text, texts_of
from sensorium.nn.precision import wide
from sensorium.nn.recurrent import Recurrent

BLANK, END, UNKNOWN = "[BLANK]", "[END]", "\N{REPLACEMENT CHARACTER}"
MOST_TOKENS = 4096
OPTIONS = ("beams", "best", "seed")  # of a search; greedy draws nothing, so that a seed changes nothing

TOO_LONG = (
    "a text has more letters than its record has frames, so the head 'ctc' learns nothing from it; check that such"
    " recordings are whole, let the head make more frames of a token (each=4), or state pieces."
)


class CTCConfig(BaseModel, frozen=True, extra="forbid"):
    """width, depth, dropout: of the recurrent layers that read the fused tokens both ways; a depth of 0 leaves them
    out, for encoders that are trained for it. each: frames that a fused token makes, one after another, where letters
    come faster than tokens; more of them are learned later. pieces: so many learned pieces of words, 259 or more, in
    the place of letters: fewer for the frames to say. context: the most letters or pieces of a text.
    """

    width: int = Field(256, ge=2, multiple_of=2)
    depth: int = Field(1, ge=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    each: int = Field(1, ge=1)
    pieces: int | None = Field(None, ge=259)
    context: int = Field(MOST_TOKENS, ge=2)


class CTC(nn.Module):
    """Connectionist temporal classification (Graves et al. 2006, doi:10.1145/1143844.1143891): each fused token makes
    frames, which say how likely each letter is, or none; the loss is that of all ways in which they say the text, see
    generation/ctc.py.

    A text that has more letters than there are frames cannot be said: its loss, and that of a row without any input,
    is that of letters drawn by how frequent they are in training, `prior`, which is what such a row predicts too: it
    has an empty text.
    """

    Config = CTCConfig
    Processor = Tokens
    kind = "text"
    writes = True

    def __init__(self, config: CTCConfig, dim: int, processor: Tokens, prior: Tensor | None = None):
        super().__init__()
        self.config, self.processor, self.blank = config, processor, processor.pad
        reads = {"cell": "gru", "bidirectional": True, "dropout": config.dropout}
        self.recurrent = Recurrent(dim, config.width, config.depth, **reads) if config.depth else None
        self.dropout = nn.Dropout(config.dropout)
        self.labels = nn.Linear(config.width if config.depth else dim, config.each * processor.vocabulary)
        self.register_buffer("prior", torch.zeros(processor.vocabulary) if prior is None else prior)

    @classmethod
    def build(cls, config: CTCConfig, dim: int, texts: Iterable[str]) -> "CTC":
        """The untrained head; its letters or pieces are those of the training `texts`."""
        texts = list(texts)
        if config.pieces is None:
            processor = Tokens(_letters_of(texts), 0, [1], 0, config.context)
        else:
            processor = Tokens.train(texts, config.context, config.pieces)
        processor.warn_of_cut(texts)
        counts = torch.ones(processor.vocabulary)
        for token, count in Counter(token for text in texts for token in processor(text)).items():
            counts[token] += count
        return cls(config, dim, processor, (counts / counts.sum()).log())

    @staticmethod
    def usual_fusion(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The fusion where nobody names one, and its settings: one that keeps the order of tokens."""
        return "sequence", {}

    def logprobs(self, fused: Features) -> tuple[Tensor, Tensor]:
        """float32 [B, F, V]: how likely each label is, of the frames of a row's real tokens, which come first; int64
        [B], their number.
        """
        order = fused.mask.int().argsort(dim=1, descending=True, stable=True)
        tokens = fused.tokens.gather(1, order[..., None].expand_as(fused.tokens))
        lengths = fused.mask.sum(dim=1)
        mask = torch.arange(order.shape[1], device=order.device) < lengths.clamp(min=1)[:, None]
        x = torch.where(mask[..., None], wide(tokens), 0.0)
        if self.recurrent is not None:
            x, _ = self.recurrent(self.dropout(x), mask)
        logits = self.labels(self.dropout(x)).unflatten(2, (self.config.each, -1)).flatten(1, 2)  # [B, F, V]
        return wide(logits).log_softmax(dim=2), lengths * self.config.each

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """float32 [B]: minus the logarithm of a text's probability by its number of tokens, its end among them,
        averaged over the texts of a row by `weight`. target: as `written.texts_of` takes it. Warns of texts that have
        more labels than their row has frames.
        """
        logprobs, lengths = self.logprobs(fused)
        row, tokens, real, weight = texts_of(target)
        counts = real.sum(dim=1)
        fits = frames_needed(tokens, counts - 1) <= lengths[row]
        if not (fits | (lengths[row] == 0)).all():
            warnings.warn(TOO_LONG, UserWarning, stacklevel=1)
        aligned = F.ctc_loss(
            logprobs[row].transpose(0, 1), tokens, lengths[row].clamp(min=1), counts - 1, self.blank,
            reduction="none", zero_infinity=True,
        )  # fmt: skip
        drawn = -torch.where(real, self.prior[tokens], 0.0).sum(dim=1)
        losses = torch.where(fits & (lengths[row] > 0), aligned, drawn) / counts
        return losses.new_zeros(len(logprobs)).index_add(0, row, losses * weight)

    @torch.no_grad()
    def predict(
        self, fused: Features, generation: Generation = GREEDY, keys: Sequence[str] = (), stream: Stream | None = None
    ) -> dict[str, Tensor]:
        """As `written.predict_text` gives it: the text of each frame's likeliest label, or with several beams the
        likeliest texts; `logprobs` after the earlier tokens of a text, `probability` over all ways to say it. Raises
        UserError for options of a search that goes token by token.
        """
        _check_options(generation)
        logprobs, lengths = self.logprobs(fused)
        if generation.beams == 1:
            tokens = greedy_texts(logprobs, lengths, self.blank)[:, None]
        else:
            tokens, _ = beam_texts(logprobs, lengths, generation.beams, self.blank)
        rows, texts, longest = tokens.shape
        each, total = text_logprobs(
            logprobs.repeat_interleave(texts, dim=0), lengths.repeat_interleave(texts), tokens.flatten(0, 1), self.blank
        )
        total = torch.where(lengths[:, None] > 0, total.view(rows, texts), self._logprob_of_nothing(texts))
        total, order = total.sort(dim=1, descending=True, stable=True)
        total, order = total[:, : generation.best], order[:, : generation.best]
        index = order[..., None].expand(-1, -1, longest)
        tokens = tokens.gather(1, index)
        if stream is not None:
            for row, text in enumerate(tokens[:, 0]):
                for token in text[text != self.blank].tolist():
                    stream(row, token)
        return {
            "tokens": tokens,
            "logprobs": each.view(rows, texts, longest).gather(1, index).float(),
            "probability": total.exp().float(),
            "finished": torch.ones_like(total, dtype=torch.bool),
        }

    def decode(self, prediction: dict[str, Tensor], labels: list[str]) -> list[dict[str, Any]]:
        """See `written.decode_text`."""
        return decode_text(prediction, self.processor)

    @torch.no_grad()
    def calibrate(self, fused: Features, target: dict[str, Tensor]) -> None:
        """Chooses nothing. Warns of the validation texts that have more labels than their row has frames."""
        counts = target["real"].sum(dim=2)  # [B, A]
        row, column = (counts > 0).nonzero().unbind(1)
        lengths = self.config.each * fused.mask.sum(dim=1)[row]
        needed = frames_needed(target["tokens"][row, column], counts[row, column] - 1)
        long = int(((needed > lengths) & (lengths > 0)).sum())
        if long:
            warnings.warn(
                f"{long:,} of the {counted(len(row), 'validation text')}: {TOO_LONG}", UserWarning, stacklevel=1
            )

    def _logprob_of_nothing(self, texts: int) -> Tensor:
        """float64 [texts]: of the empty text in a row without any input; there is no further one."""
        logprobs = self.prior.new_full((texts,), -torch.inf, dtype=torch.float64)
        logprobs[0] = self.prior[self.processor.end[0]]
        return logprobs


def _letters_of(texts: Iterable[str]) -> Tokenizer:
    """Each letter of the NFC of `texts` is a token; one that is in none of them is UNKNOWN."""
    normalizer = normalizers.NFC()
    letters = sorted({letter for text in texts for letter in normalizer.normalize_str(text)} - {UNKNOWN})
    tokens = [BLANK, END, UNKNOWN, *letters]
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, UNKNOWN))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def _check_options(generation: Generation) -> None:
    """Raises UserError where more is asked of a search than beams and how many texts."""
    refused = [
        name for name in Generation.model_fields
        if name not in OPTIONS and getattr(generation, name) != getattr(GREEDY, name)
    ]  # fmt: skip
    if refused:
        raise UserError(
            f"The head 'ctc' reads a text off all tokens at once and takes no {', '.join(refused)}; leave it out, or"
            " search with beams and best."
        )
