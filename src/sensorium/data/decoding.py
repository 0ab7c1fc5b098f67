"""One table of decoders: what each kind of input's raw value becomes."""

from pathlib import Path
from typing import Any

from sensorium.data import audio, image, tabular, text

_DECODERS = {"text": text.decode, "image": image.decode, "audio": audio.decode, "table": tabular.decode}
_MEASURES = {"image": image.measure, "audio": audio.measure}


def decode(modality: str, value: Any, root: Path, **options: Any) -> Any:
    """The decoded value of an input: str, uint8 [H, W, 3], float32 [S], or a dictionary of numbers and categories.

    `root` is the folder that paths start from; `options` are the decoder's, such as audio's `rate` in hertz. Raises
    ValueError with a reason when the value cannot be decoded.
    """
    return _DECODERS[modality](value, root, **options)


def measure(modality: str, value: Any, root: Path) -> dict[str, float]:
    """Decodes all of the value; gives an image's `height`, `width` in pixels, a sound's `rate` in hertz, `seconds`."""
    if modality in _MEASURES:
        return _MEASURES[modality](value, root)
    decode(modality, value, root)
    return {}
