"""Fingerprints of pictures and sounds to compare them by, and which records' fingerprints or texts are nearest."""

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy import signal, sparse
from scipy.spatial import cKDTree
from sklearn.feature_extraction.text import TfidfVectorizer

from sensorium.data.media import audio, image

RATE = 8000  # hertz of the sounds that are compared
SECONDS = 20.0  # of a sound that are compared
SIDE = 16  # pixels of a picture's thumbnail
LENGTH = SIDE * SIDE * 3  # bytes of a fingerprint
FEWEST_WORDS = 3  # of a text that can be a copy: shorter ones are equal by chance

_PITCHES, _TIMES = 24, 32  # of a sound's fingerprint, which together are LENGTH
_WINDOW = 256  # samples of a spectrogram
_EDGE = 0.05  # share of a sound's energy at both ends that does not count, so that silence around it does not
_COMPRESSION = 0.4  # power to this power: noise below the sound counts little, and so does loudness within it
_SILENT = 1e-4
_LEAST_SPREAD = 2.0  # levels of 256 under which there is nothing to compare
_BRIGHTER, _STRONGER = 50.0, 1.6  # a copy is at most so many levels brighter, and has so much more contrast
_DIMENSIONS = 7  # that fingerprints are searched in
_SAMPLED = 4000  # fingerprints that these dimensions are learned from
_NEIGHBOURS = 4  # of each fingerprint that are compared in full
_BLOCK = 4096
# Words; of scripts without spaces each letter is one.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
_LETTERS = 30_000_000  # of all texts that are compared: of each text the first ones, between these bounds
_FEWEST_LETTERS, _MOST_LETTERS = 300, 4000
_RARE_WORDS = 8  # of each text, by which others are looked up
_MOST_SHARING = 2_000_000  # texts that share a rare word, times the number of texts, between these bounds
_FEWEST_TEXTS, _MOST_TEXTS = 20, 100


class Neighbours(NamedTuple):
    """Pairs of M values that may be near, int64 [pairs, 2], and how far apart they are, float64 [pairs], 0 to 1."""

    pairs: np.ndarray
    distances: np.ndarray


def picture_fingerprint(pixels: np.ndarray) -> np.ndarray:
    """uint8 [LENGTH] of a picture uint8 [H, W, 3]: its thumbnail, in which every pixel counts; 0 for one colour."""
    if not np.ptp(pixels.reshape(-1, 3), axis=0).any():
        return np.zeros(LENGTH, dtype=np.uint8)
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX)).reshape(-1)


def sound_fingerprint(samples: np.ndarray) -> np.ndarray:
    """uint8 [LENGTH] of a sound float32 [S] at RATE: pitch by time, without its ends; 0 for silence."""
    samples = samples[: int(SECONDS * RATE)]
    if np.abs(samples).max(initial=0) < _SILENT:
        return np.zeros(LENGTH, dtype=np.uint8)
    energy = np.cumsum(samples.astype(np.float64) ** 2)
    start, end = np.searchsorted(energy, np.array([_EDGE, 1 - _EDGE]) * energy[-1])
    samples = samples[start : end + 1]
    samples = np.pad(samples, (0, max(0, _WINDOW - len(samples))))
    power = signal.spectrogram(samples, RATE, nperseg=_WINDOW, noverlap=_WINDOW * 3 // 4)[2]  # [frequencies, F]
    loudness = power**_COMPRESSION
    picture = Image.fromarray((loudness / max(float(loudness.max()), 1e-12) * 255).astype(np.uint8))
    return np.asarray(picture.resize((_TIMES, _PITCHES), Image.Resampling.BOX)).reshape(-1)


def _look_at_picture(content: Any, root: Path) -> tuple[dict[str, float], np.ndarray]:
    measures, pixels = image.measure_and_decode(content, root, least=SIDE)
    return measures, picture_fingerprint(pixels)


def _listen_to_sound(content: Any, root: Path) -> tuple[dict[str, float], np.ndarray]:
    measures, samples = audio.measure_and_decode(content, root, RATE, SECONDS)
    return measures, sound_fingerprint(samples)


# By decoder: a value's measures and its fingerprint, of one decoding. Raises ValueError as the decoder does.
FINGERPRINTED: dict[str, Callable[[Any, Path], tuple[dict[str, float], np.ndarray]]] = {
    "image": _look_at_picture,
    "audio": _listen_to_sound,
}
CHANNELS = {"image": 3, "audio": 1}  # of a fingerprint, by modality; each is compared by itself


def nearest_fingerprints(fingerprints: np.ndarray, channels: int) -> Neighbours:
    """Each of M fingerprints uint8 [M, LENGTH] with its nearest; a little brightness and contrast count for nothing.

    Distances are 1 less the correlation. Blank fingerprints are near none.
    """
    means, spreads = _levels(fingerprints, channels)
    visible = np.flatnonzero(spreads >= _LEAST_SPREAD)
    if len(visible) < 2:
        return Neighbours(np.zeros((0, 2), dtype=np.int64), np.zeros(0))
    sample = visible[np.linspace(0, len(visible) - 1, min(len(visible), _SAMPLED)).astype(np.int64)]
    sampled = _standardise(fingerprints[sample], channels)
    axes = np.linalg.eigh(sampled.T @ sampled)[1][:, -_DIMENSIONS:]  # [LENGTH, dimensions]
    blocks = [visible[start : start + _BLOCK] for start in range(0, len(visible), _BLOCK)]
    reduced = np.concatenate([_standardise(fingerprints[block], channels) @ axes for block in blocks])
    count = min(_NEIGHBOURS + 1, len(visible))
    neighbours = cKDTree(reduced, balanced_tree=False).query(reduced, k=count)[1]  # [M, count]
    pairs = np.stack([np.repeat(np.arange(len(visible)), count), neighbours.reshape(-1)], axis=1)
    pairs = visible[_unique_pairs(pairs)]
    first, second = pairs.T
    like = np.abs(means[first] - means[second]).max(axis=1) < _BRIGHTER
    like &= np.abs(np.log(spreads[first] / spreads[second])) < np.log(_STRONGER)
    pairs = pairs[like]
    distances = [
        1 - np.einsum("pd,pd->p", *(_standardise(fingerprints[pairs[start : start + _BLOCK, side]], channels)
                                    for side in (0, 1)))
        for start in range(0, len(pairs), _BLOCK)
    ]  # fmt: skip
    return Neighbours(pairs, np.concatenate([np.zeros(0), *distances]))


def _levels(fingerprints: np.ndarray, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """float64 [M, channels] and [M]: the means of the channels, and the standard deviation within them, in levels."""
    means, variances = [], []
    for start in range(0, len(fingerprints), _BLOCK):
        block = fingerprints[start : start + _BLOCK]
        block = block.reshape(len(block), -1, channels)
        means.append(block.mean(axis=1))
        variances.append(block.var(axis=1).mean(axis=1))
    return np.concatenate(means), np.sqrt(np.concatenate(variances))


def _standardise(fingerprints: np.ndarray, channels: int) -> np.ndarray:
    """float32 [m, LENGTH]: each channel around 0, the whole of length 1."""
    levels = fingerprints.reshape(len(fingerprints), -1, channels).astype(np.float32)
    levels = (levels - levels.mean(axis=1, keepdims=True)).reshape(len(fingerprints), -1)
    return levels / np.maximum(np.linalg.norm(levels, axis=1, keepdims=True), 1e-6)


def _unique_pairs(pairs: np.ndarray) -> np.ndarray:
    """int64 [pairs, 2]: each pair of two different positions once."""
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    width = int(pairs.max(initial=0)) + 1
    codes = np.unique(pairs[:, 0] * width + pairs[:, 1])
    return np.stack([codes // width, codes % width], axis=1)


def split_words(text: str) -> list[str]:
    """The words of a text in small letters, without punctuation."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def nearest_texts(texts: list[str]) -> Neighbours:
    """Pairs of M different texts, of words with single spaces, that share rare words or pairs of words.

    Distances are 1 less the cosine of words and pairs of words, each weighted by its rarity (TF-IDF).
    """
    letters = int(np.clip(_LETTERS // max(len(texts), 1), _FEWEST_LETTERS, _MOST_LETTERS))
    vectorizer = TfidfVectorizer(
        tokenizer=str.split, token_pattern=None, lowercase=False, ngram_range=(1, 2), dtype=np.float32
    )
    try:
        weights = vectorizer.fit_transform(text[:letters] for text in texts).tocsr()  # [M, terms]
    except ValueError:  # no text has a word
        return Neighbours(np.zeros((0, 2), dtype=np.int64), np.zeros(0))
    limit = int(np.clip(_MOST_SHARING // len(texts), _FEWEST_TEXTS, _MOST_TEXTS))
    frequency = np.bincount(weights.indices, minlength=weights.shape[1])
    sharing = sparse.csr_array(weights[:, (frequency >= 2) & (frequency <= limit)])
    sharing.data[:] = 1
    rare = _rarest(sharing)
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    columns = sharing.T.tocsr()
    for start in range(0, len(texts), _BLOCK):
        shared = (rare[start : start + _BLOCK] @ columns).tocoo()
        pairs.append(_unique_pairs(np.stack([shared.row.astype(np.int64) + start, shared.col], axis=1)))
    pairs = _unique_pairs(np.concatenate(pairs))
    distances = [np.zeros(0)]
    for start in range(0, len(pairs), 16 * _BLOCK):
        first, second = (weights[pairs[start : start + 16 * _BLOCK, side]] for side in (0, 1))
        distances.append(1 - np.asarray(first.multiply(second).sum(axis=1), dtype=np.float64).reshape(-1))
    return Neighbours(pairs, np.concatenate(distances))


def _rarest(sharing: sparse.csr_array) -> sparse.csr_array:
    """The entries of a sparse array [M, terms] in the terms that are rarest, for each row."""
    frequency = np.bincount(sharing.indices, minlength=sharing.shape[1])
    counts = np.diff(sharing.indptr)
    row = np.repeat(np.arange(sharing.shape[0]), counts)
    order = np.lexsort((frequency[sharing.indices], row))
    rank = np.arange(len(row)) - np.repeat(sharing.indptr[:-1], counts)
    entries = order[rank < _RARE_WORDS]
    return sparse.csr_array(
        (np.ones(len(entries), dtype=np.float32), (row[entries], sharing.indices[entries])), shape=sharing.shape
    )


def wave_distance(first: np.ndarray, second: np.ndarray) -> float:
    """1 less the correlation of two waves float32 [S] at the shift where it is largest; two takes of a word are far."""
    norm = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return 1 - float(np.abs(signal.correlate(first, second, method="fft")).max()) / norm if norm > 0 else 1.0
