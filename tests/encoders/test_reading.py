"""Each encoder solves a task that only reading its input properly solves, and falls to chance once that is scrambled.

What is scrambled is what the task is about: the order of words, of moments, of samples. A linear layer reads the
encoder's summary; both learn for a few seconds.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModel, Wav2Vec2Config, Wav2Vec2FeatureExtractor

from sensorium.encoders import ENCODERS

RATE = 4000
SMALL_SOUND = {"bands": 32, "augmentation": None, "dropout": 0.0, "width": 32}
SOUND = {
    "convolutions": ("audio_conv", {"channels": 8}),
    "convolutions over a cepstrum": ("audio_conv", {"channels": 8, "front": "mfcc"}),
    "gru": ("audio_recurrent", {}),
    "lstm": ("audio_recurrent", {"cell": "lstm"}),
    "gru over a cepstrum": ("audio_recurrent", {"front": "mfcc"}),
}
TEXT = {
    "gru": ("text_recurrent", {}),
    "lstm": ("text_recurrent", {"cell": "lstm"}),
    "gru one way": ("text_recurrent", {"bidirectional": False}),
    "causal": ("text_causal", {}),
}


def built(name: str, options: dict[str, Any], values: Sequence[Any] = ()) -> nn.Module:
    torch.manual_seed(0)
    kind = ENCODERS[name]
    return kind.build(kind.Config(**options), values, {"rate": RATE, "seconds": 0.5}, True)


def learned(encoder: nn.Module, values: Sequence[Any], labels: np.ndarray, steps: int, rate: float = 3e-3) -> Callable:
    """The accuracy of `encoder` and a linear layer trained on these, as a function of values and labels."""
    head = nn.Linear(encoder.dim, int(labels.max()) + 1)
    trained = [weight for weight in [*encoder.parameters(), *head.parameters()] if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate)
    items, target = [encoder.processor(value) for value in values], torch.tensor(labels)
    encoder.train()
    for _ in range(steps):
        rows = torch.randint(len(items), (64,))
        said = head(encoder(encoder.processor.pad([items[row] for row in rows])).pooled)
        optimizer.zero_grad()
        nn.functional.cross_entropy(said, target[rows]).backward()
        optimizer.step()

    @torch.no_grad()
    def accuracy(values: Sequence[Any], labels: np.ndarray) -> float:
        encoder.eval()
        said = head(encoder(encoder.processor.pad([encoder.processor(value) for value in values])).pooled)
        return float(np.mean(said.argmax(dim=1).numpy() == labels))

    return accuracy


def sentences(count: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Seven words, `red` and `blue` among them in either order: which is first is the label."""
    chance = random.Random(seed)
    texts, labels = [], np.arange(count) % 2
    for label in labels:
        words = chance.choices(["a", "the", "house", "tree", "by", "of", "stands"], k=7)
        first, second = sorted(chance.sample(range(7), 2))
        words[first], words[second] = ("red", "blue") if label else ("blue", "red")
        texts.append(" ".join(words))
    return texts, labels


def shuffled(text: str, chance: random.Random) -> str:
    words = text.split()
    chance.shuffle(words)
    return " ".join(words)


@pytest.mark.parametrize("which", TEXT)
def test_the_order_of_words(which):
    name, options = TEXT[which]
    texts, labels = sentences(512, 0)
    encoder = built(name, {"width": 32, "augmentation": None, "dropout": 0.0} | options, texts)
    accuracy = learned(encoder, texts, labels, 150, 1e-2)
    unseen, truth = sentences(400, 1)
    chance = random.Random(2)
    assert accuracy(unseen, truth) >= 0.9
    assert abs(accuracy([shuffled(text, chance) for text in unseen], truth) - 0.5) <= 0.15


def tones(count: int, seed: int, scrambled: bool = False) -> tuple[list[np.ndarray], np.ndarray]:
    """A tone of one of four pitches, of any phase and loudness, beginning anywhere; or its samples in any order."""
    chance = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    pitches = np.array([400, 600, 900, 1350])[labels]
    clips = [placed(np.full(RATE // 4, hertz), chance) for hertz in pitches]
    return [chance.permutation(clip) if scrambled else clip for clip in clips], labels


def sweeps(count: int, seed: int, scrambled: bool = False) -> tuple[list[np.ndarray], np.ndarray]:
    """Eight tones that rise from 400 to 1,350 Hz, or fall from there: the same in another order; or in any."""
    chance = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    rising = np.geomspace(400, 1350, 8)
    steps = [rising if label else rising[::-1] for label in labels]
    steps = [chance.permutation(one) if scrambled else one for one in steps]
    return [placed(np.repeat(one, RATE // 32), chance) for one in steps], labels


def placed(hertz: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Half a second in which a tone of these pitches, a quarter of a second of them, begins after any time."""
    samples = chance.standard_normal(RATE // 2) * 1e-3
    start = chance.integers(len(samples) - len(hertz))
    phase = chance.uniform(0, 2 * np.pi) + 2 * np.pi * np.cumsum(hertz) / RATE
    samples[start : start + len(phase)] += chance.uniform(0.1, 0.5) * np.sin(phase)
    return samples.astype(np.float32)


@pytest.mark.parametrize(("task", "level"), [(tones, 0.25), (sweeps, 0.5)])
@pytest.mark.parametrize("which", SOUND)
def test_pitch_of_any_phase_and_order_in_time(which, task, level):
    name, options = SOUND[which]
    clips, labels = task(256, 0)
    accuracy = learned(built(name, SMALL_SOUND | options), clips, labels, 60)
    assert accuracy(*task(400, 1)) >= 0.9
    assert abs(accuracy(*task(400, 2, scrambled=True)) - level) <= 0.15


def company(scrambled: bool) -> list[str]:
    """Unlabelled texts in which each of 160 words keeps the company of its class; or of any."""
    chance = random.Random(0)
    kept = {0: ["eats", "sleeps", "runs", "wakes"], 1: ["cuts", "drills", "rusts", "breaks"]}
    classes = [place % 2 for place in range(160) for _ in range(12)]
    others = [" ".join(chance.sample(kept[one], 3)) for one in classes]
    if scrambled:
        chance.shuffle(others)
    return [f"{others[place]} thing{place // 12}" for place in range(len(classes))]


@pytest.mark.parametrize(("scrambled", "low", "high"), [(False, 0.9, 1.0), (True, 0.35, 0.65)])
def test_what_words_mean_by_the_company_they_keep(scrambled, low, high):
    options = {"width": 16, "epochs": 30, "augmentation": None}
    encoder = built("word_vectors", options, company(scrambled))
    texts, labels = [f"thing{place}" for place in range(160)], np.arange(160) % 2
    accuracy = learned(encoder, texts[:80], labels[:80], 100, 1e-2)
    assert low <= accuracy(texts[80:], labels[80:]) <= high


def test_a_speech_model_hears_pitch(tmp_path):
    waves = {"conv_dim": (32, 32), "conv_kernel": (40, 4), "conv_stride": (20, 2), "num_feat_extract_layers": 2}
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    places = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    norms = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
    torch.manual_seed(0)
    AutoModel.from_config(Wav2Vec2Config(**waves, **size, **places, **norms)).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(sampling_rate=RATE).save_pretrained(tmp_path)
    encoder = built("transformers_audio", {"model": str(tmp_path), "augmentation": None})
    clips, labels = tones(256, 0)
    accuracy = learned(encoder, clips, labels, 100)
    assert accuracy(*tones(400, 1)) >= 0.9
    assert abs(accuracy(*tones(400, 2, scrambled=True)) - 0.25) <= 0.15
