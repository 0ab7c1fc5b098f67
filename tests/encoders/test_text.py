"""The text transformer from scratch and its processor."""

import os
import pickle
import subprocess
import sys
import time

import pytest
import torch
from pydantic import ValidationError
from tokenizers.processors import TemplateProcessing

from sensorium.encoders.text import TextConfig, TextTransformer
from sensorium.encoders.text_processor import TextAugmentation, TextProcessor
from sensorium.errors import UserError

TEXTS = ["a good film", "a bad film, and a long one", "the plot is good", "今天天气很好", "Das Wetter ist schön"] * 4


@pytest.fixture(scope="module")
def encoder() -> TextTransformer:
    torch.manual_seed(0)
    return TextTransformer.build(TextConfig(width=32, heads=4, max_tokens=24), TEXTS, {}).eval()


def batch(processor: TextProcessor, texts: list[str | None]) -> dict[str, torch.Tensor]:
    return processor.pad([None if text is None else processor(text) for text in texts])


def test_a_row_alone_equals_the_row_in_a_padded_batch(encoder):
    together = encoder(batch(encoder.processor, TEXTS[:5]))
    for row, text in enumerate(TEXTS[:5]):
        alone = encoder(batch(encoder.processor, [text]))
        torch.testing.assert_close(alone.pooled[0], together.pooled[row], rtol=1e-5, atol=1e-6)
        length = alone.tokens.shape[1]
        torch.testing.assert_close(alone.tokens[0], together.tokens[row, :length], rtol=1e-5, atol=1e-6)
        assert together.mask[row].sum() == length


def test_what_stands_in_the_padding_changes_no_bit(encoder):
    inputs = batch(encoder.processor, ["a good film", "a bad film, and a long one"])
    assert not inputs["mask"].all()
    noise = torch.randint_like(inputs["tokens"], encoder.config.vocabulary)
    noised = encoder({"tokens": torch.where(inputs["mask"], inputs["tokens"], noise), "mask": inputs["mask"]})
    for one, two in zip(encoder(inputs), noised, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("summary_only", [False, True])
def test_every_parameter_receives_a_gradient(pooling, summary_only):
    encoder = TextTransformer.build(TextConfig(width=32, heads=4, pooling=pooling), TEXTS, {}, summary_only)
    features = encoder(batch(encoder.processor, TEXTS[:5]))
    (features.pooled * torch.randn_like(features.pooled)).sum().backward()
    dead = [name for name, weight in encoder.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert dead == []


def test_summary_only_gives_the_same_summary_as_one_token(encoder):
    brief = TextTransformer(encoder.config, encoder.processor, summary_only=True).eval()
    brief.load_state_dict(encoder.state_dict())
    inputs = batch(encoder.processor, TEXTS[:3])
    features = brief(inputs)
    assert features.tokens.shape == (3, 1, 32) and features.mask.all()
    assert torch.equal(features.pooled, encoder(inputs).pooled)


def test_the_mean_is_of_real_tokens_only(encoder):
    features = encoder(batch(encoder.processor, TEXTS[:5]))
    for row in range(5):
        expected = features.tokens[row][features.mask[row]].mean(dim=0)
        torch.testing.assert_close(features.pooled[row], expected)


def test_the_residual_stream_stays_float32_under_autocast(encoder):
    inputs = batch(encoder.processor, TEXTS[:5])
    with torch.autocast("cpu", torch.bfloat16):
        rough = encoder(inputs)
    assert rough.pooled.dtype == rough.tokens.dtype == torch.float32
    torch.testing.assert_close(rough.pooled, encoder(inputs).pooled, rtol=0.1, atol=0.05)


def test_any_language_and_any_character_has_tokens_that_come_back(encoder):
    tokenizer = encoder.processor.tokenizer
    for text in ["今天天气很好", "naïve ☃ 🦑", "ᚠᛇᚻ", "\u200b", "½"]:
        tokens = encoder.processor(text)["tokens"]
        assert len(tokens) > 2 and tokens.max() < encoder.processor.vocabulary
        assert tokenizer.encode(text).tokens[0] == "[CLS]"


def test_case_width_and_space_do_not_matter(encoder):
    plain = encoder.processor("a good film")["tokens"]
    for other in ["A GOOD FILM", "\uff41\u3000good film", "  a  good\n\tfilm "]:
        assert torch.equal(encoder.processor(other)["tokens"], plain)


def test_a_text_in_which_the_tokenizer_finds_nothing_has_a_token(encoder):
    assert len(encoder.processor("   ")["tokens"]) >= 1
    bare = TextProcessor.train(TEXTS, 8)
    bare.tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    assert bare("   ", augment=True)["tokens"].tolist() == [bare.unknown_token]


def test_a_long_text_is_cut_and_costs_no_more(encoder):
    long = "a good film " * 1_000_000
    start = time.perf_counter()
    tokens = encoder.processor(long)["tokens"]
    assert len(tokens) == 24
    assert time.perf_counter() - start < 0.2
    assert torch.equal(tokens, encoder.processor("a good film " * 100)["tokens"])


def test_absent_rows_are_masked_and_a_batch_of_them_has_one_place(encoder):
    inputs = batch(encoder.processor, [None, "a good film"])
    assert inputs["mask"].any(dim=1).tolist() == [False, True]
    empty = encoder.processor.pad([None, None])
    assert empty["tokens"].shape == empty["mask"].shape == (2, 1) and not empty["mask"].any()


def test_training_the_tokenizer_in_another_process_gives_the_same_one():
    code = (
        "import hashlib, random; from sensorium.encoders.text_processor import TextProcessor; random.seed(0);"
        "word = lambda: ''.join(random.choices('abcdefgh', k=random.randint(2, 5)));"
        "texts = [' '.join(word() for _ in range(12)) for _ in range(2000)];"
        "digest = hashlib.sha256(TextProcessor.train(texts, 32).tokenizer.to_str().encode()).hexdigest()"
    )
    environment = os.environ | {"RAYON_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code + "; print(digest)"]
    done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    here: dict[str, str] = {}
    exec(code, here)
    assert done.stdout.strip() == here["digest"]


def test_the_vocabulary_is_sized_to_the_data():
    few = TextProcessor.train(["a"], 8).vocabulary
    assert few == 256 + 4
    assert few < TextProcessor.train(TEXTS, 8).vocabulary < 400
    words = [f"{a}{b}{c}" for a in "abcdef" for b in "ghijkl" for c in "mnopqr"]
    assert TextProcessor.train(words * 3, 8, vocabulary=300).vocabulary == 300


def test_saving_and_pickling_keep_the_processor(encoder, tmp_path):
    torch.manual_seed(0)
    processor = TextProcessor.train(TEXTS, 12, augmentation=TextAugmentation(rate=0.5))
    processor.save(tmp_path / "new" / "folder")
    for other in (TextProcessor.load(tmp_path / "new" / "folder"), pickle.loads(pickle.dumps(processor))):
        for text in ["a good film", "a long text " * 9, "今天"]:
            torch.manual_seed(1)
            expected = processor(text, augment=True)["tokens"]
            torch.manual_seed(1)
            assert torch.equal(other(text, augment=True)["tokens"], expected)
        assert torch.equal(other.pad([None])["tokens"], processor.pad([None])["tokens"])
    plain = TextProcessor.train(TEXTS, 12, augmentation=None)
    plain.save(tmp_path)
    assert TextProcessor.load(tmp_path).augmentation is None


def test_augmentation_masks_at_its_rate_and_follows_the_global_seed_alone(encoder):
    processor = TextProcessor.train(TEXTS, 2048, augmentation=TextAugmentation(rate=0.25))
    text = "a good film " * 600
    plain = processor(text)["tokens"]
    torch.manual_seed(3)
    one = processor(text, augment=True)["tokens"]
    two = processor(text, augment=True)["tokens"]
    torch.manual_seed(3)
    assert torch.equal(processor(text, augment=True)["tokens"], one) and not torch.equal(one, two)
    changed = one != plain
    assert 0.2 < changed.float().mean() < 0.3
    assert (one[changed] == processor.mask_token).all()
    assert not changed[0] and not changed[-1]  # start and end stay
    state = torch.get_rng_state()
    processor(text)
    assert torch.equal(torch.get_rng_state(), state)


def test_without_a_mask_token_tokens_are_removed_but_never_all():
    processor = TextProcessor.train(TEXTS, 64, augmentation=TextAugmentation(rate=0.9))
    processor.mask_token = None
    lengths = {len(processor("a good film", augment=True)["tokens"]) for _ in range(50)}
    assert max(lengths) <= len(processor("a good film")["tokens"]) and min(lengths) == 2


def test_a_call_is_fast(encoder):
    encoder.processor("a good film")
    start = time.perf_counter()
    for _ in range(500):
        encoder.processor("a bad film, and a long one")
    assert (time.perf_counter() - start) / 500 < 1e-3


def test_it_learns_the_order_of_words():
    torch.manual_seed(0)
    texts = [f"{a} beats {b}" for a in ("red", "blue", "green") for b in ("red", "blue", "green") if a != b] * 8
    labels = torch.tensor([float(text.split()[0] < text.split()[2]) for text in texts])
    encoder = TextTransformer.build(TextConfig(width=32, heads=4, augmentation=None), texts, {})
    head = torch.nn.Linear(32, 1)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=3e-3)
    inputs = batch(encoder.processor, texts)
    for _ in range(40):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(head(encoder(inputs).pooled)[:, 0], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


def test_mistakes_are_sentences(encoder):
    with pytest.raises(UserError, match="vocabulary"):
        TextTransformer(TextConfig())
    with pytest.raises(UserError, match="vocabulary"):
        TextTransformer(TextConfig(vocabulary=260), encoder.processor)
    with pytest.raises(ValidationError, match="divide"):
        TextConfig(width=30, heads=4)
    with pytest.raises(ValidationError):
        TextConfig(widht=30)


def test_the_config_rebuilds_the_encoder(encoder):
    config = TextConfig.model_validate_json(encoder.config.model_dump_json())
    assert config == encoder.config and config.vocabulary == encoder.processor.vocabulary
    again = TextTransformer(config).eval()
    again.load_state_dict(encoder.state_dict(), strict=True)
    inputs = batch(encoder.processor, TEXTS[:3])
    assert torch.equal(again(inputs).pooled, encoder(inputs).pooled)
