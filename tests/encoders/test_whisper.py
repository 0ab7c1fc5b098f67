"""Whisper from CTranslate2's format: it writes what is said, reads short spans, and tells speech from other sounds."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from sensorium.data.media.decoding import decode
from sensorium.encoders.transformers_audio import TransformersAudio, TransformersAudioConfig
from sensorium.encoders.whisper import no_speech_probabilities, shorten
from sensorium.errors import UserError
from sensorium.model import Model, load
from sensorium.nn.whisper import MODEL_FILE, load_whisper

RATE = 16_000
START, NO_TIMES, END = 50257, 50362, 50256  # tokens of the English models


@pytest.fixture
def folder(packs):
    return packs["whisper-tiny.en"].location


@torch.no_grad()
def test_it_writes_what_is_said(folder, shared):
    model, extractor = load_whisper(folder)
    clip = decode("audio", "agent-incorrect.ogg", shared / "data" / "prompts" / "speech", rate=RATE)
    extractor = shorten(model.get_encoder(), extractor, 6.5)
    inputs = extractor([clip], sampling_rate=RATE, max_length=round(6.5 * RATE), return_tensors="pt")["input_features"]
    tokens = [START, NO_TIMES]
    while tokens[-1] != END and len(tokens) < 10:
        tokens.append(
            int(model(input_features=inputs, decoder_input_ids=torch.tensor([tokens])).logits[0, -1].argmax())
        )
    written = Tokenizer.from_file(str(folder / "tokenizer.json")).decode(tokens)
    assert written.strip().lower().startswith("login incorrect. please enter your agent")


@torch.no_grad()
def test_a_span_is_as_short_as_the_clips_and_a_clip_gives_the_same_alone_and_from_a_checkpoint(packs, tmp_path):
    config = TransformersAudioConfig(model="whisper-tiny.en")
    encoder = TransformersAudio.build(config, [], {"seconds": 0.62}, summary_only=True).eval()
    assert encoder.body.embed_positions.num_embeddings == 60  # 1.2 s
    random = np.random.default_rng(0)
    clips = [random.standard_normal(length).astype(np.float32) / 10 for length in (3000, 9920, 40_000)]
    items = [encoder.processor(clip) for clip in clips]
    pooled = encoder(encoder.processor.pad(items)).pooled
    for row, item in enumerate(items):
        torch.testing.assert_close(encoder(encoder.processor.pad([item])).pooled[0], pooled[row], rtol=1e-4, atol=1e-4)
    Model({"voice": encoder}).save(tmp_path / "model")
    loaded = load(tmp_path / "model").encoders["voice"].eval()
    again = loaded(loaded.processor.pad([loaded.processor(clip) for clip in clips])).pooled
    torch.testing.assert_close(again, pooled)


def test_speech_is_told_from_other_sounds(folder, shared):
    digits = sorted((shared / "data" / "spoken_digits").glob("*.wav"))[::125]
    speech = [decode("audio", path.name, path.parent, rate=RATE) for path in digits]
    time, random = np.arange(RATE) / RATE, np.random.default_rng(0)
    tones = [np.sin(2 * np.pi * pitch * time) * np.exp(-3 * time) / 3 for pitch in (220, 440, 880)]
    sounds = [*tones, random.standard_normal(RATE) / 10, random.standard_normal(RATE // 2) / 10]
    assert no_speech_probabilities(folder, speech).quantile(0.25) < 0.7
    assert no_speech_probabilities(folder, [sound.astype(np.float32) for sound in sounds]).quantile(0.25) > 0.8


def test_a_damaged_file_and_another_model_are_sentences(tmp_path):
    config = TransformersAudioConfig(model=str(tmp_path))
    (tmp_path / MODEL_FILE).write_bytes(b"nothing")
    with pytest.raises(UserError, match="is no whole model of CTranslate2"):
        TransformersAudio.build(config, [], {})
    empty = b"\x06\0\0\0\x02\0x\0\x01\0\0\0\0\0\0\0\0\0\0\0"
    (tmp_path / MODEL_FILE).write_bytes(empty)
    with pytest.raises(UserError, match="holds no Whisper model"):
        TransformersAudio.build(config, [], {})


@torch.no_grad()
def test_the_packs_summary_keeps_the_order_of_a_clips_sounds_and_reads_more_silence(packs):
    config = TransformersAudioConfig(**packs["whisper-tiny.en"].config)
    encoder = TransformersAudio.build(config, [], {"seconds": 0.62}).eval()
    assert encoder.body.embed_positions.num_embeddings == 110  # 2.2 s
    random = np.random.default_rng(0)
    clips = [random.standard_normal(length).astype(np.float32) / 10 for length in (300, 5760, 9920)]
    tokens, mask, pooled = encoder(encoder.processor.pad([encoder.processor(clip) for clip in clips]))
    assert encoder.dim == tokens.shape[2] == pooled.shape[1] == 3 * 384
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        real = tokens[row, :length, :384]
        cuts = [(third * length // 3, max((third + 1) * length // 3, third * length // 3 + 1)) for third in range(3)]
        thirds = [real[start:end].mean(dim=0) for start, end in cuts]
        torch.testing.assert_close(pooled[row], torch.cat(thirds), rtol=1e-4, atol=1e-4)
