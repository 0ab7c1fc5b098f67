"""A pass over JPEGs of 640 x 480 with two workers against torchvision's ImageFolder: pictures a second and ratio.

    python benchmarks/loader.py [--pictures 600] [--repeats 7] [--workers 2]

Ours is what `fit` reads a table's pictures with: decoding, resizing to 224 x 224, batches of bytes with their masks,
targets and keys. The peer is torchvision's ImageFolder in PyTorch's DataLoader with the usual resize and centre crop,
batches of bytes too. The two alternate on the same files; each pass starts its own workers; the seconds are of the
clock. The pictures are those of decode.py.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

import sensorium
from decode import SIZE, photographs
from sensorium.data.records import Records, epoch_batches, load
from sensorium.encoders.image_processor import ImageProcessor, ImageSettings

BATCH = 32


def make(root: Path, count: int) -> None:
    """`count` pictures in two folders of a class each, and a table of them."""
    rows = []
    for number, data in enumerate(photographs(count, 640, 480)):
        path = root / "pictures" / str(number % 2) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        rows.append({"photo": str(path), "kind": f"class {number % 2}"})
    pd.DataFrame(rows).to_csv(root / "pictures.csv", index=False)


def ours(root: Path, workers: int) -> Callable[[], int]:
    """A pass of our loader, which gives how many pictures it saw."""
    table = sensorium.read(root / "pictures.csv", target="kind", quiet=True)
    records = Records(table, {"photo": ImageProcessor(ImageSettings(size=SIZE))})

    def run() -> int:
        items = [(rows, None) for (rows,) in epoch_batches(len(records), BATCH, seed=0, epoch=0)]
        return sum(len(batch.inputs["photo"]["pixels"]) for batch in load(records, items, workers))

    return run


def peer(root: Path, workers: int) -> Callable[[], int]:
    """A pass of the peer."""
    steps = transforms.Compose([transforms.Resize(SIZE), transforms.CenterCrop(SIZE), transforms.PILToTensor()])
    folder = ImageFolder(root / "pictures", steps)
    return lambda: sum(len(x) for x, _ in DataLoader(folder, BATCH, shuffle=True, num_workers=workers))


def main() -> None:
    """Prints a line a repeat, then the medians, the ratio and its spread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        make(Path(temporary), arguments.pictures)
        passes = {"ours": ours(Path(temporary), arguments.workers), "peer": peer(Path(temporary), arguments.workers)}
        taken: dict[str, list[float]] = {"ours": [], "peer": []}
        for repeat in range(arguments.repeats):
            for name, run in passes.items():
                began = time.perf_counter()
                assert run() == arguments.pictures
                taken[name].append(time.perf_counter() - began)
            print(f"repeat {repeat}: ours {taken['ours'][-1]:.2f} s, peer {taken['peer'][-1]:.2f} s", flush=True)
    ratios = np.array(taken["peer"]) / np.array(taken["ours"])
    for name, seconds in taken.items():
        print(f"{name}: {arguments.pictures / np.median(seconds):.0f} pictures a second")
    print(f"ratio: {np.median(ratios):.2f} times, from {ratios.min():.2f} to {ratios.max():.2f}")


if __name__ == "__main__":
    main()
