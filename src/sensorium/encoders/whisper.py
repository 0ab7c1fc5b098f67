"""Whisper's encoder over spans that are shorter than those it was trained on, and what Whisper says about a sound."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import WhisperFeatureExtractor

from sensorium.encoders.audio_processor import loudest
from sensorium.nn.whisper import VOCABULARY_FILE, load_whisper

_START, _NO_SPEECH = "<|startoftranscript|>", "<|nocaptions|>"  # later Whispers call it <|nospeech|>
_LISTENED = 3  # seconds of a clip that are judged


def shorten(encoder: nn.Module, extractor: WhisperFeatureExtractor, seconds: float) -> WhisperFeatureExtractor:
    """Lets a Whisper encoder read spans of `seconds`, in tenths of a second, and no longer ones; gives the extractor
    for that. The positions it keeps are the first."""
    chunk = min(extractor.chunk_length, math.ceil(10 * seconds) / 10)
    positions = round(encoder.config.max_source_positions * chunk / extractor.chunk_length)
    weight = encoder.embed_positions.weight.detach()[:positions].clone()
    encoder.embed_positions = nn.Embedding.from_pretrained(weight)
    encoder.config.max_source_positions = encoder.max_source_positions = positions
    return type(extractor).from_dict(extractor.to_dict() | {"chunk_length": chunk})


def log_mel(samples: Tensor, extractor: WhisperFeatureExtractor) -> Tensor:
    """float32 [S], at least a quarter of a window of the transform -> float32 [F, M], a frame for each 10 ms: what
    Whisper reads of a sound, of that sound alone. Silence that is to follow is zeros."""
    size, hop = extractor.n_fft, extractor.hop_length
    window = torch.hann_window(size)
    spectrum = torch.stft(F.pad(samples, (0, size)), size, hop, window=window, return_complex=True)[:, :-1]
    power = spectrum[:, : -(-len(samples) // hop)].abs() ** 2  # [size / 2 + 1, F]
    levels = (torch.from_numpy(extractor.mel_filters).float().T @ power).clamp(min=1e-10).log10()  # [M, F]
    return (torch.maximum(levels, levels.max() - 8.0).T + 4.0) / 4.0


def read_window(encoder: nn.Module, frames: Tensor) -> Tensor:
    """float [B, F, M], no longer than the encoder of Whisper reads -> [B, F / 2, D]."""
    x = F.gelu(encoder.conv1(frames.mT))
    x = F.gelu(encoder.conv2(x)).mT  # [B, T, D]
    x = x + encoder.embed_positions.weight[: x.shape[1]]
    for layer in encoder.layers:
        output = layer(x, None)
        x = output[0] if isinstance(output, tuple) else output
    return encoder.layer_norm(x)


@torch.no_grad()
def no_speech_probabilities(folder: Path, clips: Sequence[np.ndarray]) -> Tensor:
    """float [B]: how sure the Whisper in `folder` (CTranslate2's format) is that each clip, float32 [S] at its rate,
    holds no speech: of the first token it would write, the share of _NO_SPEECH. Reads each clip's loudest
    _LISTENED seconds. Raises UserError."""
    model, extractor = load_whisper(folder)
    vocabulary = (folder / VOCABULARY_FILE).read_text(encoding="utf-8").split("\n")
    start, no_speech = (vocabulary.index(token) for token in (_START, _NO_SPEECH))
    extractor = shorten(model.get_encoder(), extractor, _LISTENED)
    rate = extractor.sampling_rate
    spans = [loudest(clip, _LISTENED * rate) for clip in clips]
    features = extractor(spans, sampling_rate=rate, max_length=_LISTENED * rate, return_tensors="pt")[
        "input_features"
    ]  # [B, M, F]
    logits = model(input_features=features, decoder_input_ids=torch.full((len(clips), 1), start)).logits  # [B, 1, V]
    return logits[:, 0].softmax(dim=-1)[:, no_speech]
