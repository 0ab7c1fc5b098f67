"""An answer in words: the likeliest of a list, or a sequence written word by word."""

from typing import Any

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from sensorium.features import Features
from sensorium.generation.decoder import SpecialTokens
from sensorium.generation.fixed_beams import BeamResult, beam_search
from sensorium.heads.frequent import answer_as_target, decode_answers
from sensorium.nn.packing import Packing
from sensorium.nn.post_norm import Asked, Asking, Block, DecoderState, Embeddings, Shape, WordLogits, run, run_step
from sensorium.nn.precision import wide


class AnswerConfig(BaseModel, frozen=True, extra="forbid"):
    """vocabulary: how many words there are. context: how many positions are learned. start, end, pad: the tokens that
    begin, end and fill an answer.

    layers, heads, ratio: of the decoder, which is as wide as the fusion. kinds, dropout, eps: see BertTextConfig.
    answers: the tokens of each answer of a list, from `start` to `end`; prior: each one's share of the training
    records' answers. most: how many of the list are read to their end when they are ranked.
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
    def _check(self) -> "AnswerConfig":
        if len(self.answers) != len(self.prior):
            raise ValueError(f"a prior of {len(self.prior)} answers was given for {len(self.answers)}")
        longest = max((len(answer) for answer in self.answers), default=0)
        if longest > self.context:
            raise ValueError(f"an answer of {longest} tokens is longer than context ({self.context})")
        for name in ("start", "end", "pad"):
            if getattr(self, name) >= self.vocabulary:
                raise ValueError(f"{name} ({getattr(self, name)}) must be less than vocabulary ({self.vocabulary})")
        return self


class Answer(nn.Module):
    """BERT's blocks, each word seeing the earlier ones of its answer and all tokens of the fusion: the decoder with
    which ALBEF answers questions (Li et al. 2021, arXiv:2107.07651).

    An answer is its tokens, from `start` to `end`. In a row without any input the fusion is not read, which leaves the
    probability of answers without a question. With a list of answers, targets and decisions are indices into it:
    `answers`, int64 [K, L], has their tokens, None without a list.
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
        answers = [torch.tensor(answer) for answer in config.answers]
        lengths = torch.tensor([len(answer) for answer in answers], dtype=torch.long)
        padded = pad_sequence(answers, batch_first=True, padding_value=config.pad) if answers else None  # [K, L]
        real = torch.arange(padded.shape[1]) < lengths[:, None] if answers else None  # [K, L]
        self.register_buffer("answers", padded, persistent=False)
        self.register_buffer("real", real, persistent=False)
        self.register_buffer("prior", torch.tensor(config.prior), persistent=False)

    def logits(self, fused: Features, tokens: Tensor, real: Tensor) -> Tensor:
        """float32 [B, L, V]: the logits of the word after each token of an answer; zero where that is not `real`.

        tokens: int64 [B, L], an answer to each row. real: bool [B, L], the first ones of a row.
        """
        return self._logits(self._context(fused), tokens, real, real)

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """float32 [B]: the sum over a row's answers of weight times the cross-entropy of all words after `start`.

        target: `weight` float [B, A] and either `tokens` int64 [B, A, L] with `real` bool [B, A, L] (an answer without
        any real token is none), or `answers` int64 [B, A], indices into the list (-1 is none).
        """
        by_index = "answers" in target
        tokens, real = self._tokens_of(target["answers"]) if by_index else (target["tokens"], target["real"])
        row, column = real.any(dim=2).nonzero().unbind(1)  # [N]
        logprobs = self._logprobs(self._context(fused).take(row), tokens[row, column], real[row, column])  # [N]
        weighted = -logprobs * target["weight"][row, column]
        return weighted.new_zeros(len(tokens)).index_add(0, row, weighted)

    def rank(self, fused: Features, answers: Tensor, real: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """The `most` likeliest of a list of answers: their indices, int64 [B, k], best first, and the probability of
        each among them, float32 [B, k].

        answers: int64 [A, L], real: bool [A, L]. Only those whose first word is likeliest are read to their end. As in
        the published code, whose order this is, the first word counts twice.
        """
        context, most = self._context(fused), min(most, len(answers))
        rows = len(fused.mask)
        first_words = self.step(answers[:1, 0].expand(rows), self._state(context)).log_softmax(dim=1)  # [B, V]
        first_logprobs, chosen = first_words[:, answers[:, 1]].topk(most, dim=1)  # [B, k]
        row = torch.arange(rows, device=chosen.device).repeat_interleave(most)
        logprobs = self._logprobs(context.take(row), answers[chosen.flatten()], real[chosen.flatten()])  # [B * k]
        scores = first_logprobs + logprobs.view(rows, most)
        probabilities, order = scores.softmax(dim=1).sort(dim=1, descending=True)
        return chosen.gather(1, order), probabilities

    @property
    def special(self) -> SpecialTokens:
        """The tokens that end, fill and begin an answer."""
        return SpecialTokens(self.config.end, self.config.pad, (self.config.start,))

    @property
    def context(self) -> int:
        """The most tokens that can be written after `start`."""
        return self.config.context - 1

    def begin(self, fused: Features, prompt: Tensor | None = None) -> tuple[Tensor, DecoderState]:
        """float32 [B, V], the logits of the word after `start` and `prompt`, int64 [B, P], and the state after them, a
        row a sample: the keys and values of the fusion are projected once, for all steps and beams.
        """
        first = torch.full((len(fused.mask), 1), self.config.start, device=fused.mask.device)
        state = self._state(self._context(fused))
        for tokens in (first if prompt is None else torch.cat([first, prompt], dim=1)).unbind(1):
            logits = self.step(tokens, state)
        return logits, state

    def step(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """int64 [N], the next token of each row of `state`, which grows by it -> float32 [N, V], the logits of the word
        after it.
        """
        x = self.embeddings.step(tokens, state.length)  # [N, D]
        return wide(self.network(run_step(self.blocks, x, state), self.embeddings.words.weight))

    def generate(self, fused: Features, longest: int = 16, beams: int = 3) -> BeamResult:
        """For each row the `beams` likeliest answers of at most `longest` tokens that beam search finds, best first."""
        first = torch.full((len(fused.mask),), self.config.start, device=fused.mask.device)
        state = self._state(self._context(fused))
        return beam_search(self.step, state, first, self.special, min(longest, self.config.context), beams)

    def predict(self, fused: Features, longest: int = 16) -> dict[str, Tensor]:
        """The likeliest of the list: `decision` int64 [B], an index into it, and its `probability`, float32 [B]; the
        training prior in a row without any input.

        Without a list the answer of the likeliest next words, at most `longest` tokens: `decision` int64 [B, L], from
        `start` to `end`, then `pad`.
        """
        if self.answers is not None:
            return self._choose(fused)
        result = self.generate(fused, longest, beams=1)
        return {"decision": result.tokens[:, 0], "probability": result.likely[:, 0].exp()}

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

    def _tokens_of(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """index int64 [B, A] -> the answers' tokens, int64 [B, A, L], and which of these are real, bool [B, A, L]."""
        row = index.clamp(min=0)
        return self.answers[row], self.real[row] & (index >= 0)[..., None]

    def _choose(self, fused: Features) -> dict[str, Tensor]:
        ranked, probabilities = self.rank(fused, self.answers, self.real, self.config.most)
        share, most_frequent = self.prior.max(dim=0)
        return {
            "decision": torch.where(fused.present, ranked[:, 0], most_frequent),
            "probability": torch.where(fused.present, probabilities[:, 0].float(), share),
        }

    def _context(self, fused: Features) -> Asked:
        return self.asking(fused.tokens, fused.mask)

    def _state(self, context: Asked) -> DecoderState:
        return DecoderState([context], [None] * len(self.blocks))

    def _logprobs(self, context: Asked, tokens: Tensor, real: Tensor) -> Tensor:
        """float32 [N]: the logarithm of the probability of each answer's words, all of them after the first token."""
        has_next = real & F.pad(real[:, 1:], (0, 1))
        logprobs = self._logits(context, tokens, real, has_next).log_softmax(dim=2)
        next_tokens = F.pad(tokens[:, 1:], (0, 1))[:, :, None]  # [N, L, 1]
        return torch.where(has_next, logprobs.gather(2, next_tokens)[:, :, 0], 0.0).sum(dim=1)

    def _logits(self, context: Asked, tokens: Tensor, real: Tensor, where: Tensor) -> Tensor:
        """float32 [N, L, V], computed where `where`, bool [N, L], is True; zero elsewhere."""
        packing = Packing.of(real)
        x = self.embeddings(tokens, packing)  # [tokens, D]
        states = packing.pad(run(self.blocks, x, packing, [context]))  # [N, L, D]
        logits = wide(self.network(states[where], self.embeddings.words.weight))
        return logits.new_zeros(*real.shape, logits.shape[1]).index_put((where,), logits)
