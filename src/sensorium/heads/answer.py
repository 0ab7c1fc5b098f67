"""An answer in words: the likeliest of a list, or one written word by word."""

from typing import Any

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from sensorium.features import Features
from sensorium.generation.autoregressive import BeamResult, SpecialTokens, beam_search
from sensorium.heads.frequent import answer_as_target, decode_answers
from sensorium.nn.packing import Packing
from sensorium.nn.post_norm import Asked, Asking, Block, Embeddings, Shape, WordLogits, run
from sensorium.nn.precision import wide


class AnswerConfig(BaseModel, frozen=True, extra="forbid"):
    """vocabulary: words known. context: places learned. start, end, pad: the tokens that begin, end and fill an answer.

    layers, heads, ratio: of the decoder, which is as wide as the fusion. kinds, dropout, eps: see BertTextConfig.
    answers: the tokens of each answer of a list, from `start` to `end`; prior: how large a share of the training
    records' answers each is. most: how many of the list are read whole when they are ranked.
    """

    vocabulary: int = Field(ge=2)
    context: int = Field(ge=2)
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    pad: int = Field(0, ge=0)
    layers: int = Field(2, gt=0)
    heads: int = Field(4, gt=0)
    ratio: float = Field(4.0, gt=0)
    kinds: int = Field(1, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    eps: float = Field(1e-12, gt=0)
    answers: list[list[int]] = []
    prior: list[float] = []
    most: int = Field(128, ge=1)

    @model_validator(mode="after")
    def _known(self) -> "AnswerConfig":
        if len(self.answers) != len(self.prior):
            raise ValueError(f"a prior of {len(self.prior)} answers was given for {len(self.answers)}")
        longest = max((len(one) for one in self.answers), default=0)
        if longest > self.context:
            raise ValueError(f"an answer of {longest} tokens is longer than context ({self.context})")
        for name in ("start", "end", "pad"):
            if getattr(self, name) >= self.vocabulary:
                raise ValueError(f"{name} ({getattr(self, name)}) must be less than vocabulary ({self.vocabulary})")
        return self


class Answer(nn.Module):
    """BERT's blocks, each word seeing the earlier ones of its answer and all tokens of the fusion: the decoder with
    which ALBEF answers questions (Li et al. 2021, arXiv:2107.07651).

    An answer is its tokens, from `start` to `end`. In a row without any input the fusion is not read, which leaves how
    likely answers are without a question. With a list of answers, targets and decisions are places in it: `answers`,
    int64 [K, L], has their tokens, None without a list.
    """

    Config = AnswerConfig
    kind = "answer"
    writes = True

    def __init__(self, config: AnswerConfig, dim: int):
        super().__init__()
        self.config = config
        shape = Shape(dim, config.heads, round(dim * config.ratio), config.dropout, config.eps)
        self.embeddings = Embeddings(config.vocabulary, config.context, config.kinds, shape)
        self.asking = Asking(dim, shape, config.layers)
        self.blocks = nn.ModuleList(Block(shape, contexts=1, causal=True) for _ in range(config.layers))
        self.network = WordLogits(dim, config.vocabulary, config.eps)
        listed = [torch.tensor(one) for one in config.answers]
        lengths = torch.tensor([len(one) for one in listed], dtype=torch.long)
        padded = pad_sequence(listed, batch_first=True, padding_value=config.pad) if listed else None  # [K, L]
        real = torch.arange(padded.shape[1]) < lengths[:, None] if listed else None  # [K, L]
        self.register_buffer("answers", padded, persistent=False)
        self.register_buffer("real", real, persistent=False)
        self.register_buffer("prior", torch.tensor(config.prior), persistent=False)

    def logits(self, fused: Features, tokens: Tensor, real: Tensor) -> Tensor:
        """float32 [B, L, V]: how likely each word is after each token of an answer; zero where that is not `real`.

        tokens: int64 [B, L], an answer to each row. real: bool [B, L], the first ones of a row.
        """
        return self._logits(self._asked(fused), tokens, real, real)

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """float32 [B]: the sum over a row's answers of weight times the cross-entropy of all words after `start`.

        target: `weight` float [B, A] and either `tokens` int64 [B, A, L] with `real` bool [B, A, L] (an answer without
        any real token is none), or `answers` int64 [B, A], places in the list (-1 is none).
        """
        tokens, real = self._spelled(target["answers"]) if "answers" in target else (target["tokens"], target["real"])
        row, place = real.any(dim=2).nonzero().unbind(1)  # [N]
        words = self._words(self._asked(fused).take(row), tokens[row, place], real[row, place])  # [N]
        weighed = -words * target["weight"][row, place]
        return weighed.new_zeros(len(tokens)).index_add(0, row, weighed)

    def rank(self, fused: Features, answers: Tensor, real: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """The `most` likeliest of a list of answers: their places in it, int64 [B, k], best first, and how likely each
        is among them, float32 [B, k].

        answers: int64 [A, L], real: bool [A, L]. Only those whose first word is likeliest are read whole. As in the
        published code, whose order this is, the first word counts twice.
        """
        asked, most = self._asked(fused), min(most, len(answers))
        rows = len(fused.mask)
        start = answers[:1, :1].expand(rows, 1)
        first = self._logits(asked, start, torch.ones_like(start, dtype=torch.bool), None)[:, 0].log_softmax(dim=1)
        likely, chosen = first[:, answers[:, 1]].topk(most, dim=1)  # [B, k]
        row = torch.arange(rows, device=chosen.device).repeat_interleave(most)
        picked = chosen.flatten()
        words = self._words(asked.take(row), answers[picked], real[picked]).view(rows, most)
        probabilities, order = (likely + words).softmax(dim=1).sort(dim=1, descending=True)
        return chosen.gather(1, order), probabilities

    def generate(self, fused: Features, longest: int = 16, beams: int = 3) -> BeamResult:
        """For each row the `beams` likeliest answers of at most `longest` tokens that beam search finds, best first.

        What the fusion is asked is projected once, for all steps and beams.
        """
        config = self.config
        rows = torch.arange(len(fused.mask), device=fused.mask.device).repeat_interleave(beams)  # [B * k]
        asked = self._asked(fused).take(rows)
        begun = torch.full((len(fused.mask), beams, 1), config.start, device=fused.mask.device)

        def following(tokens: Tensor) -> Tensor:
            found = self._logits(asked, tokens, torch.ones_like(tokens, dtype=torch.bool), None)
            return found[:, -1].log_softmax(dim=1)

        marks = SpecialTokens(config.start, config.end, config.pad)
        return beam_search(following, begun, marks, min(longest, config.context))

    def predict(self, fused: Features, longest: int = 16) -> dict[str, Tensor]:
        """The likeliest of the list: `decision` int64 [B], a place in it, and its `probability`, float32 [B]; the
        training prior in a row without any input.

        Without a list the answer of the likeliest next words, at most `longest` tokens: `decision` int64 [B, L], from
        `start` to `end`, then `pad`.
        """
        if self.answers is not None:
            return self._chosen(fused)
        found = self.generate(fused, longest, beams=1)
        return {"decision": found.tokens[:, 0], "probability": found.likely[:, 0].exp()}

    def as_target(self, prediction: dict[str, Tensor]) -> dict[str, Tensor]:
        """The decision of what `predict` gives, as `loss` takes it: a position in the list, or tokens."""
        decision = prediction["decision"]
        if decision.dim() == 1:
            return answer_as_target(decision)
        real = (decision != self.config.pad).cumprod(dim=1).bool()  # [B, L]
        weight = torch.ones(len(decision), 1, device=decision.device)
        return {"tokens": decision[:, None], "real": real[:, None], "weight": weight}

    @staticmethod
    def decode(prediction: dict[str, Tensor], labels: list[str]) -> list[dict[str, Any]]:
        """A row's answer as `decision` and its `probability`, of what `predict` gives with a list; labels: the list."""
        return decode_answers(prediction, labels)

    def calibrate(self, fused: Features, target: dict[str, Tensor]) -> None:
        """Nothing is chosen after training."""

    def _spelled(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """places int64 [B, A] -> their tokens, int64 [B, A, L], and which of these are real, bool [B, A, L]."""
        known = places.clamp(min=0)
        return self.answers[known], self.real[known] & (places >= 0)[..., None]

    def _chosen(self, fused: Features) -> dict[str, Tensor]:
        places, likely = self.rank(fused, self.answers, self.real, self.config.most)
        share, usual = self.prior.max(dim=0)
        return {
            "decision": torch.where(fused.present, places[:, 0], usual),
            "probability": torch.where(fused.present, likely[:, 0].float(), share),
        }

    def _asked(self, fused: Features) -> Asked:
        return self.asking(fused.tokens, fused.mask)

    def _words(self, asked: Asked, tokens: Tensor, real: Tensor) -> Tensor:
        """float32 [N]: the logarithm of how likely each answer's words are, all of them after the first token."""
        before = real & F.pad(real[:, 1:], (0, 1))  # those that have a next one
        found = self._logits(asked, tokens, real, before).log_softmax(dim=2)
        following = F.pad(tokens[:, 1:], (0, 1))[:, :, None]  # [N, L, 1]
        return torch.where(before, found.gather(2, following)[:, :, 0], 0.0).sum(dim=1)

    def _logits(self, asked: Asked, tokens: Tensor, real: Tensor, wanted: Tensor | None) -> Tensor:
        """float32 [N, L, V], computed where `wanted`, bool [N, L], zero elsewhere; None for where the last token is."""
        packing = Packing.of(real)
        x = self.embeddings(tokens, packing)  # [tokens, D]
        states = packing.pad(run(self.blocks, x, packing, [asked]))  # [N, L, D]
        if wanted is None:
            return wide(self.network(states[:, -1:], self.embeddings.words.weight))
        found = wide(self.network(states[wanted], self.embeddings.words.weight))
        return found.new_zeros(*real.shape, found.shape[1]).index_put((wanted,), found)
