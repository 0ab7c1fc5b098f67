"""Search over the steps of a small recurrent decoder: the plain search's sequences, and no work on what has ended."""

import pytest
import torch
from torch import Tensor, nn

from sensorium.generation.decoder import SpecialTokens
from sensorium.generation.fixed_beams import beam_search, next_token_logprobs
from tests.generation.scenes import assert_same_beams, plain_beam_search

WORDS, WIDTH, START, END, PAD = 7, 12, 1, 2, 0


class Hidden:
    """The state of a recurrent decoder."""

    def __init__(self, hidden: Tensor):
        self.hidden = hidden

    def take(self, index: Tensor) -> "Hidden":
        return Hidden(self.hidden[index.flatten()])


class Recurrent(nn.Module):
    """A decoder whose logits depend on every token so far; it notes how many rows each step has."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.cell, self.out = nn.Embedding(WORDS, WIDTH), nn.GRUCell(WIDTH, WIDTH), nn.Linear(WIDTH, WORDS)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(2)
            self.out.bias[END] += 2  # so that sequences end at different steps
        self.rows: list[int] = []

    def step(self, tokens: Tensor, state: Hidden) -> Tensor:
        self.rows.append(len(tokens))
        state.hidden = self.cell(self.words(tokens), state.hidden)
        return self.out(state.hidden)

    def logits(self, start: Tensor, prefix: list[int]) -> Tensor:
        """float [V], from the whole prefix; start: float [D], the sample's first state."""
        hidden = start[None]
        for token in prefix:
            hidden = self.cell(self.words(torch.tensor([token])), hidden)
        return self.out(hidden)[0]


def starts(samples: int) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(samples, WIDTH)


@pytest.mark.parametrize("samples", [1, 2, 9])
@pytest.mark.parametrize("beams", [1, 2, 5])
@torch.no_grad()
def test_the_search_finds_what_a_plain_one_finds(samples: int, beams: int):
    decoder, hidden = Recurrent(), starts(samples)
    first = torch.full((samples,), START)
    result = beam_search(decoder.step, Hidden(hidden), first, SpecialTokens(END, PAD), longest=9, beams=beams)
    for sample in range(samples):
        expected = plain_beam_search(
            lambda prefix, start=hidden[sample]: decoder.logits(start, prefix), START, END, 9, beams
        )
        assert_same_beams(result.tokens[sample], result.likely[sample], expected, PAD)


@pytest.mark.parametrize("beams", [1, 3])
@torch.no_grad()
def test_a_sample_whose_beams_have_all_ended_is_not_stepped_again(beams: int):
    decoder, samples, longest = Recurrent(), 12, 12
    first = torch.full((samples,), START)
    result = beam_search(decoder.step, Hidden(starts(samples)), first, SpecialTokens(END, PAD), longest, beams)
    ended = (result.tokens == END).int().cumsum(2) > 0  # [B, k, L]
    steps = torch.where(ended.any(2), ended.int().argmax(2), longest - 1).amax(1)  # [B], of each one's longest beam
    assert len(steps.unique()) > 3
    needed = [beams * int((steps > step).sum()) for step in range(len(decoder.rows))]
    # Of several beams, a longer one may have dropped out of the best in the last step.
    assert decoder.rows == needed if beams == 1 else all(map(int.__ge__, decoder.rows, needed))
    assert decoder.rows[0] == samples * beams and sum(decoder.rows) < sum(needed) + samples * beams


@torch.no_grad()
def test_each_sample_has_its_own_first_token():
    decoder, hidden, first = Recurrent(), starts(4), torch.tensor([3, END, 5, PAD])
    result = beam_search(decoder.step, Hidden(hidden), first, SpecialTokens(END, PAD), longest=6, beams=2)
    for sample, token in enumerate(first.tolist()):
        expected = plain_beam_search(
            lambda prefix, start=hidden[sample]: decoder.logits(start, prefix), token, END, 6, 2
        )
        assert_same_beams(result.tokens[sample], result.likely[sample], expected, PAD)


@torch.no_grad()
def test_one_token_is_the_first_and_costs_no_step():
    decoder = Recurrent()
    result = beam_search(decoder.step, Hidden(starts(3)), torch.full((3,), START), SpecialTokens(END, PAD), 1, 2)
    assert (result.tokens == START).all() and result.tokens.shape == (3, 2, 1) and decoder.rows == []
    assert result.likely[:, 0].tolist() == [0.0] * 3 and (result.likely[:, 1] == -torch.inf).all()


def test_a_beam_that_has_ended_is_followed_by_padding_for_certain():
    logits = torch.randn(2, 2, WORDS)
    logprobs = next_token_logprobs(logits, torch.tensor([[True, False], [False, True]]), PAD)
    torch.testing.assert_close(logprobs[0, 0], logits[0, 0].log_softmax(0))
    torch.testing.assert_close(logprobs[1, 1], logits[1, 1].log_softmax(0))
    for ended in (logprobs[0, 1], logprobs[1, 0]):
        assert ended[PAD] == 0 and (ended.exp().sum() == 1)


@torch.no_grad()
def test_a_decoder_in_double_precision_writes_the_same():
    decoder, hidden, special = Recurrent(), starts(4), SpecialTokens(END, PAD)
    first = torch.full((4,), START)
    single = beam_search(decoder.step, Hidden(hidden), first, special, longest=6, beams=2)
    double = beam_search(decoder.double().step, Hidden(hidden.double()), first, special, longest=6, beams=2)
    assert torch.equal(single.tokens, double.tokens) and double.likely.dtype == torch.float32
    torch.testing.assert_close(single.likely, double.likely, rtol=1e-5, atol=1e-5)
