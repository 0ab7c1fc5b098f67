"""Writing over a decoder with a table of logits: rules, choices, stop texts, samples, streams, and who leaves when."""

from collections import Counter

import pytest
import torch
from torch import Tensor

from sensorium.features import Features
from sensorium.generation.autoregressive import generate, pick
from sensorium.generation.decoder import SpecialTokens, Written
from sensorium.generation.settings import Generation

WORDS, END, PAD = 9, 1, 0
LETTERS = "?.abcdefg"  # what each token spells


class Last:
    """The state of a decoder that sees each row's number and its last token."""

    def __init__(self, numbers: Tensor):
        self.numbers = numbers

    def take(self, index: Tensor) -> "Last":
        return Last(self.numbers[index.flatten()])


class Table:
    """A decoder whose logits are a table's, by a row's number and its last token; it notes how many rows a step has."""

    special = SpecialTokens(END, PAD)
    context = 8

    def __init__(self, seed: int = 1, end: float = 0.0):
        self.logits = torch.randn(4, WORDS, WORDS, generator=torch.Generator().manual_seed(seed)) * 2
        self.logits[..., END] += end
        self.logits[..., PAD] = -100.0
        self.rows: list[int] = []

    def begin(self, fused: Features, prompt: Tensor | None = None) -> tuple[Tensor, Last]:
        numbers = fused.pooled[:, 0].long()
        first = torch.zeros_like(numbers) if prompt is None else prompt[:, -1]
        return self.logits[numbers, first], Last(numbers)

    def step(self, tokens: Tensor, state: Last) -> Tensor:
        self.rows.append(len(tokens))
        return self.logits[state.numbers, tokens]


def fused(*numbers: int) -> Features:
    pooled = torch.tensor(numbers, dtype=torch.float32)[:, None]
    return Features(pooled[:, None], torch.ones(len(numbers), 1, dtype=torch.bool), pooled)


def spell(tokens: list[int]) -> str:
    return "".join(LETTERS[token] for token in tokens)


def texts(written: Written) -> list[list[str]]:
    return [[spell([t for t in tokens if t != PAD]) for tokens in row] for row in written.tokens.tolist()]


def encode(text: str) -> list[int]:
    return [*(LETTERS.index(letter) for letter in text if letter != " "), END]


def write(decoder: Table, features: Features, keys: tuple[str, ...] = (), **options) -> Written:
    return generate(decoder, features, Generation(**options).as_tokens(encode), keys, spell)


def test_the_probability_is_that_of_each_token_and_the_end():
    decoder = Table(end=1.0)
    written = write(decoder, fused(0, 1, 2, 3))
    for row in range(4):
        tokens, last, total = [t for t in written.tokens[row, 0].tolist() if t != PAD], 0, 0.0
        for position, token in enumerate(tokens + [END] * bool(written.finished[row, 0])):
            logprob = decoder.logits[row, last].log_softmax(0)[token]
            assert token == decoder.logits[row, last].argmax()
            if position < len(tokens):
                torch.testing.assert_close(written.logprobs[row, 0, position], logprob)
            total, last = total + float(logprob), token
        assert float(written.logprob[row, 0]) == pytest.approx(total, abs=1e-5)
    assert (written.logprobs[written.tokens == PAD] == 0).all()
    assert written.finished.any() and not written.finished.all()


@pytest.mark.parametrize(
    "options", [{}, {"beams": 3, "best": 3}, {"temperature": 1.0, "best": 2}, {"temperature": 0.7, "top_p": 0.8}]
)
def test_a_row_alone_is_the_row_in_a_batch(options: dict):
    keys = ("a", "b", "c", "d")
    together = write(Table(end=1.0), fused(0, 1, 2, 3), keys, **options)
    for row in range(4):
        by_itself = write(Table(end=1.0), fused(row), keys[row : row + 1], **options)
        assert texts(by_itself)[0] == texts(together)[row]
        torch.testing.assert_close(by_itself.logprob[0], together.logprob[row])


def test_a_row_that_has_ended_leaves_the_batch():
    decoder = Table(end=1.0)
    written = write(decoder, fused(0, 1, 2, 3))
    steps = (written.tokens[:, 0] != PAD).sum(1)  # of a text that ends; one that is cut needs no step after its last
    steps = torch.where(written.finished[:, 0], steps, decoder.context - 1)
    assert decoder.rows == [int((steps > step).sum()) for step in range(int(steps.max()))]
    assert decoder.rows[0] > decoder.rows[-1]


def test_no_sequence_comes_twice_and_none_that_is_forbidden():
    plain = write(Table(end=-9), fused(0, 1, 2, 3))
    assert any(len(set(text)) < len(text) for (text,) in texts(plain))
    for (text,) in texts(write(Table(end=-9), fused(0, 1, 2, 3), no_repeat_ngram=1, max_tokens=7)):
        assert len(set(text)) == len(text) == 7
    pairs = {text[i : i + 2] for (text,) in texts(plain) for i in range(7)}
    banned = write(Table(end=-9), fused(0, 1, 2, 3), forbidden=(*tuple(sorted(pairs)), LETTERS.index("a")))
    assert not any(pair in text for (text,) in texts(banned) for pair in {*pairs, "a"})


def test_repetition_is_made_less_likely_by_the_penalty():
    scores, history = torch.tensor([[1.0, -1.0, 2.0]]), torch.tensor([[0, 1, 1]])
    from sensorium.generation.rules import repetition

    assert repetition(2.0)(scores, history).tolist() == [[0.5, -2.0, 2.0]]


def test_lengths_are_bounded_and_the_output_begins_as_it_is_forced_to():
    short = write(Table(end=9), fused(0, 1), min_tokens=3)
    assert [len(text) for (text,) in texts(short)] == [3, 3] and short.finished.all()
    long = write(Table(end=-9), fused(0, 1), max_tokens=2)
    assert [len(text) for (text,) in texts(long)] == [2, 2] and not long.finished.any()
    for options in ({}, {"beams": 2}, {"temperature": 1.0}):
        assert all(
            text.startswith("gab") for (text,) in texts(write(Table(end=-3), fused(0, 3), forced="gab", **options))
        )


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0}, {"beams": 4, "best": 4}])
def test_a_choice_is_one_of_the_list(options: dict):
    choices = ("ab", "abc", "g", "fed")
    written = write(Table(), fused(0, 1, 2, 3), ("a", "b", "c", "d"), choices=choices, **options)
    assert {text for row in texts(written) for text in row} <= set(choices) and written.finished.all()
    if "beams" in options:  # all four, ranked by their probability for each letter
        for row, of_row in enumerate(texts(written)):
            likely = {}
            for choice in choices:
                tokens = encode(choice)
                steps = zip([PAD, *tokens[:-1]], tokens, strict=True)
                likely[choice] = float(sum(Table().logits[row, a].log_softmax(0)[b] for a, b in steps))
            expected = sorted(choices, key=lambda choice: -likely[choice] / len(encode(choice)))
            assert of_row == expected
            assert written.logprob[row].tolist() == pytest.approx([likely[choice] for choice in expected], abs=1e-4)


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0}, {"beams": 3}])
def test_a_text_ends_before_a_stop_text(options: dict):
    for (text,) in texts(write(Table(end=-9), fused(0, 1, 2, 3), **options)):
        stop = text[3:5]
        whole = [row[0] for row in texts(write(Table(end=-9), fused(0, 1, 2, 3), stop=(stop, "zz"), **options))]
        assert not any(stop in other for other in whole)
        if not options:
            assert text[: text.index(stop)] in whole


def test_samples_are_drawn_as_often_as_they_are_likely():
    decoder, count = Table(), 4000
    keys = tuple(map(str, range(count)))
    first = [text[:1] for (text,) in texts(write(decoder, fused(*[2] * count), keys, temperature=0.5, max_tokens=1))]
    expected = (decoder.logits[2, 0] / 0.5).softmax(0)
    for letter, times in Counter(first).items():
        if letter:
            assert times / count == pytest.approx(float(expected[LETTERS.index(letter)]), abs=0.03)
    few = write(decoder, fused(*[2] * 50), keys[:50], temperature=5.0, top_k=2, max_tokens=1)
    likeliest = decoder.logits[2, 0].topk(2).indices.tolist()
    assert {text for (text,) in texts(few)} == {spell([t]) if t != END else "" for t in likeliest}
    assert texts(write(decoder, fused(2), temperature=5.0, top_p=1e-6)) == texts(write(decoder, fused(2)))
    other = write(decoder, fused(*[2] * 50), keys[:50], temperature=5.0, seed=1)
    assert texts(other) != texts(write(decoder, fused(*[2] * 50), keys[:50], temperature=5.0))


def test_a_draw_takes_the_token_where_the_distribution_passes_it():
    scores = torch.tensor([[0.2, 0.5, 0.3]]).log().expand(4, -1)
    draws = torch.tensor([0.0, 0.19, 0.21, 0.999999], dtype=torch.float64)
    assert pick(scores, Generation(temperature=1.0), draws).tolist() == [0, 0, 1, 2]
    assert pick(scores, Generation(temperature=1.0, top_p=0.6), draws).tolist() == [1, 1, 1, 2]
    assert pick(scores, Generation(temperature=1.0, top_k=1), draws).tolist() == [1] * 4
    never = torch.tensor([[-torch.inf, 0.0, -torch.inf]])
    assert pick(never, Generation(temperature=1.0), torch.tensor([0.0], dtype=torch.float64)).tolist() == [1]


@pytest.mark.parametrize("options", [{}, {"beams": 2}, {"temperature": 1.0, "best": 2}])
def test_a_stream_hears_the_tokens_of_each_row(options: dict):
    heard: dict[int, list[int]] = {0: [], 1: []}
    written = generate(
        Table(end=1), fused(0, 1), Generation(**options), ("a", "b"), spell, lambda row, token: heard[row].append(token)
    )
    for row in range(2):
        streamed = spell([token for token in heard[row] if token != END])
        assert streamed in texts(written)[row]


def test_a_prompt_is_read_before():
    prompt = torch.tensor([[2], [3]])
    written = generate(Table(), fused(0, 1), Generation(max_tokens=1), prompt=prompt)
    first = [Table().logits[0, 2].argmax(), Table().logits[1, 3].argmax()]
    assert texts(written) == [[spell([int(t)]) if t != END else ""] for t in first]


def test_what_sampling_takes_is_refused_without_a_temperature():
    for option in ({"top_p": 0.9}, {"top_k": 5}):
        with pytest.raises(ValueError, match="state a temperature"):
            Generation(**option)


def test_settings_that_contradict_each_other_are_refused():
    for options in ({"beams": 2, "temperature": 1.0}, {"best": 2}, {"stop": ("",)}, {"unknown": 1}):
        with pytest.raises(ValueError, match=r"leave one|raise beams|empty text|not permitted"):
            Generation(**options)
