"""What the tokens of a sound learn beside the text that is written of it."""

import wave

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

import sensorium
from sensorium.features import Batch
from sensorium.objectives.aligned_text import AlignedText, transcribed_sound
from sensorium.objectives.step import Step

RATE = 8_000


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Two or three tones each, high or low, and what they are called."""
    folder, rng, rows = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0), []
    for number in range(40):
        high = rng.integers(0, 2, rng.integers(2, 4))
        seconds = np.arange(RATE // 5) / RATE
        samples = np.concatenate([np.sin(2 * np.pi * (1500 if each else 300) * seconds) for each in high])
        with wave.open(str(folder / f"{number}.wav"), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes((8_000 * samples).astype("<i2").tobytes())
        text = " ".join("high" if each else "low" for each in high)
        rows.append({"sound": str(folder / f"{number}.wav"), "text": text})
    return pd.DataFrame(rows)


def fitted(table, folder, **settings):
    options = {"target": {"text": "text"}, "quiet": True, "refit": False, "epochs": 2, "near_copies": False}
    return sensorium.fit(table, folder, **(options | settings))


@pytest.fixture(scope="module")
def run(sounds, tmp_path_factory):
    return fitted(sounds, tmp_path_factory.mktemp("run") / "run")


def test_a_fit_of_what_is_said_aligns_it_too(run):
    log = pd.read_csv(run.folder / "log.csv")
    assert log["loss_text/aligned"].iloc[1] < log["loss_text/aligned"].iloc[0]
    assert np.allclose(log["loss"], log["loss_text"] + 0.5 * log["loss_text/aligned"])


def test_the_loss_is_that_of_each_row_alone(run):
    """Against torch's own of one row at a time, without padding; a row without its sound counts for nothing."""
    model = run.model.eval()
    torch.manual_seed(0)
    objective = AlignedText(model, "text", "sound").eval()
    name = model.encoders.names[0]
    frames, width = 12, model.encoders[name].processor.settings.width
    mask = torch.arange(4 * frames) < torch.tensor([48, 30, 0])[:, None]
    inputs = {name: {"spectrogram": torch.randn(3, 4 * frames, width), "mask": mask}}
    processor = model.heads["text"].processor
    texts = [processor("high low"), processor("low"), processor("high")]
    tokens, real = torch.full((3, 1, 9), processor.pad), torch.zeros(3, 1, 9, dtype=torch.bool)
    for row, text in enumerate(texts):
        tokens[row, 0, : len(text)], real[row, 0, : len(text)] = torch.tensor(text), True
    target = {"mask": torch.ones(3, dtype=torch.bool), "tokens": tokens, "real": real, "weight": torch.ones(3, 1)}
    batch = Batch(inputs, {"text": target}, {name: torch.arange(3)}, ["a", "b", "c"])
    step = Step(model, batch)
    with torch.no_grad():
        loss = objective(step)["text/aligned"]
        expected = 0.0
        for row, text in enumerate(texts[:2]):
            heard = step.fused().tokens[row, step.fused().mask[row]]
            logprobs = objective.labels(heard).log_softmax(dim=1)
            said = torch.tensor([text[:-1]])
            loss_of_text = F.ctc_loss(logprobs[:, None], said, (len(heard),), (said.shape[1],), processor.pad, "sum")
            expected += float(loss_of_text) / len(text)
    assert loss.count == objective.counts(batch)["text/aligned"] == 2
    assert float(loss.total) == pytest.approx(expected, rel=1e-4)


def test_other_models_learn_without(run, sounds, tmp_path):
    assert transcribed_sound(run.model, "text") == "sound"
    other = fitted(sounds.assign(size=np.arange(40) % 7), tmp_path / "run", epochs=1)
    assert transcribed_sound(other.model, "text") is None
