"""Heads over decoders of Transformers: rows alone, rows without input, saved models, loss, shared words."""

import copy
from pathlib import Path

import pytest
import torch

from sensorium.encoders.decoder_words import DecoderWords, DecoderWordsConfig
from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.fusion.sequence import Sequence, SequenceConfig
from sensorium.generation.settings import Generation
from sensorium.model import Model, load
from tests.writing_scenes import CAUSAL, SEQ2SEQ, WORDS, alone, head_of, published, rows, tokens_of

HEADS = (*SEQ2SEQ, *CAUSAL)
SEARCHES = {
    "greedy": {"no_repeat_ngram": 2},
    "beams": {"beams": 3, "best": 3, "no_repeat_ngram": 2},
    "samples": {"temperature": 1.0, "best": 2},
}


def with_empty_rows(fused: Features) -> Features:
    """The same with nothing in every third row."""
    return fused.where(torch.arange(len(fused.mask)) % 3 > 0)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", HEADS)
@torch.no_grad()
def test_a_row_alone_is_the_row_in_a_batch(name: str, search: str):
    head, fused = head_of(name, published(name)), with_empty_rows(rows(9))
    keys = [f"key {row}" for row in range(9)]
    together = head.predict(fused, Generation(**SEARCHES[search]), keys)
    decoded = head.decode(together, [])
    assert len({row["decision"] for row in decoded}) > 3 and together["finished"].any()
    for row in range(9):
        single = alone(fused, row) if fused.present[row] else fused.take(torch.tensor([row]))
        by_itself = head.predict(single, Generation(**SEARCHES[search]), keys[row : row + 1])
        (of_row,) = head.decode(by_itself, [])
        assert of_row["decision"] == decoded[row]["decision"]
        torch.testing.assert_close(by_itself["probability"][0], together["probability"][row], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", HEADS)
@torch.no_grad()
def test_noise_where_nothing_is_changes_nothing_and_rows_without_input_are_alike(name: str):
    head, fused = head_of(name, published(name)), with_empty_rows(rows(6))
    noisy = fused._replace(tokens=torch.where(fused.mask[..., None], fused.tokens, torch.nan))
    first, second = head.predict(fused), head.predict(noisy)
    assert torch.equal(first["tokens"], second["tokens"]) and torch.equal(first["logprobs"], second["logprobs"])
    assert torch.equal(first["tokens"][0], first["tokens"][3])


@pytest.mark.parametrize("dim", [16, 10])
@pytest.mark.parametrize("name", HEADS)
def test_the_loss_is_the_mean_of_a_texts_tokens_whatever_the_batch(name: str, dim: int):
    torch.manual_seed(5)
    head, fused = head_of(name, dim=dim), with_empty_rows(rows(4, dim))
    tokens = torch.randint(4, 12, (4, 2, 5))
    lengths = torch.tensor([[5, 3], [2, 0], [0, 0], [4, 4]])
    real = torch.arange(5) < lengths[..., None]
    weight = torch.where(lengths > 0, 1 / (lengths > 0).sum(1, keepdim=True), 0.0)
    target = {"tokens": tokens, "real": real, "weight": weight}
    losses = head.loss(fused, target)
    assert losses.shape == (4,) and losses[2] == 0
    losses.sum().backward()
    assert all(parameter.grad is not None for parameter in head.projector.parameters())
    for row in (0, 1, 3):
        expected = []
        for length in lengths[row][lengths[row] > 0]:
            text = tokens[row, len(expected), :length]
            logits, state = head.begin(fused.take(torch.tensor([row])))
            logprobs = []
            for token in text:
                logprobs.append(logits.log_softmax(1)[0, token])
                logits = head.step(token[None], state)
            expected.append(-torch.stack(logprobs).mean())
        torch.testing.assert_close(losses[row], torch.stack(expected).mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
@torch.no_grad()
def test_a_model_is_saved_and_loaded_as_it_writes(name: str, tmp_path: Path):
    encoders = {"prompt": DecoderWords(DecoderWordsConfig(model=name, vocabulary=WORDS, width=16))}
    encoders["prompt"].requires_grad_(False)
    options = {"tied": "prompt"} if name in CAUSAL else {}
    head = head_of(name, published(name), **options)
    model = Model(encoders, fusion=Sequence(SequenceConfig(), {"prompt": 16}), heads={"said": head}).eval()
    mask = torch.arange(6) < torch.tensor([6, 3, 0, 1])[:, None]
    inputs = {"prompt": {"tokens": torch.randint(4, WORDS, (4, 6)), "mask": mask}}
    expected = head.predict(model.fuse(model.encode(inputs)), Generation(beams=2))
    model.save(tmp_path / "model")
    back = load(tmp_path / "model")
    result = back.heads["said"].predict(back.fuse(back.encode(inputs)), Generation(beams=2))
    assert all(torch.equal(result[key], expected[key]) for key in expected)
    assert back.heads["said"].decode(result, []) == head.decode(expected, [])
    if name in CAUSAL:  # stored once, in both and in a copy
        copied = copy.deepcopy(back)
        for each in (model, back, copied):
            assert each.heads["said"].words.weight is each.encoders["prompt"].words.weight
        assert set(copied.state_dict()) == set(model.state_dict())
        assert not any("embed_tokens" in key or "wte" in key for key in model.state_dict())


@torch.no_grad()
def test_a_prompt_through_the_sequence_is_the_language_model_itself():
    model = published("llama")
    encoder = DecoderWords(DecoderWordsConfig(model="llama", vocabulary=WORDS, width=16))
    encoder.words.weight.copy_(model.get_input_embeddings().weight)
    tokens = torch.randint(4, WORDS, (3, 6), generator=torch.Generator().manual_seed(0))
    features = encoder({"tokens": tokens, "mask": torch.ones_like(tokens, dtype=torch.bool)})
    fused = Sequence(SequenceConfig(dim=16), {"prompt": 16})({"prompt": features})
    assert torch.equal(fused.tokens, encoder.words(tokens))
    logits, _ = head_of("llama", model).begin(fused)
    torch.testing.assert_close(logits, model(tokens).logits[:, -1], rtol=1e-5, atol=1e-5)


def test_words_of_another_model_are_not_shared():
    encoder = DecoderWords(DecoderWordsConfig(model="llama", vocabulary=WORDS + 1, width=16))
    with pytest.raises(UserError, match="give both the same model"):
        Model({"prompt": encoder}, fusion=Sequence(SequenceConfig(), {"prompt": 16}),
              heads={"said": head_of("llama", tied="prompt")})  # fmt: skip


def test_more_than_the_model_has_positions_for_is_refused():
    fused = rows(2, longest=60)
    with pytest.raises(UserError, match=r"tokens and a text up to 50, but gpt2 reads 64; lower max_tokens"):
        head_of("gpt2", max_tokens=50).predict(fused)


@pytest.mark.parametrize("name", ["bart", "llama"])
def test_a_batch_in_which_no_record_has_the_target_costs_nothing_and_reaches_every_weight(name: str):
    head = head_of(name)
    tokens = torch.zeros(2, 1, 1, dtype=torch.long)
    target = {"tokens": tokens, "real": tokens > 0, "weight": torch.zeros(2, 1)}
    loss = head.loss(Features(torch.randn(2, 3, 16), torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 16)), target)
    assert loss.tolist() == [0, 0]
    loss.sum().backward()
    assert all(weight.grad is not None for weight in head.parameters() if weight.requires_grad and weight.ndim > 1)


def test_labels_are_smoothed_in_training_alone():
    head, fused = head_of("bart", smoothing=0.3), rows(2)
    target = {"tokens": torch.full((2, 1, 2), 5), "real": torch.ones(2, 1, 2).bool(), "weight": torch.ones(2, 1)}
    plain = head_of("bart", head.body)
    assert torch.equal(head.loss(fused, target), plain.loss(fused, target))
    head.training = True  # without the dropout of the body
    assert not torch.allclose(head.loss(fused, target), plain.loss(fused, target))


def test_tokens_are_decoded_with_alternatives():
    head = head_of("bart", published("bart"))
    (row,) = head.decode(head.predict(rows(1), Generation(beams=3, best=2)), [])
    assert next(each["text"] for each in row["alternatives"]) == row["decision"] and len(row["alternatives"]) == 2
    assert 0 < row["alternatives"][1]["probability"] <= 1 and tokens_of().spell([5, 6]).split() == ["w5", "w6"]
