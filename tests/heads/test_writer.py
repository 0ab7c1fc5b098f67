"""The head `writer`: a step is the forward pass, a row alone is the row in a batch, an absent input adds nothing."""

import pytest
import torch
from torch.nn import functional as F

from sensorium.data.columns.parse import objects
from sensorium.data.targets.text import TextColumn
from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.generation.settings import Generation
from sensorium.heads.writer import Writer, WriterConfig

TEXTS = ["a red circle", "two blue squares at the left", "a blue circle at the right, and a red one", "nothing"] * 3
SEARCHES = {
    "greedy": Generation(max_tokens=12),
    "beams": Generation(beams=3, best=3, max_tokens=12, length_penalty=0.5),
    "sampled": Generation(temperature=1.0, top_p=0.9, best=2, max_tokens=12, seed=3),
    "limits": Generation(no_repeat_ngram=2, repetition_penalty=1.2, max_tokens=12),
}


@pytest.fixture(scope="module")
def head() -> Writer:
    torch.manual_seed(0)
    head = Writer.build(WriterConfig(context=24), 32, TEXTS)
    for weight in head.parameters():  # far from the start, so that texts differ by row
        torch.nn.init.normal_(weight, std=0.25)
    return head.eval()


def fused(rows: int = 4, absent: tuple[int, ...] = (2,)) -> Features:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(rows, 5, dtype=torch.bool)
    mask[1, 3:] = False
    mask[list(absent)] = False
    tokens = torch.randn(rows, 5, 32, generator=generator) * mask[..., None]
    return Features(tokens, mask, tokens.mean(dim=1))


def target(head: Writer, cells: list) -> dict[str, torch.Tensor]:
    return TextColumn(objects(cells), head.processor)(torch.arange(len(cells)).numpy())


@torch.no_grad()
def test_a_step_gives_what_the_forward_pass_gives(head):
    tokens = torch.randint(3, head.processor.vocabulary, (4, 9), generator=torch.Generator().manual_seed(2))
    real = torch.ones(4, 9, dtype=torch.bool)
    whole = head.logits(fused(), torch.arange(4), tokens, real).unflatten(0, (4, 9))
    logits, state = head.begin(fused())
    for position in range(9):
        torch.testing.assert_close(logits, whole[:, position], atol=1e-5, rtol=1e-5)
        if position < 8:
            logits = head.step(tokens[:, position], state)
    prompted, _ = head.begin(fused(), tokens[:, :4])
    torch.testing.assert_close(prompted, whole[:, 4], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_row_alone_writes_what_it_writes_in_a_batch(head, name):
    keys = ["a", "b", "c", "d"]
    batch = head.predict(fused(), SEARCHES[name], keys)
    decoded = head.decode(batch, [])
    assert len({row["decision"] for row in decoded}) > 2
    for row in range(4):
        one = Features(*(tensor[row : row + 1] for tensor in fused()))
        if row == 1:
            one = Features(one.tokens[:, :3], one.mask[:, :3], one.pooled)  # not padded
        alone = head.predict(one, SEARCHES[name], keys[row : row + 1])
        assert [text["decision"] for text in head.decode(alone, [])] == [decoded[row]["decision"]]
        length = alone["tokens"].shape[2]
        assert (batch["tokens"][row, :, :length] == alone["tokens"][0]).all()
        torch.testing.assert_close(batch["probability"][row], alone["probability"][0], atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_the_probability_of_a_text_is_that_of_its_tokens_and_end(head):
    found = head.predict(fused(), SEARCHES["beams"])
    for row, text in ((0, 0), (1, 1), (3, 2)):
        own = found["tokens"][row, text]
        own = own[own != head.processor.pad]
        ended = torch.cat([own, torch.tensor([head.processor.end[0]])]) if found["finished"][row, text] else own
        real = torch.ones(1, len(ended), dtype=torch.bool)
        logits = head.logits(fused(), torch.tensor([row]), ended[None], real)
        expected = logits.log_softmax(dim=1).gather(1, ended[:, None]).sum().exp()
        torch.testing.assert_close(found["probability"][row, text], expected, rtol=1e-3, atol=1e-7)


@torch.no_grad()
def test_an_absent_input_adds_nothing_whatever_fills_its_slot(head):
    features, noise = fused(), fused()
    noise.tokens[2] = 7.0
    noise.tokens[1, 3:] = -9.0
    sample = target(head, [[TEXTS[0]]] * 4)
    assert torch.equal(head.loss(features, sample), head.loss(noise, sample))
    assert torch.equal(head.predict(features)["tokens"], head.predict(noise)["tokens"])
    both = head.loss(fused(4, absent=(0, 1, 2, 3)), sample)
    assert torch.allclose(both, both[:1].expand(4)) and both[0] == pytest.approx(
        float(head.loss(features, sample)[2]), abs=1e-5
    )


@torch.no_grad()
def test_the_loss_is_the_mean_over_tokens_and_then_over_references(head):
    cells = [[TEXTS[0], TEXTS[1]], [TEXTS[2]], None, [TEXTS[3]]]
    losses = head.loss(fused(), target(head, cells))
    for row, texts in enumerate(cells):
        each = []
        for text in texts or []:
            tokens = torch.tensor([head.processor(text)])
            logits = head.logits(fused(), torch.tensor([row]), tokens, torch.ones_like(tokens, dtype=torch.bool))
            each.append(F.cross_entropy(logits, tokens[0]))
        expected = torch.stack(each).mean() if each else torch.tensor(0.0)
        torch.testing.assert_close(losses[row], expected, atol=1e-5, rtol=1e-5)
    assert losses[2] == 0


def test_labels_are_smoothed_in_training_alone():
    torch.manual_seed(0)
    head = Writer.build(WriterConfig(dropout=0.0, smoothing=0.2), 32, TEXTS)
    sample = target(head, [[TEXTS[0]]] * 4)
    plain = head.eval().loss(fused(), sample)
    tokens, real = sample["tokens"][:, 0], sample["real"][:, 0]
    logits = head.logits(fused(), torch.arange(4), tokens, real)
    uniform = -logits.log_softmax(dim=1).mean(dim=1).unflatten(0, tokens.shape).mean(dim=1)
    torch.testing.assert_close(head.train().loss(fused(), sample), 0.8 * plain + 0.2 * uniform)


def test_training_texts_beyond_the_context_are_cut_and_counted():
    with pytest.warns(UserWarning, match="3 of the 12 texts to learn have more than 10 tokens"):
        head = Writer.build(WriterConfig(context=10), 32, TEXTS)
    assert head.context == 10
    with pytest.raises(UserError, match="at most 10 tokens"):
        head.eval().begin(fused(), torch.full((4, 10), 5))


def test_without_a_context_there_is_room_for_texts_twice_as_long_as_those_of_training():
    long = [f"{TEXTS[2]}, {TEXTS[2]}"] * 3
    head = Writer.build(WriterConfig(), 32, long)
    assert head.context == 2 * len(head.processor(long[0])) > 32
    assert Writer.build(WriterConfig(), 32, TEXTS).context == 32
    with pytest.warns(UserWarning, match="more than 256 tokens"):
        assert Writer.build(WriterConfig(), 32, [" ".join(map(str, range(500)))]).context == 256
