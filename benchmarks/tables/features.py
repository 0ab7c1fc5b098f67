"""Features of frozen encoders whose weights are at hand: of texts, of pictures and of sounds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
from benchmarks.tables.sources import Table
from benchmarks.tables.weights import ARCHITECTURE
from PIL import Image
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from transformers import WhisperFeatureExtractor

from sensorium.data.media import audio

BATCH = 32
PIXELS, RATE, LONGEST = 224, 16_000, 30  # a picture's side; a sound's samples a second, seconds


def frozen_features(table: Table, rows: pd.DataFrame, folder: Path, weights: dict[str, str]) -> dict[str, np.ndarray]:
    """By text or media column float32 [N, D], NaN in a row that lacks it; kept in `folder`/features.

    weights: paths of the weights by encoder, "minilm", "efficientnet" and "whisper"; an encoder without is left out.
    """
    encoders = [
        ("minilm", table.texts, text_features),
        ("efficientnet", table.pictures, picture_features),
        ("whisper", table.sounds, sound_features),
    ]
    features = {}
    for name, columns, encode in encoders:
        for column in columns if weights.get(name) else ():
            path = folder / "features" / f"{column}.npy"
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                np.save(path, present_features(rows[column], folder, weights[name], encode))
            features[column] = np.load(path)
    return features


def present_features(cells: pd.Series, folder: Path, weights: str, encode: Callable) -> np.ndarray:
    """float32 [N, D] of `encode`, which is given every distinct cell once."""
    codes, distinct = pd.factorize(cells)  # -1 where a cell is absent
    encoded = encode(list(distinct), folder, weights)
    features = np.full((len(cells), encoded.shape[1]), np.nan, np.float32)
    features[codes >= 0] = encoded[codes[codes >= 0]]
    return features


def text_features(texts: list[str], folder: Path, weights: str) -> np.ndarray:
    """MiniLM's sentence embeddings, [N, 384]: the mean over tokens."""
    transformer = Transformer(weights)
    pooling = Pooling(transformer.get_embedding_dimension())
    return SentenceTransformer(modules=[transformer, pooling], device="cpu").encode(texts, show_progress_bar=False)


def picture_features(paths: list[str], folder: Path, weights: str) -> np.ndarray:
    """EfficientNet-lite0's pooled features, [N, 1280]."""
    path = Path(weights) / "pytorch_model.bin"
    model = timm.create_model(ARCHITECTURE, num_classes=0, checkpoint_path=str(path)).eval()
    batches = []
    for start in range(0, len(paths), BATCH):
        pictures = [Image.open(folder / path).convert("RGB") for path in paths[start : start + BATCH]]
        pixels = np.stack([np.asarray(picture.resize((PIXELS, PIXELS)), np.float32) for picture in pictures])
        with torch.inference_mode():
            batches.append(model(torch.from_numpy(pixels / 127.5 - 1).permute(0, 3, 1, 2)).numpy())
    return np.concatenate(batches)


def sound_features(paths: list[str], folder: Path, weights: str) -> np.ndarray:
    """The mean over a sound's frames in the encoder of a Whisper that CTranslate2 reads, [N, D]."""
    import ctranslate2

    model = ctranslate2.models.Whisper(weights, intra_threads=1)
    sounds = [audio.decode(path, folder, RATE) for path in paths]
    seconds = min(LONGEST, int(np.ceil(max(len(sound) for sound in sounds) / RATE)))
    extract = WhisperFeatureExtractor(feature_size=model.n_mels, chunk_length=seconds)
    features = []
    for sound in sounds:
        spectrum = extract(sound, sampling_rate=RATE, return_tensors="np").input_features
        encoded = model.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(spectrum)), to_cpu=True)
        frames = np.array(encoded)[0]  # [50 a second, D]
        features.append(frames[: max(1, round(len(sound) / RATE * 50))].mean(axis=0))
    return np.stack(features)
