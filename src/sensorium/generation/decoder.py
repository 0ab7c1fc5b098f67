"""What a search needs of a decoder: how it begins, its step, its state, and the tokens that end and fill a text."""

from typing import NamedTuple, Protocol, Self, TypeVar

from torch import Tensor

from sensorium.features import Features


class State(Protocol):
    """What a decoder keeps between steps: the keys and values of the tokens it has read and of what it attends to.

    It has N = B * k rows, the k beams of each of B samples in turn; a decoder's `begin` gives one with k = 1.
    """

    def take(self, index: Tensor) -> Self:
        """The state whose beams are the rows `index`, int64 [samples, beams], in that order and with repetition; the
        rows of index[i] are all beams of one sample. The state that it is taken of is not used afterwards.
        """
        ...


StateT = TypeVar("StateT", bound=State)


class SpecialTokens(NamedTuple):
    """The token or tokens that end a sequence, the one that fills it, and those that a decoder reads before the first
    that it writes: rules about repetition count these, as Transformers does. forced: how many of `start` Transformers
    counts as written, so that the lengths by which beams are ranked are its own.
    """

    end: int | tuple[int, ...]
    pad: int
    start: tuple[int, ...] = ()
    forced: int = 0

    @property
    def ends(self) -> tuple[int, ...]:
        """The tokens that end a sequence."""
        return (self.end,) if isinstance(self.end, int) else tuple(self.end)


class Decoder(Protocol[StateT]):
    """Writes token by token. context: the most tokens that can be written."""

    special: SpecialTokens
    context: int

    def begin(self, fused: Features, prompt: Tensor | None = None) -> tuple[Tensor, StateT]:
        """float32 [B, V], the logits of the first token to be written, and the state after everything read so far: the
        fused tokens, the start and `prompt`, int64 [B, P], tokens that the text is made to begin with.
        """
        ...

    def step(self, tokens: Tensor, state: StateT) -> Tensor:
        """int64 [N], the next token of each row of `state`, which grows by it in place -> float32 [N, V], the logits
        of the token after it.
        """
        ...


class Written(NamedTuple):
    """The n texts of each of B rows, the best first.

    tokens:   int64 [B, n, L], a text's own tokens without start, prompt and end, then pad.
    logprobs: float32 [B, n, L], the logarithm of each token's probability as the decoder has it; zero at pad.
    logprob:  float32 [B, n], their sum and that of the end; minus infinity where there is no further text.
    score:    float32 [B, n], what ranked them: of beams after rules and by the length penalty, else `logprob`.
    finished: bool [B, n], False where `max_tokens` cut it.
    """

    tokens: Tensor
    logprobs: Tensor
    logprob: Tensor
    score: Tensor
    finished: Tensor
