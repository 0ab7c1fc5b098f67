"""Corrupted films: each frame as a picture."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.evaluation.corruptions.base import Corruption
from sensorium.evaluation.corruptions.image import BLUR, NOISE


def video_corruptions(spec: InputSpec, table: Table) -> list[Corruption]:
    """White noise and Gaussian blur of every frame."""
    return [corruption._replace(spoil=_each_frame(corruption.spoil)) for corruption in (NOISE, BLUR)]


def _each_frame(spoil: Callable[..., np.ndarray]) -> Callable[..., Any]:
    def spoil_frames(video: Any, strength: float, generator: np.random.Generator) -> Any:
        return video._replace(frames=np.stack([spoil(frame, strength, generator) for frame in video.frames]))

    return spoil_frames
