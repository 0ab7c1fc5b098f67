"""Mistakes with pictures and sounds: what has to be so before each under "Pictures and sounds" in docs/mistakes.md."""

import io
import sys
import wave
from typing import Any

import numpy as np
from PIL import Image

from tests.data.media.films import film, gray
from tests.reviews import put


def picture(values: np.ndarray) -> bytes:
    """A TIFF of these values."""
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF")
    return file.getvalue()


def voice(seconds: float) -> bytes:
    """A silent WAV of 1,000 hertz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setparams((1, 2, 1000, 0, "NONE", "not compressed"))
        made.writeframes(bytes(round(2000 * seconds)))
    return file.getvalue()


def without_heic(scene: Any) -> None:
    """A HEIC picture where the package that reads them is not installed."""
    scene.monkeypatch.setitem(sys.modules, "pillow_heif", None)
    put("photos/2.png", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))


def page() -> bytes:
    """A TIFF whose header says 9,000 x 9,000 pixels."""
    return picture(np.zeros((9000, 9000), bool))


SCENES = {
    "A picture does not say how bright white is": lambda scene: put(
        "photos/2.png", picture(np.ones((9, 9), np.float32))
    ),
    "A TIFF is far too large": lambda scene: put("photos/2.png", page()),
    "A HEIC picture, and its package is not installed": without_heic,
    "A sound is cut short": lambda scene: put("voices/2.wav", voice(2)[:-1000]),
    "A sound is too long": lambda scene: put("voices/2.wav", voice(601)),
    "A film without a sound track stands in a column of sounds": lambda scene: put("voices/2.wav", film(gray(5))),
    "A sound holds nothing": lambda scene: put("voices/2.wav", voice(0)),
}
