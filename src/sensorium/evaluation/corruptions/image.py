"""Corrupted pictures, uint8 [H, W, 3]: noise, blur, JPEG."""

import io

import numpy as np
from PIL import Image, ImageFilter

from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.evaluation.corruptions.base import Corruption, plain, shares


def image_corruptions(spec: InputSpec, table: Table) -> list[Corruption]:
    """White noise, Gaussian blur, JPEG compression."""
    return [NOISE, BLUR, JPEG]


def _add_noise(image: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    noise = generator.standard_normal(image.shape, dtype=np.float32)
    return (image + 255 * strength * noise).round().clip(0, 255).astype(np.uint8)


def _blur(image: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    radius = strength * min(image.shape[:2])
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def _compress(image: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(strength))
    return np.asarray(Image.open(file).convert("RGB"))


NOISE = Corruption("noise", "standard deviation, of white", plain(0.05, 0.1, 0.2, 0.3, 0.5), _add_noise)
BLUR = Corruption("blur", "radius, of the shorter side", shares(0.01, 0.02, 0.04, 0.08, 0.16), _blur)
JPEG = Corruption("JPEG", "quality", plain(40, 20, 10, 5, 2), _compress)
