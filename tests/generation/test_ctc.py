"""Texts of frames: all of them, with their probabilities, as adding up every path gives them."""

import itertools
from collections import defaultdict

import pytest
import torch
from torch.nn import functional as F

from sensorium.generation.ctc import beam_texts, frames_needed, greedy_texts, text_logprobs

LENGTHS = torch.tensor([5, 3, 0, 4])
ENOUGH = 40  # beams for every text of so few frames


@pytest.fixture(scope="module")
def logprobs() -> torch.Tensor:
    noise = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
    return (1.5 * noise).log_softmax(dim=2)


def texts_of_paths(logprobs: torch.Tensor) -> dict[tuple[int, ...], float]:
    """Every text of the frames, float [T, V], with its probability."""
    texts = defaultdict(float)
    for path in itertools.product(range(logprobs.shape[1]), repeat=len(logprobs)):
        text = tuple(label for label, _ in itertools.groupby(path) if label)
        texts[text] += float(sum(logprobs[frame, label] for frame, label in enumerate(path)).exp()) if path else 1.0
    return texts


def as_text(tokens: torch.Tensor) -> tuple[int, ...]:
    return tuple(token for token in tokens.tolist() if token)


def test_enough_beams_find_every_text_with_the_probability_of_all_its_paths(logprobs):
    tokens, scores = beam_texts(logprobs, LENGTHS, ENOUGH, 0)
    for row, length in enumerate(LENGTHS):
        expected = sorted(texts_of_paths(logprobs[row, :length]).items(), key=lambda text: -text[1])
        assert [as_text(text) for text in tokens[row, : len(expected)]] == [text for text, _ in expected]
        probabilities = torch.tensor([probability for _, probability in expected], dtype=torch.float64)
        torch.testing.assert_close(scores[row, : len(expected)].exp(), probabilities, atol=1e-6, rtol=0)
        assert (scores[row, len(expected) :] == -torch.inf).all()


def test_a_token_has_the_probability_that_a_text_goes_on_with_it(logprobs):
    tokens, _ = beam_texts(logprobs, LENGTHS, ENOUGH, 0)
    for row, length in enumerate(LENGTHS):
        texts = texts_of_paths(logprobs[row, :length])
        own = tokens[row, : len(texts)]
        count = len(own)
        each, total = text_logprobs(logprobs[row].expand(count, -1, -1), length.expand(count), own, 0)
        for text, of_each, whole in zip(own, each, total, strict=True):
            text = as_text(text)
            begins = [sum(p for t, p in texts.items() if t[:n] == text[:n]) for n in range(len(text) + 1)]
            ratios = torch.tensor(begins[1:], dtype=torch.float64) / torch.tensor(begins[:-1], dtype=torch.float64)
            torch.testing.assert_close(of_each[: len(text)].exp(), ratios, atol=1e-6, rtol=1e-5)
            assert (of_each[len(text) :] == 0).all() and abs(float(whole.exp()) - texts[text]) < 1e-6


def test_a_text_is_as_likely_as_torch_says():
    generator = torch.Generator().manual_seed(1)
    logprobs = torch.randn(6, 30, 7, generator=generator).log_softmax(dim=2)
    lengths, counts = torch.tensor([30, 21, 30, 17, 25, 30]), torch.tensor([9, 4, 0, 8, 1, 9])
    tokens = torch.randint(1, 4, (6, 9), generator=generator)  # few labels, so that some repeat
    tokens[torch.arange(9) >= counts[:, None]] = 0
    loss = F.ctc_loss(logprobs.transpose(0, 1), tokens, lengths, counts, reduction="none")
    torch.testing.assert_close(text_logprobs(logprobs, lengths, tokens, 0)[1].float(), -loss, atol=1e-4, rtol=1e-5)


def test_greedy_takes_the_likeliest_label_of_each_real_frame():
    path = torch.tensor([[1, 1, 0, 1, 2, 2, 0], [2, 1, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0], [1, 2, 1, 2, 1, 2, 1]])
    tokens = greedy_texts(F.one_hot(path, 3).float(), torch.tensor([7, 4, 7, 0]), 0)
    assert tokens.tolist() == [[1, 1, 2], [2, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_a_text_needs_a_frame_a_token_and_one_between_two_that_are_equal():
    tokens = torch.tensor([[1, 1, 2, 2], [1, 2, 1, 2], [1, 1, 0, 0], [0, 0, 0, 0]])
    assert frames_needed(tokens, torch.tensor([4, 4, 1, 0])).tolist() == [6, 4, 1, 0]
    logprobs = torch.zeros(1, 5, 3).log_softmax(dim=2)
    assert text_logprobs(logprobs, torch.tensor([5]), tokens[:1], 0)[1].item() == -torch.inf


@pytest.mark.parametrize("beams", [1, 3, ENOUGH])
def test_a_row_alone_gives_what_it_gives_in_a_batch(logprobs, beams):
    tokens, scores = beam_texts(logprobs, LENGTHS, beams, 0)
    for row, length in enumerate(LENGTHS):
        alone, score = beam_texts(logprobs[row : row + 1, :length], length[None], beams, 0)
        assert torch.equal(score[0], scores[row])
        assert [as_text(text) for text in alone[0]] == [as_text(text) for text in tokens[row]]
