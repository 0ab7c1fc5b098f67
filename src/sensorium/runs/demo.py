"""The demo: emoji by picture, name and spoken name; category and sentiment learned together."""

from pathlib import Path
from typing import Any

from sensorium.data.datasets.emoji import emoji
from sensorium.nn.packs import PACKS
from sensorium.runs.run import Run, fit


def demo(out: str | Path = "runs/demo", data: str | Path = "runs/demo-data") -> Run:
    """Makes the records in the folder `data`, if they are not there yet, and trains on them into the folder `out`,
    again each time.

    Raises UserError when the packages of the extra `demo` are missing.
    """
    table = emoji(Path(data))
    voice = {"encoder": "audio_conv", "config": {"rate": 8000, "seconds": 1.5, "window": 0.04, "hop": 0.02}}
    encoders = pretrained() | {"voice": voice}
    return fit(
        table, out, overwrite=True, target={"category": "class", "sentiment": "number"}, group="family", key="emoji",
        columns={"name": "text"}, encoders=encoders, test=0.2, epochs=8,
    )  # fmt: skip


def pretrained() -> dict[str, dict[str, Any]]:
    """The encoders of `name` and `picture` whose weights packages bring: MiniLM, EfficientNet-lite0."""
    text, image = PACKS["minilm"], PACKS["efficientnet-lite0"]
    return {
        "name": {"encoder": text.encoder, "config": dict(text.config)},
        "picture": {"encoder": image.encoder, "config": dict(image.config) | {"size": 160}},
    }
