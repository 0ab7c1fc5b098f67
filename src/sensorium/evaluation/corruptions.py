"""Ways of spoiling one input of each kind, at five strengths: what a bad camera, line, typist or meter does to it.

After Hendrycks and Dietterich 2019, arXiv:1903.12261, who did so for pictures.
"""

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from sensorium.data.media.content import content_id
from sensorium.data.records import Processor
from sensorium.data.schema import InputSpec
from sensorium.data.table import Table

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Corruption(NamedTuple):
    """A way of spoiling a decoded value.

    unit: what its strengths are measured in; `strengths`: five of them, as a reader reads them and as `spoil` takes
    them: (value, strength, generator) -> the spoiled value.
    """

    name: str
    unit: str
    strengths: tuple[tuple[str, float], ...]
    spoil: Callable[[Any, float, np.random.Generator], Any]


class Corrupted:
    """A processor whose values are spoiled first. Chance is a function of the value, the same at every strength."""

    def __init__(self, processor: Processor, corruption: Corruption, strength: float):
        self.processor, self.corruption, self.strength = processor, corruption, strength
        self.decoding, self.pad = processor.decoding, processor.pad

    def __call__(self, value: Any, augment: bool = False) -> dict[str, Any]:
        """The tensors of the spoiled `value`."""
        generator = np.random.default_rng([abs(content_id(value)), len(self.corruption.name)])
        return self.processor(self.corruption.spoil(value, self.strength, generator), augment)


def corruptions(spec: InputSpec, table: Table) -> list[Corruption]:
    """The ways of spoiling an input; how much a number may move follows from its spread in `table`."""
    if spec.modality == "table":
        return [_cells(spec, table)]
    if spec.modality == "video":
        return [one._replace(spoil=_each_frame(one.spoil)) for one in _IMAGE[:2]]
    return list({"image": _IMAGE, "audio": _AUDIO, "text": _TEXT, "series": _SERIES, "points": _POINTS}[spec.modality])


def _shares(*each: float) -> tuple[tuple[str, float], ...]:
    return tuple((f"{one:.0%}", one) for one in each)


def _plain(*each: float) -> tuple[tuple[str, float], ...]:
    return tuple((f"{one:g}", one) for one in each)


def _noisy(image: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    noise = generator.standard_normal(image.shape, dtype=np.float32)
    return (image + 255 * strength * noise).round().clip(0, 255).astype(np.uint8)


def _blurred(image: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    radius = strength * min(image.shape[:2])
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def _pressed(image: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(strength))
    return np.asarray(Image.open(file).convert("RGB"))


def _each_frame(spoil: Callable[..., np.ndarray]) -> Callable[..., Any]:
    def frames(film: Any, strength: float, generator: np.random.Generator) -> Any:
        return film._replace(frames=np.stack([spoil(frame, strength, generator) for frame in film.frames]))

    return frames


def _hissing(sound: np.ndarray, decibels: float, generator: np.random.Generator) -> np.ndarray:
    power = float(np.sqrt(np.mean(sound.astype(np.float64) ** 2)))
    noise = generator.standard_normal(len(sound)) * power * 10 ** (-decibels / 20)
    return (sound + noise).clip(-1, 1).astype(np.float32)


def _broken_up(sound: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    pieces = np.array_split(np.arange(len(sound)), 20)
    lost = generator.permutation(20)[: round(20 * strength)]
    spoiled = sound.copy()
    for place in lost:
        spoiled[pieces[place]] = 0
    return spoiled


def _mistyped(text: str, strength: float, generator: np.random.Generator) -> str:
    letters = list(text)
    for place in np.flatnonzero(generator.random(len(letters)) < strength):
        way = generator.integers(3)
        if way == 0 and place + 1 < len(letters):
            letters[place], letters[place + 1] = letters[place + 1], letters[place]
        elif way == 1 and len(text) > 1:
            letters[place] = ""
        else:
            letters[place] = LETTERS[generator.integers(len(LETTERS))]
    return "".join(letters) or text[:1]


def _forgotten(text: str, strength: float, generator: np.random.Generator) -> str:
    words = text.split()
    kept = generator.random(len(words)) >= strength
    if words and not kept.any():
        kept[generator.integers(len(words))] = True
    return " ".join(word for word, stays in zip(words, kept, strict=True) if stays)


def _drifting(series: Any, strength: float, generator: np.random.Generator) -> Any:
    spread = np.nan_to_num(pd.DataFrame(series.values).std().to_numpy())  # [C]
    noise = generator.standard_normal(series.values.shape) * spread * strength
    return series._replace(values=(series.values + noise).astype(series.values.dtype))


def _failing(series: Any, strength: float, generator: np.random.Generator) -> Any:
    kept = generator.random(len(series.times)) >= strength
    kept[generator.integers(len(kept))] = True
    return series._replace(times=series.times[kept], values=series.values[kept])


def _shaken(points: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    noise = generator.standard_normal(points.shape) * points.std(axis=0) * strength
    return (points + noise).astype(np.float32)


def _thinned(points: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    kept = generator.random(len(points)) >= strength
    kept[generator.integers(len(kept))] = True
    return points[kept]


_IMAGE = (
    Corruption("noise", "standard deviation, of white", _plain(0.05, 0.1, 0.2, 0.3, 0.5), _noisy),
    Corruption("blur", "radius, of the shorter side", _shares(0.01, 0.02, 0.04, 0.08, 0.16), _blurred),
    Corruption("JPEG", "quality", _plain(40, 20, 10, 5, 2), _pressed),
)
_AUDIO = (
    Corruption("noise", "decibels that the sound is louder", _plain(20, 10, 5, 0, -5), _hissing),
    Corruption("gaps", "share silenced", _shares(0.1, 0.2, 0.4, 0.6, 0.8), _broken_up),
)
_TEXT = (
    Corruption("typing errors", "share of letters", _shares(0.02, 0.05, 0.1, 0.2, 0.4), _mistyped),
    Corruption("lost words", "share of words", _shares(0.1, 0.2, 0.4, 0.6, 0.8), _forgotten),
)
_SERIES = (
    Corruption("noise", "standard deviations of the channel", _plain(0.1, 0.25, 0.5, 1, 2), _drifting),
    Corruption("gaps", "share of readings lost", _shares(0.1, 0.2, 0.4, 0.6, 0.8), _failing),
)
_POINTS = (
    Corruption("noise", "standard deviations of the set", _plain(0.01, 0.02, 0.05, 0.1, 0.2), _shaken),
    Corruption("lost points", "share of points", _shares(0.1, 0.2, 0.4, 0.6, 0.8), _thinned),
)


def _cells(spec: InputSpec, table: Table) -> Corruption:
    """Numbers moved by so many of their standard deviations; a category changed with a fifth of that chance."""
    kinds = {name: table.schema.column(name).kind for name in spec.columns}
    spreads = {
        name: float(np.nan_to_num(np.nanstd(table.cells(name, "number"))))
        for name, kind in kinds.items()
        if kind == "number"
    }
    others = {
        name: sorted({str(one) for one in table.cells(name, kind) if not pd.isna(one)})
        for name, kind in kinds.items()
        if kind != "number"
    }

    def spoil(row: dict[str, Any], strength: float, generator: np.random.Generator) -> dict[str, Any]:
        """The spoiled row; every cell draws alike at each strength."""
        spoiled = {}
        for name, value in row.items():
            noise, change = generator.standard_normal(), generator.random()
            if value is None:
                spoiled[name] = None
            elif name in spreads:
                spoiled[name] = value + noise * spreads[name] * strength
            else:
                spoiled[name] = others[name][int(change * 1e9) % len(others[name])] if change < strength / 5 else value
        return spoiled

    both = "a category changes with a fifth of that chance" if others else ""
    unit = "; ".join(part for part in ("standard deviations of the number" if spreads else "", both) if part)
    return Corruption("noise", unit, _plain(0.25, 0.5, 1, 2, 4), spoil)
