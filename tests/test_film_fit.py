"""Films from a table to predictions: sound that is not there, features kept on disk."""

import numpy as np
import pytest
import timm
import torch

import sensorium
from tests.data.media.films import film, gray
from tests.reviews import write

FEW = {"epochs": 1, "batch_size": 6, "refit": False, "workers": 0, "quiet": True}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """films.csv: 16 films, dark or light, of which every fourth has no sound and one record has no film."""
    monkeypatch.chdir(tmp_path)
    wave = (0.3 * np.sin(np.arange(8000) / 4)).astype(np.float32)
    records = []
    for index in range(16):
        frames = gray(4, 32, 32) + np.uint8(150 * (index % 2) + index)
        (tmp_path / f"{index}.mp4").write_bytes(film(frames, sound=None if index % 4 == 3 else wave))
        records.append({"clip": "" if index == 5 else f"{index}.mp4", "light": ("dark", "bright")[index % 2]})
    write("films.csv", records)
    return tmp_path


def test_a_film_without_sound_lacks_one_input_from_fit_to_prediction(folder):
    config = {"frames": 3, "width": 16, "depth": 1, "image": {"config": {"size": 16, "width": 16, "depth": 1}}}
    encoders = {"clip": {"encoder": "video", "config": config}}
    run = sensorium.fit("films.csv", "run", target="light", encoders=encoders, test=0.5, **FEW)
    assert run.model.encoders.names == ["clip", "clip sound"]
    model = sensorium.load("run")
    records = [{"clip": "3.mp4"}, {"clip": "4.mp4"}, {"clip": None}, {}, {"clip": (gray(4), 10.0)}]
    said = model.predict(records)
    both = ["clip", "clip sound"]
    assert [one["absent"] for one in said] == [["clip sound"], [], both, both, ["clip sound"]]
    assert said[2]["light"] == said[3]["light"]
    alone = [model.predict([record])[0] for record in records]
    for one, other in zip(said, alone, strict=True):
        assert one["light"]["probabilities"] == pytest.approx(other["light"]["probabilities"], abs=1e-5)
    report = sensorium.evaluate(model, model.read("films.csv"))
    assert report.present == {"clip": 15, "clip sound": 11}


def test_the_features_of_a_pretrained_image_encoder_are_kept_when_nothing_is_learned_over_it(folder):
    torch.manual_seed(0)
    torch.save(timm.create_model("test_efficientnet").state_dict(), "w.pth")
    image = {"encoder": "timm", "config": {"model": "test_efficientnet", "size": 32, "weights": "w.pth"}}
    kept = {"clip": {"encoder": "video", "config": {"frames": 2, "image": image, "over": "mean"}}}
    options = {"target": "light", "columns": {"clip": "video"}, **FEW}
    run = sensorium.fit("films.csv", "kept", encoders=kept, **options)
    assert list((folder / "kept" / "features").rglob("pooled.bin"))
    assert not any(weight.requires_grad for weight in run.model.encoders["clip"].parameters())
    learned = {"clip": {"encoder": "video", "config": {"frames": 2, "image": image, "width": 16, "depth": 1}}}
    run = sensorium.fit("films.csv", "learned", encoders=learned, **options)
    assert not list((folder / "learned").rglob("pooled.bin"))
    encoder = run.model.encoders["clip"]
    assert not any(weight.requires_grad for weight in encoder.image.parameters())
    assert all(weight.requires_grad for weight in encoder.frames.parameters())
    given = torch.load("w.pth", weights_only=True)
    assert torch.equal(encoder.image.model.conv_stem.weight.cpu(), given["conv_stem.weight"])
