"""The heads that ALBEF asks for: words in masked places, a match, an answer; alone as in a batch, by plain search."""

import itertools

import pytest
import torch
from pydantic import ValidationError

from sensorium.features import Features
from sensorium.heads.answer import Answer, AnswerConfig
from sensorium.heads.masked_words import MaskedWords, MaskedWordsConfig
from sensorium.heads.match import Match, MatchConfig
from tests.generation.scenes import assert_same_beams, plain_beam_search

WORDS, DIM, START, END = 9, 8, 1, 2


def answering(**options) -> Answer:
    """A decoder whose answers differ from row to row."""
    torch.manual_seed(0)
    config = {"vocabulary": WORDS, "context": 6, "start": START, "end": END, "layers": 2, "heads": 2} | options
    head = Answer(AnswerConfig(**config), DIM).eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.4)
    return head


def fused_rows(rows: int = 5, longest: int = 4) -> Features:
    """Rows of several lengths; row 0 has no input."""
    torch.manual_seed(1)
    mask = torch.arange(longest) < torch.arange(rows)[:, None].clamp(max=longest)
    tokens = torch.randn(rows, longest, DIM) * mask[..., None]
    return Features(tokens, mask, tokens[:, 0])


def alone(fused: Features, row: int) -> Features:
    length = max(1, int(fused.mask[row].sum()))
    one = fused.take(torch.tensor([row]))
    return Features(one.tokens[:, :length], one.mask[:, :length], one.pooled)


ANSWERS = torch.tensor([[1, 5, 2, 0], [1, 6, 7, 2], [1, 5, 8, 2], [1, 3, 2, 0]])
REAL = ANSWERS != 0


@torch.no_grad()
def likelihood(head: Answer, fused: Features, answer: list[int]) -> torch.Tensor:
    """log p of each word after the first, each from its own prefix alone: [1, words]."""
    found = []
    for end in range(1, len(answer)):
        prefix = torch.tensor([answer[:end]])
        found.append(head.logits(fused, prefix, torch.ones_like(prefix, dtype=torch.bool))[:, -1].log_softmax(1))
    return torch.stack([one[:, word] for one, word in zip(found, answer[1:], strict=True)], dim=1)


def test_the_loss_of_weighted_answers_is_the_sum_of_their_words_and_a_row_alone_is_the_row_in_a_batch():
    head, fused = answering(), fused_rows()
    real = REAL[None].repeat(5, 1, 1)
    real[2, 1:] = False  # one answer to that question
    weight = torch.tensor([0.5, 0.2, 0.2, 0.1]).repeat(5, 1)
    target = {"tokens": ANSWERS[None].expand(5, -1, -1), "real": real, "weight": weight}
    losses = head.loss(fused, target)
    for row in range(5):
        wanted = sum(
            -weight[row, place] * likelihood(head, alone(fused, row), ANSWERS[place][keep].tolist()).sum()
            for place, keep in enumerate(real[row])
            if keep.any()
        )
        torch.testing.assert_close(losses[row], wanted, rtol=1e-5, atol=1e-5)


def test_ranking_orders_answers_by_their_words_the_first_twice():
    head, fused = answering(), fused_rows()
    with torch.no_grad():
        places, probabilities = head.rank(fused, ANSWERS, REAL, 4)
        few, _ = head.rank(fused, ANSWERS, REAL, 2)
    for row in range(5):
        words = [likelihood(head, alone(fused, row), one[keep].tolist())[0] for one, keep in zip(ANSWERS, REAL)]  # noqa: B905
        scores = torch.stack([one[0] + one.sum() for one in words])
        assert torch.equal(places[row], scores.argsort(descending=True))
        torch.testing.assert_close(probabilities[row], scores.softmax(0)[places[row]], rtol=1e-4, atol=1e-6)
        first = torch.stack([one[0] for one in words])
        assert set(first[few[row]].tolist()) <= set(first.topk(3).values.tolist())
    assert few.shape == (5, 2) and head.rank(fused, ANSWERS, REAL, 99)[0].shape == (5, 4)


def test_an_answer_is_its_likeliest_next_words_and_ends_once():
    head, fused = answering(), fused_rows()
    with torch.no_grad():
        found = head.predict(fused)
        for row in range(5):
            answer = [START]
            while answer[-1] != END and len(answer) < head.config.context:
                prefix = torch.tensor([answer])
                logits = head.logits(alone(fused, row), prefix, torch.ones_like(prefix, dtype=torch.bool))
                answer.append(int(logits[0, -1].argmax()))
            said = found["decision"][row].tolist()
            assert said[: len(answer)] == answer and set(said[len(answer) :]) <= {head.config.pad}
            likely = likelihood(head, alone(fused, row), answer).sum().exp()
            torch.testing.assert_close(found["probability"][row], likely, rtol=1e-4, atol=1e-7)


@torch.no_grad()
def every_answer(head: Answer, fused: Features) -> list[tuple[float, list[int]]]:
    """All answers of at most `context` tokens, the likeliest first, each with its logarithm."""
    context, found, open_ones = head.config.context, [], [(0.0, [START])]
    while open_ones:
        before, answer = open_ones.pop()
        prefix = torch.tensor([answer])
        words = head.logits(fused, prefix, torch.ones_like(prefix, dtype=torch.bool))[0, -1].log_softmax(0).tolist()
        for word, likely in enumerate(words):
            ended = word == END or len(answer) + 1 == context
            (found if ended else open_ones).append((before + likely, [*answer, word]))
    return sorted(found, reverse=True)


def test_beams_as_many_as_there_are_prefixes_find_the_likeliest_answers_of_all():
    head, fused = answering(vocabulary=5, context=5), fused_rows()
    with torch.no_grad():
        found = head.generate(fused, beams=130)  # 4 ** 3 that go on, and as many as have ended
    for row in range(5):
        wanted = every_answer(head, alone(fused, row))[:100]
        assert [drop(one) for one in found.tokens[row, :100].tolist()] == [answer for _, answer in wanted]
        likely = torch.tensor([likely for likely, _ in wanted])
        torch.testing.assert_close(found.likely[row, :100], likely, rtol=1e-4, atol=1e-4)


def drop(answer: list[int]) -> list[int]:
    """The answer without what fills it up behind its end."""
    return answer[: answer.index(END) + 1] if END in answer else answer


def test_more_beams_find_what_greedy_search_misses_and_a_row_alone_finds_what_it_finds_in_a_batch():
    head, fused = answering(), fused_rows()
    with torch.no_grad():
        one, three = head.generate(fused, beams=1), head.generate(fused, beams=3)
        assert torch.equal(one.tokens[:, 0], head.predict(fused)["decision"])
        for row in range(5):
            by_itself = head.generate(alone(fused, row), beams=3)
            length = by_itself.tokens.shape[2]
            assert torch.equal(three.tokens[row, :, :length], by_itself.tokens[0])
            assert (three.tokens[row, :, length:] == head.config.pad).all()
            torch.testing.assert_close(three.likely[row], by_itself.likely[0], rtol=1e-4, atol=1e-5)
    assert (three.likely[:, 0] > one.likely[:, 0] + 1e-4).any()
    assert three.likely.diff(dim=1).max() <= 0


def test_beams_for_which_there_is_nothing_have_no_likelihood():
    head, fused = answering(vocabulary=3, context=2), fused_rows()
    with torch.no_grad():
        found = head.generate(fused, beams=4)
    assert found.tokens.shape == (5, 4, 2) and (found.likely[:, 3] == -torch.inf).all()
    torch.testing.assert_close(found.likely.exp().sum(1), torch.ones(5))


def test_what_the_fusion_is_asked_is_projected_once():
    head, fused, calls = answering(), fused_rows(), []
    head.asking.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        head.generate(fused, beams=3)
    assert calls == [1]


def written_alone(head: Answer, fused: Features, row: int, longest: int, beams: int) -> list[tuple[float, list[int]]]:
    """One row's beams, each step computed from the whole prefix."""

    def logits(prefix: list[int]) -> torch.Tensor:
        tokens = torch.tensor([prefix])
        return head.logits(alone(fused, row), tokens, torch.ones_like(tokens, dtype=torch.bool))[0, -1]

    return plain_beam_search(logits, START, END, longest, beams)


def ending() -> Answer:
    """A decoder whose answers to different rows end at different steps, and of which some do not end."""
    head = answering(context=10)
    with torch.no_grad():
        head.network.bias[END] += 0.5
    return head


@pytest.mark.parametrize("rows", [1, 5, 11])
@pytest.mark.parametrize("beams", [1, 3, 7])
@torch.no_grad()
def test_steps_with_a_cache_write_what_whole_prefixes_write(rows: int, beams: int):
    head, fused = ending(), fused_rows(rows)  # the first of which has no input
    result = head.generate(fused, longest=10, beams=beams)
    for row in range(rows):
        expected = written_alone(head, fused, row, 10, beams)
        assert_same_beams(result.tokens[row], result.likely[row], expected, head.config.pad)
    lengths = (result.tokens == END).int().argmax(2)
    assert rows == 1 or len(lengths.unique()) > 2


@torch.no_grad()
def test_a_step_gives_the_logits_of_the_whole_prefix():
    head, fused = answering(), fused_rows()
    tokens = torch.randint(3, WORDS, (5, 6), generator=torch.Generator().manual_seed(2))
    tokens[:, 0] = START
    logits = head.logits(fused, tokens, torch.ones_like(tokens, dtype=torch.bool))
    first, state = head.begin(fused)
    torch.testing.assert_close(first, logits[:, 0], rtol=1e-5, atol=1e-5)
    prompted, longer = head.begin(fused, tokens[:, 1:3])
    torch.testing.assert_close(prompted, logits[:, 2], rtol=1e-5, atol=1e-5)
    assert longer.length == 3
    for position in range(1, 6):
        assert state.length == position
        torch.testing.assert_close(head.step(tokens[:, position], state), logits[:, position], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_rows_of_a_state_are_taken_with_all_they_have_read():
    head, fused = answering(), fused_rows()
    tokens = torch.randint(3, WORDS, (5, 2, 3), generator=torch.Generator().manual_seed(2))
    tokens[..., 0] = START
    state = head.begin(fused)[1].take(torch.arange(5)[:, None].expand(-1, 2))
    for position in range(1, 2):
        head.step(tokens[:, :, position].flatten(), state)
    rows = torch.tensor([[7, 6, 7], [2, 2, 3]])  # both samples' beams repeated, other samples dropped
    context = state.contexts[0]
    logits = head.step(tokens[..., 2].flatten()[rows].flatten(), state.take(rows))
    prefixes = tokens.flatten(0, 1)[rows.flatten()]
    whole = head.logits(fused.take(rows.flatten() // 2), prefixes, torch.ones_like(prefixes, dtype=torch.bool))
    torch.testing.assert_close(logits, whole[:, -1], rtol=1e-5, atol=1e-5)
    reordered = state.take(torch.arange(10).view(5, 2).flip(1))
    assert reordered.contexts[0] is context and context.keys[0].key.shape[0] == 5  # held once for all beams


@torch.no_grad()
def test_no_step_is_spent_on_rows_that_have_ended():
    head, fused, rows = ending(), fused_rows(11), []
    head.network.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    decision = head.predict(fused, longest=10)["decision"]
    steps = torch.where((decision == END).any(1), (decision == END).int().argmax(1), 9)
    assert rows == [int((steps > step).sum()) for step in range(int(steps.max()))] and rows[-1] < 11


def test_a_word_sees_no_later_one_and_padding_is_not_read():
    head, fused = answering(), fused_rows()
    tokens = ANSWERS[:1].expand(5, -1).clone()
    real = REAL[:1].expand(5, -1)
    before = head.logits(fused, tokens, real)
    tokens[:, 3] = 8
    assert torch.equal(before, head.logits(fused, tokens, real))
    tokens[:, 2] = 7
    after = head.logits(fused, tokens, real)
    assert torch.equal(before[:, :2], after[:, :2]) and not torch.allclose(before[:, 2], after[:, 2])


def test_an_answers_loss_reaches_every_weight():
    head, fused = answering().train(), fused_rows()
    target = {"tokens": ANSWERS[None].expand(5, -1, -1), "real": REAL[None].expand(5, -1, -1)}
    head.loss(fused, target | {"weight": torch.ones(5, 4)}).sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 1e-7, name


@pytest.mark.parametrize("mark", ["start", "end", "pad"])
def test_a_mark_that_is_no_word_is_named(mark):
    with pytest.raises(ValidationError, match=rf"{mark} \(9\) must be less than vocabulary \(9\)"):
        AnswerConfig(**{"vocabulary": WORDS, "context": 6, "start": 1, "end": 2} | {mark: 9})


def test_words_are_decided_only_where_they_are_asked_for():
    torch.manual_seed(0)
    head, fused = MaskedWords(MaskedWordsConfig(vocabulary=WORDS), DIM).eval(), fused_rows()
    labels = torch.full((5, 4), -100)
    labels[[1, 3, 3], [0, 0, 2]] = torch.tensor([4, 5, 6])
    seen = []
    head.network.register_forward_hook(lambda _, given, out: seen.append(out.shape))
    losses = head.loss(fused, {"labels": labels})
    assert seen == [(3, WORDS)] and (losses[[0, 2, 4]] == 0).all()
    logits = head.logits(fused, fused.mask)
    everywhere = torch.zeros(5, 4, WORDS).masked_scatter(fused.mask[..., None], logits)
    for row in (1, 3):
        wanted = sum(
            -everywhere[row, place].log_softmax(0)[labels[row, place]] for place in range(4) if labels[row, place] >= 0
        )
        torch.testing.assert_close(losses[row], wanted)
    decision = head.predict(fused)["decision"]
    assert (decision[~fused.mask] == -1).all() and torch.equal(decision[fused.mask], logits.argmax(1))
    losses.sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in head.parameters())


def test_a_match_is_the_cross_entropy_of_two_logits():
    torch.manual_seed(0)
    head, fused = Match(MatchConfig(), DIM), fused_rows()
    match = torch.tensor([True, False, True, True, False])
    losses, said = head.loss(fused, {"match": match}), head.predict(fused)
    wanted = -said["probabilities"][torch.arange(5), match.long()].log()
    torch.testing.assert_close(losses, wanted)
    assert torch.equal(said["decision"], said["probabilities"].argmax(1) == 1)


def test_no_rows_at_all_give_no_numbers():
    head, none = answering(), fused_rows().take(torch.arange(0))
    assert head.predict(none)["decision"].shape == (0, 2)
    assert head.rank(none, ANSWERS, REAL, 2)[0].shape == (0, 2)
    assert list(itertools.chain(head.logits(none, ANSWERS[:0], REAL[:0]))) == []


LISTED = {"answers": [one[keep].tolist() for one, keep in zip(ANSWERS, REAL, strict=True)]}
LISTED["prior"] = [0.2, 0.5, 0.2, 0.1]


def test_a_place_in_the_list_is_learned_as_its_tokens_are():
    head, fused = answering(**LISTED), fused_rows()
    places = torch.tensor([[0, 2], [1, -1], [3, 0], [-1, -1], [2, 1]])
    weight = torch.tensor([[0.7, 0.3]]).repeat(5, 1)
    real = REAL[places] & (places >= 0)[..., None]
    wanted = head.loss(fused, {"tokens": ANSWERS[places], "real": real, "weight": weight})
    torch.testing.assert_close(head.loss(fused, {"answers": places, "weight": weight}), wanted)
    assert wanted[3] == 0 and (wanted[:3] > 0).all()


@torch.no_grad()
def test_with_a_list_the_likeliest_of_it_is_decided_and_without_any_input_the_prior():
    head, fused = answering(**LISTED, most=3), fused_rows()
    said, (places, likely) = head.predict(fused), head.rank(fused, ANSWERS, REAL, 3)
    assert torch.equal(said["decision"][1:], places[1:, 0])
    torch.testing.assert_close(said["probability"][1:], likely[1:, 0])
    assert said["decision"][0] == 1 and said["probability"][0] == 0.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prior": [1.0]}, "a prior of 1 answers was given for 4"),
        ({"answers": [[1, *[5] * 9, 2]], "prior": [1.0]}, "an answer of 11 tokens is longer than context"),
    ],
)
def test_a_list_that_does_not_fit_is_named(options, said):
    with pytest.raises(ValidationError, match=said):
        answering(**(LISTED | options))


def test_a_decoder_learns_which_of_the_list_each_row_means():
    head, fused = answering(**LISTED, dropout=0.0).train(), fused_rows()
    target = {"answers": torch.tensor([[0], [3], [1], [2], [0]]), "weight": torch.ones(5, 1)}
    optimiser = torch.optim.AdamW(head.parameters(), lr=0.01)
    for _ in range(60):
        optimiser.zero_grad()
        head.loss(fused, target)[1:].sum().backward()
        optimiser.step()
    assert head.eval().predict(fused)["decision"][1:].tolist() == [3, 1, 2, 0]
