"""One table of decoders: what each kind of input's raw value becomes."""

from pathlib import Path
from typing import Any

from sensorium.data.media import audio, image, points, series, tabular, text, video

_DECODERS = {
    "text": text.decode,
    "image": image.decode,
    "audio": audio.decode,
    "video": video.decode,
    "film sound": video.decode_sound,
    "series": series.decode,
    "points": points.decode,
    "table": tabular.decode,
}
_MEASURES = {
    "image": image.measure,
    "audio": audio.measure,
    "video": video.measure,
    "film sound": video.measure_sound,
    "series": series.measure,
    "points": points.measure,
}
_PARTS = {"film sound": video.has_sound}


def has(decoder: str, value: Any, root: Path) -> bool:
    """Whether the value has what `decoder` reads of it, such as a film its sound, told without decoding it.

    Raises ValueError when it cannot be opened.
    """
    return decoder not in _PARTS or _PARTS[decoder](value, root)


def decode(decoder: str, value: Any, root: Path, **options: Any) -> Any:
    """The decoded value of an input: str, uint8 [H, W, 3], float32 [S], frames and their times, Series, float32 [P, C],
    or a dictionary of numbers and categories; None when the value lacks the part that is asked for, as a film without
    sound does.

    `decoder` is a modality, or the way of reading a part that an input's schema names. `root` is the folder that paths
    start from; `options` are the decoder's, such as audio's `rate` in hertz. Raises ValueError with a reason when the
    value cannot be decoded.
    """
    return _DECODERS[decoder](value, root, **options)


def measure(decoder: str, value: Any, root: Path) -> dict[str, float] | None:
    """Decodes all of the value; gives an image's `height`, `width` in pixels, a sound's `rate` in hertz, `seconds`, a
    film's all of these with its rate in frames a second, a series' `readings`, `channels`, `span` in seconds, a set's
    `points`, `numbers` each; None when the value lacks what is asked for.
    """
    if decoder in _MEASURES:
        return _MEASURES[decoder](value, root)
    decode(decoder, value, root)
    return {}
