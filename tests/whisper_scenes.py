"""Tiny Whispers of Transformers with random weights, their folders, and sounds."""

import json
import wave
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from sensorium.families.whisper import whisper
from sensorium.model import Model

SECONDS, RATE = 2, 16_000  # of a window
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
LANGUAGES = ("en", "de", "ja")
SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{code}|>" for code in LANGUAGES), "<|translate|>"]
SPECIAL += ["<|transcribe|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
POSITIONS, ENDS = 8.0, 2.0
STEPS = 1 + 50 * SECONDS
NUMBERS = {token: number for number, token in enumerate([*LETTERS, *SPECIAL])}
VOCABULARY = len(NUMBERS) + STEPS
END, START, FIRST_STAMP = NUMBERS["<|endoftext|>"], NUMBERS["<|startoftranscript|>"], len(NUMBERS)
SUPPRESSED, SUPPRESSED_FIRST = [1, 2, NUMBERS["<|startofprev|>"]], [5, END]
ALIGNMENT = [[0, 1], [1, 0]]


def published(noise: float = 0.5, seed: int = 0, stamped: float = 0.2) -> WhisperForConditionalGeneration:
    """A model of two layers whose texts differ. stamped: added to the embeddings of timestamps, for more of them."""
    torch.manual_seed(seed)
    special = {"bos_token_id": END, "eos_token_id": END, "pad_token_id": END, "decoder_start_token_id": START}
    config = WhisperConfig(
        **special, vocab_size=VOCABULARY, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_source_positions=50 * SECONDS,
        max_target_positions=48, num_mel_bins=8,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * noise)
        decoder = model.model.decoder
        decoder.embed_positions.weight.mul_(POSITIONS)  # so that no token follows itself for ever
        decoder.embed_tokens.weight[FIRST_STAMP:] += stamped
        decoder.embed_tokens.weight[END] *= ENDS
    model.generation_config = GenerationConfig(
        **special, max_length=48, suppress_tokens=SUPPRESSED, begin_suppress_tokens=SUPPRESSED_FIRST,
        alignment_heads=ALIGNMENT, is_multilingual=True, no_timestamps_token_id=FIRST_STAMP - 1,
        lang_to_id={f"<|{code}|>": NUMBERS[f"<|{code}|>"] for code in LANGUAGES}, max_initial_timestamp_index=50,
        task_to_id={task: NUMBERS[f"<|{task}|>"] for task in ("transcribe", "translate")},
    )  # fmt: skip
    return model


def extractor() -> WhisperFeatureExtractor:
    """What makes its spectrograms."""
    return WhisperFeatureExtractor(feature_size=8, chunk_length=SECONDS)


def tokenizer() -> Tokenizer:
    """A tokenizer of bytes, without timestamps, as older folders have it."""
    words = Tokenizer(models.BPE({letter: NUMBERS[letter] for letter in LETTERS}, []))
    words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    words.add_special_tokens(SPECIAL)
    return words


def folder_of(model: WhisperForConditionalGeneration, folder: Path) -> Path:
    """The folder that Transformers writes."""
    model.save_pretrained(folder)
    extractor().save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    names = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "<|endoftext|>")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "WhisperTokenizer", **names}))
    return folder


def ours(folder: Path, **options: float) -> tuple[Model, WhisperForConditionalGeneration]:
    """Our model of a folder that is written to `folder`, and that of Transformers."""
    model = published(**options)
    return whisper(folder_of(model, folder)), model


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """float32 [S]: tones and noise, louder and softer, so that spectrograms differ."""
    random, time = np.random.default_rng(seed), np.arange(round(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * pitch * time + pitch) for pitch in random.uniform(80, 3000, 5))
    envelope = 0.1 + np.abs(np.sin(2 * np.pi * time * random.uniform(0.5, 3)))
    return (0.1 * envelope * (tones + random.standard_normal(len(time)))).astype(np.float32)


def example(folder: Path) -> None:
    """Writes what docs/speech.md works on into `folder`: talks/ and talks.csv, tones and what is said in them, and
    models/whisper."""
    (folder / "talks").mkdir()
    names = ["first", "second", *(f"talk-{number}" for number in range(3, 25))]
    for number, name in enumerate(names):
        with wave.open(str(folder / "talks" / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes((sound(0.5 + number / 20, number) * 32767).astype("<i2").tobytes())
    lines = [f"talks/{name}.wav,a {'low' if number % 2 else 'high'} tone" for number, name in enumerate(names)]
    (folder / "talks.csv").write_text("\n".join(["talk,text", *lines, ""]), encoding="utf-8")
    folder_of(published(), folder / "models" / "whisper")
