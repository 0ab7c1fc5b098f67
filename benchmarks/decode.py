"""JPEG to 224 x 224 against Pillow with torchvision's resize and centre crop: milliseconds, ratio, difference.

    python benchmarks/decode.py [--pictures 12] [--repeats 15]

One process, one thread; the ways alternate on the same pictures, and what is taken is processor time, which others on
the machine disturb least. The pictures are cut out of scikit-learn's two photographs, mirrored on and on, and written
by Pillow at quality 90: real detail at every size. `full` is our decoding of all pixels, `reduced` the one that `fit`
uses, both with the geometry and the interpolation of the peer: bilinear as it is shipped, and bicubic, our default.
Differences are the mean over all bytes, in grey levels.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision import transforms

from sensorium.data.media import image
from sensorium.encoders.image_processor import ImageProcessor, ImageSettings

SIZE = 224
Way = Callable[[bytes], torch.Tensor]


def photographs(count: int, width: int, height: int, quality: int = 90) -> Iterator[bytes]:
    """JPEGs cut at random places out of photographs that are mirrored on and on."""
    rng, originals = np.random.default_rng(0), load_sample_images().images
    for number in range(count):
        photograph = originals[number % 2]
        above, beside = (rng.integers(0, side) for side in photograph.shape[:2])
        edges = ((above, height), (beside, width), (0, 0))
        cut = np.pad(photograph, edges, mode="symmetric")[-height:, -width:]
        file = io.BytesIO()
        Image.fromarray(cut).save(file, "JPEG", quality=quality)
        yield file.getvalue()


def ours(interpolation: str, jpeg: str) -> Way:
    """The way of a record's picture to its encoder."""
    settings = ImageSettings(size=SIZE, fit="crop", interpolation=interpolation, jpeg=jpeg)
    processor = ImageProcessor(settings)
    return lambda data: processor(image.decode(data, Path(), **processor.decoding))["pixels"]


def peer(interpolation: str) -> Way:
    """Pillow, torchvision's usual resize and centre crop, and a tensor of bytes."""
    steps = transforms.Compose(
        [
            transforms.Resize(SIZE, transforms.InterpolationMode(interpolation)),
            transforms.CenterCrop(SIZE),
            transforms.PILToTensor(),
        ]
    )
    return lambda data: steps(Image.open(io.BytesIO(data)).convert("RGB"))


def measure(ways: dict[str, Way], pictures: list[bytes], repeats: int) -> dict[str, np.ndarray]:
    """Milliseconds of processor time a picture of each way, float [repeats]."""
    taken = {name: np.zeros(repeats) for name in ways}
    for repeat in range(-1, repeats):  # once to warm up
        for name, way in ways.items():
            began = time.process_time()
            for data in pictures:
                way(data)
            taken[name][repeat] = (time.process_time() - began) / len(pictures) * 1000
    return taken


def main() -> None:
    """Prints a line a size, interpolation and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for width, height in ((640, 480), (2000, 1500)):
        pictures = list(photographs(arguments.pictures, width, height))
        print(f"{width} x {height}: {len(pictures)} pictures of {np.mean(list(map(len, pictures))) / 1000:.0f} kB")
        for interpolation in ("bilinear", "bicubic"):
            ways = {"peer": peer(interpolation)} | {name: ours(interpolation, name) for name in ("full", "reduced")}
            taken = measure(ways, pictures, arguments.repeats)
            print(f"  {interpolation}: peer {np.median(taken['peer']):.2f} ms")
            for name in ("full", "reduced"):
                ratios = taken["peer"] / taken[name]
                gaps = [(ways[name](one).float() - ways["peer"](one)).abs().mean() for one in pictures]
                print(
                    f"    {name:8} {np.median(taken[name]):6.2f} ms, {np.median(ratios):.2f} times "
                    f"({np.percentile(ratios, 10):.2f} to {np.percentile(ratios, 90):.2f}), "
                    f"{np.mean(gaps):.2f} grey levels apart (at most {max(gaps):.2f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
