"""One table of decoders: what each kind of input's raw value becomes."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sensorium.data.media import audio, image, points, series, tabular, text, video

# A decoder's name is an input's modality; that of a video's audio track is "film sound", as the schema has it.
_DECODERS = {
    "text": text.decode,
    "image": image.decode,
    "audio": audio.decode,
    "video": video.decode,
    "film sound": video.decode_audio,
    "series": series.decode,
    "points": points.decode,
    "table": tabular.decode,
}
_MEASURES = {
    "image": image.measure,
    "audio": audio.measure,
    "video": video.measure,
    "film sound": video.measure_audio,
    "series": series.measure,
    "points": points.measure,
}
_TRACK_CHECKS = {"film sound": video.has_audio}


def can_decode(decoder: str, value: Any, root: Path) -> bool:
    """Whether `value` has what `decoder` reads, without decoding it. Raises ValueError when it cannot be opened."""
    return decoder not in _TRACK_CHECKS or _TRACK_CHECKS[decoder](value, root)


def decode(decoder: str, value: Any, root: Path, **options: Any) -> Any:
    """The decoded value of an input: str, uint8 [H, W, 3], float32 [S], Video (frames and their times), Series, float32
    [P, C], or a dictionary of numbers and categories; None when the value lacks what the decoder reads, as a video
    without audio does.

    `decoder` is a modality, or the way of reading one track that an input's schema names. `root` is the folder that
    paths start from; `options` are the decoder's, such as audio's `rate` in hertz. Raises ValueError with a reason when
    the value cannot be decoded."""
    with _quiet():
        return _DECODERS[decoder](value, root, **options)


def measure(decoder: str, value: Any, root: Path) -> dict[str, float] | None:
    """Decodes all of the value and gives its measures: of an image `height` and `width` in pixels; of audio `rate` in
    hertz, `seconds` and `peak`; of a video the first four, its rate in frames a second; of a series `readings`,
    `channels` and `span` in seconds; of a set of points `points` and `numbers` each; None when the value lacks what is
    read."""
    if decoder in _MEASURES:
        with _quiet():
            return _MEASURES[decoder](value, root)
    decode(decoder, value, root)
    return {}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what libraries warn of while they decode, which names no file: what matters is an error. So a value is
    read alike where warnings are errors.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
