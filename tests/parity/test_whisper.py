"""Whisper against Transformers on tiny random models: features, encoder, logits, tokens, timestamps, folders."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor
from transformers.generation.logits_process import WhisperTimeStampLogitsProcessor

from sensorium.data.targets.text import TextTarget
from sensorium.errors import UserError
from sensorium.families.checkpoints import convert
from sensorium.families.whisper import write
from sensorium.features import Features
from sensorium.fusion.sequence import Sequence, SequenceConfig
from sensorium.generation.alignment import token_frames
from sensorium.generation.autoregressive import generate
from sensorium.generation.rules import apply_rules
from sensorium.generation.settings import Generation
from sensorium.generation.timestamps import timestamps
from sensorium.heads.spoken import _facts, load_speech_writer
from sensorium.heads.written import attended
from sensorium.model import Model, load
from tests.whisper_scenes import (
    ALIGNMENT,
    END,
    FIRST_STAMP,
    NUMBERS,
    RATE,
    SECONDS,
    START,
    VOCABULARY,
    extractor,
    folder_of,
    ours,
    published,
    sound,
)

LONGEST = 20


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Any]:
    return ours(tmp_path_factory.mktemp("whisper"))


def heard(model: Model, clips: list[np.ndarray], silence: float = SECONDS) -> tuple[Features, Tensor]:
    """What our encoder says of clips, and the frames that it reads, float32 [B, F, M]."""
    encoder = model.encoders["speech"]
    batch = encoder.processor.pad([encoder.processor.window(clip, silence) for clip in clips])
    with torch.no_grad():
        return model.fuse(model.encode({"speech": batch})), batch["values"]


def test_a_full_window_has_the_spectrogram_of_transformers(pair):
    model, _ = pair
    clip = sound(SECONDS)
    _, frames = heard(model, [clip])
    expected = extractor()(clip, sampling_rate=RATE, return_tensors="pt")["input_features"]  # [1, M, F]
    # The last frame sees what is beyond the clip, which Transformers mirrors; here silence follows.
    torch.testing.assert_close(frames.mT[..., :-2], expected[..., :-2], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_encoder_and_logits_after_forced_tokens(pair):
    model, published_model = pair
    fused, frames = heard(model, [sound(SECONDS, seed) for seed in range(4)])
    expected = published_model.model.encoder(frames.mT).last_hidden_state
    torch.testing.assert_close(fused.tokens, expected, rtol=1e-5, atol=1e-5)
    head = model.heads["text"]
    tokens = torch.randint(0, VOCABULARY, (4, 6), generator=torch.Generator().manual_seed(0))
    read = torch.cat([torch.full((4, 1), START), tokens], dim=1)
    logits = published_model(input_features=frames.mT, decoder_input_ids=read).logits  # [4, 7, V]
    first, state = head.begin(fused, tokens[:, :2])
    torch.testing.assert_close(first, logits[:, 2], rtol=1e-5, atol=1e-5)
    for position in range(2, 6):
        stepped = head.step(tokens[:, position], state)
        torch.testing.assert_close(stepped, logits[:, position + 1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("stamps", [False, True])
@pytest.mark.parametrize(("language", "task"), [("de", "transcribe"), ("ja", "translate")])
@torch.no_grad()
def test_the_tokens_of_generate(pair, beams: int, stamps: bool, language: str, task: str):
    model, published_model = pair
    head, count = model.heads["text"], 12
    fused, frames = heard(model, [sound(SECONDS, seed) for seed in range(count)])
    expected = published_model.generate(
        frames.mT, language=language, task=task, return_timestamps=stamps, num_beams=beams, max_new_tokens=LONGEST,
        do_sample=False, force_unique_generate_call=True,
    )  # fmt: skip
    prompt = head.prompt([language] * count, count, task, stamps)
    rules = head.rules(stamps)[:-1]  # Transformers has no rule against loops
    settings = Generation(beams=beams, max_tokens=LONGEST)
    written = generate(head, fused, settings, prompt=prompt, rules=rules).tokens[:, 0]
    expected = expected[:, 1 + prompt.shape[1] :]
    length = max(expected.shape[1], written.shape[1])
    expected, written = (torch.nn.functional.pad(x, (0, length - x.shape[1]), value=END) for x in (expected, written))
    assert torch.equal(written, expected)
    assert len(written.unique(dim=0)) > 3


def test_the_rule_of_timestamps():
    rule = timestamps(FIRST_STAMP - 1, END, 1)
    config = SimpleNamespace(
        no_timestamps_token_id=FIRST_STAMP - 1, eos_token_id=END, bos_token_id=END, max_initial_timestamp_index=50
    )
    processor = WhisperTimeStampLogitsProcessor(config, 1)
    generator = torch.Generator().manual_seed(0)
    history = torch.full((40, 1), START)
    for _ in range(30):
        scores = 3 * torch.randn(40, VOCABULARY, generator=generator)
        scores[:, FIRST_STAMP:] += 1.5 * torch.randn(40, 1, generator=generator)
        expected = processor(history, scores)
        assert torch.equal(apply_rules([rule], scores, history), expected)
        history = torch.cat([history, expected.argmax(dim=1, keepdim=True)], dim=1)
    stamped = (history[:, 1:] >= FIRST_STAMP).float().mean()
    assert 0.1 < stamped < 0.8


@torch.no_grad()
def test_a_batch_equals_each_alone_and_windows_of_any_length_are_masked(pair):
    model, _ = pair
    head = model.heads["text"]
    clips = [sound(seconds, seed) for seed, seconds in enumerate((0.1, 0.3, 0.9, 1.0, 1.1, 1.6, 1.9, 2.0))]
    fused, _ = heard(model, clips, silence=0.0)
    assert len(fused.mask.sum(dim=1).unique()) > 1
    texts = head.decode(head.predict(fused, Generation(max_tokens=LONGEST)), [])
    for clip, text in zip(clips, texts, strict=True):
        (alone,) = head.decode(head.predict(heard(model, [clip], silence=0.0)[0], Generation(max_tokens=LONGEST)), [])
        assert alone["decision"] == text["decision"]
        assert alone["probability"] == pytest.approx(text["probability"], rel=1e-3)
    assert len({text["decision"] for text in texts}) > 3


def test_the_loss_is_that_of_transformers_and_reaches_every_weight(pair):
    """Of texts of several lengths after forced prompts, in windows that are masked; each text counts once."""
    model, published_model = pair
    head = model.heads["text"]
    head.config = head.config.model_copy(update={"language": "de"})
    fused, frames = heard(model, [sound(SECONDS, seed) for seed in range(3)])
    references = np.array([["a tone"], ["two"], ["no tone at all"]], dtype=object)
    target = TextTarget.column(references, [], head.processor)(np.arange(3))
    losses = head.loss(fused, target)
    prompt = [START, NUMBERS["<|de|>"], NUMBERS["<|transcribe|>"], FIRST_STAMP - 1]
    for row, (text,) in enumerate(references):
        tokens = head.processor(text)
        read = torch.tensor([[*prompt, *tokens[:-1]]])
        logits = published_model(input_features=frames[row : row + 1].mT, decoder_input_ids=read).logits[0, 3:]
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor(tokens))
        torch.testing.assert_close(losses[row], expected, rtol=1e-5, atol=1e-5)
    batch = model.encoders["speech"].processor.pad([model.encoders["speech"].processor(sound(1.0))] * 3)
    head.loss(model.fuse(model.encode({"speech": batch})), target).sum().backward()
    untouched = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    model.zero_grad(set_to_none=True)
    head.config = head.config.model_copy(update={"language": None})
    assert not [name for name in untouched if "kinds" not in name]


@torch.no_grad()
def test_times_of_tokens_are_those_of_transformers(pair):
    _, published_model = pair
    attention = torch.rand(2, 2, 9, 40, generator=torch.Generator().manual_seed(0)).softmax(
        dim=3
    )  # [layers, heads, L, S]
    layers = [[layer[None] for layer in attention]]  # one step, of each layer [1, H, L, S]
    outputs = SimpleNamespace(cross_attentions=layers, sequences=torch.zeros(1, 9, dtype=torch.long))
    outputs = type("Outputs", (dict,), {"__getattr__": dict.__getitem__})(vars(outputs))
    expected = published_model._extract_token_timestamps(outputs, ALIGNMENT, num_frames=2 * 34, num_input_ids=2)
    chosen = torch.stack([attention[layer, head] for layer, head in ALIGNMENT])[:, 2:, :34]
    ours_in_seconds = 0.02 * token_frames(chosen)
    np.testing.assert_allclose(ours_in_seconds, expected[0, 2:-1].numpy(), atol=1e-6)


@torch.no_grad()
def test_attention_is_that_of_transformers(pair):
    model, published_model = pair
    head, tokens = model.heads["text"], torch.tensor([[3, 4, 7, 8]])
    fused, frames = heard(model, [sound(SECONDS)])
    published_model.set_attn_implementation("eager")
    outputs = published_model(
        input_features=frames.mT, decoder_input_ids=torch.cat([torch.tensor([[START]]), tokens], 1),
        output_attentions=True,
    )  # fmt: skip
    published_model.set_attn_implementation("sdpa")
    expected = torch.stack([outputs.cross_attentions[layer][0, number] for layer, number in ALIGNMENT])
    torch.testing.assert_close(head.attention(fused, tokens)[0], expected, rtol=1e-4, atol=1e-5)


def test_folders_both_ways(tmp_path: Path):
    model = published()
    source = folder_of(model, tmp_path / "published")
    convert(source, tmp_path / "ours")
    convert(tmp_path / "ours", tmp_path / "again", to="transformers")
    written = AutoModelForSpeechSeq2Seq.from_pretrained(tmp_path / "again")
    state, expected = written.state_dict(), model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], weight) for name, weight in expected.items())
    for name in ("suppress_tokens", "begin_suppress_tokens", "alignment_heads", "lang_to_id", "is_multilingual"):
        assert getattr(written.generation_config, name) == getattr(model.generation_config, name)
    processor = AutoProcessor.from_pretrained(tmp_path / "again")
    assert processor.tokenizer.convert_tokens_to_ids("<|1.00|>") == FIRST_STAMP + 50
    ids = processor.tokenizer(" Hello there", add_special_tokens=False)["input_ids"]
    head = load(tmp_path / "ours").heads["text"]
    assert head.processor("Hello there") == [*ids, END]
    assert head.speech.languages == {code: NUMBERS[f"<|{code}|>"] for code in ("en", "de", "ja")}


@torch.no_grad()
def test_only_the_attention_that_times_words_is_held(pair):
    model, _ = pair
    head = model.heads["text"]
    fused, _ = heard(model, [sound(SECONDS)])
    crossing = {(1, 0): None}
    steps = head._whisper_steps()
    steps.read(torch.tensor([[START, 3, 4]]), steps.attend(*attended(fused, head.projector)), crossing)
    assert [(pair, weights.untyped_storage().nbytes()) for pair, weights in crossing.items()] == [
        ((1, 0), 4 * 3 * fused.mask.shape[1])
    ]


def other_inputs(model: Model) -> Model:
    return Model(
        {"speech": model.encoders["speech"], "more": model.encoders["speech"]}, fusion=model.fusion,
        heads=dict(zip(model.heads.names, model.heads.modules_once, strict=True)), schema=model.schema,
    )  # fmt: skip


def without_window(model: Model) -> Model:
    encoder = model.encoders["speech"]
    encoder.config = encoder.config.model_copy(update={"own_window": False})
    return model


def with_weights(model: Model) -> Model:
    model.fusion = Sequence(SequenceConfig(dim=model.fusion.dim), {"speech": 8})
    return model


def other_encoder(model: Model) -> Model:
    encoder = torch.nn.Linear(1, 1)
    encoder.dim = model.encoders["speech"].dim
    return Model({"speech": encoder}, fusion=model.fusion, heads={"text": model.heads["text"]}, schema=model.schema)


@pytest.mark.parametrize("change", [other_inputs, without_window, with_weights, other_encoder])
def test_a_model_that_is_more_than_a_whisper_is_not_written(tmp_path: Path, change):
    model, _ = ours(tmp_path / "published")
    with pytest.raises(UserError, match="more than a Whisper"):
        write(change(model), tmp_path)


def test_a_damaged_checkpoint_is_said_in_a_sentence(tmp_path: Path):
    for text in ("{", "{}", '{"heads": [1]}', '{"heads": {"text": 1}}'):
        (tmp_path / "model.json").write_text(text)
        with pytest.raises(UserError):
            convert(tmp_path, tmp_path / "out", to="transformers")


@pytest.mark.parametrize(
    ("name", "ids"), [("alignment_heads", [[0, 9]]), ("alignment_heads", [1]), ("suppress_tokens", [VOCABULARY])]
)
def test_heads_and_tokens_that_the_model_does_not_have(tmp_path: Path, name: str, ids: list):
    folder = folder_of(published(), tmp_path / "published")
    file = folder / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: ids}))
    with pytest.raises(UserError, match="tokens or alignment_heads that its model does not have"):
        load_speech_writer(str(folder), "Whisper", 20)


def test_a_configuration_that_is_a_list(tmp_path: Path):
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(UserError, match="no object of settings"):
        _facts(tmp_path)


def test_a_text_longer_than_the_positions_is_cut(tmp_path):
    folder = folder_of(published(), tmp_path)
    model, tokens, _ = load_speech_writer(str(folder), "Whisper", 4096)
    assert len(tokens("a " * 500)) + 4 <= model.config.max_target_positions
