"""Records, processors and stores that the tests of loading share."""

import numpy as np
import pandas as pd
import torch

from sensorium.data.read import read
from sensorium.data.records import Records, epoch_batches
from sensorium.data.table import Table
from sensorium.features import Features

COUNT = 40


class Lengths:
    """A processor for tests: an image's or a text's values as tokens [L], shuffled by noise when augmented."""

    def __init__(self):
        self.decoding = {}

    def __call__(self, value, augment=False):
        values = (
            torch.tensor([float(ord(c)) for c in value])
            if isinstance(value, str)
            else torch.tensor(value[0, :, 0]).float()
        )
        return {"values": values + torch.rand(len(values)) if augment else values}

    def pad(self, items):
        length = max((len(item["values"]) for item in items if item), default=1)
        values, mask = torch.zeros(len(items), length), torch.zeros(len(items), length, dtype=torch.bool)
        for row, item in enumerate(items):
            if item:
                values[row, : len(item["values"])], mask[row, : len(item["values"])] = item["values"], True
        return {"values": values, "mask": mask}


class Store:
    """A store for tests: features of N rows in memory; row 3 lacks the input."""

    views = 1

    def __init__(self, count=COUNT, length=2, width=5):
        self.tokens = torch.arange(count * length * width).float().reshape(count, length, width)  # [N, T, D]
        self.mask = torch.ones(count, length, dtype=torch.bool)
        self.mask[3] = False

    def read(self, rows, views=None):
        return Features(self.tokens[rows], self.mask[rows], self.tokens[rows].mean(dim=1))


def frame():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (2, 3 + i % 4, 3), dtype=np.uint8) for i in range(COUNT)]
    return pd.DataFrame(
        {
            "photo": pd.Series([None if i % 7 == 0 else picture for i, picture in enumerate(pictures)], dtype=object),
            "words": pd.Series([None if i % 5 == 0 else "abcdefgh"[: 1 + i % 8] for i in range(COUNT)], dtype=object),
            "again": pd.Series(["abcdefgh"] * COUNT, dtype=object),
            "kind": pd.Series([None if i == 4 else "xyz"[i % 3] for i in range(COUNT)], dtype=object),
            "price": [float(i) for i in range(COUNT)],
            "name": [f"record {i}" for i in range(COUNT)],
        }
    )


def table(**options) -> Table:
    columns = {"photo": "image", "words": "text", "again": "text"}
    return read(
        frame(), target={"kind": "class", "price": "number"}, key="name", columns=columns, quiet=True, **options
    )


def records(**options) -> Records:
    return Records(table(), {name: Lengths() for name in ("photo", "words", "again")}, **options)


def items(epoch=0, size=7):
    return [(rows, epoch) for step in epoch_batches(COUNT, size, seed=1, epoch=epoch or 0) for rows in step]


def flat(batch):
    """Every tensor of a batch, by a path of names."""
    tensors = {f"{name}/{key}": tensor for name, value in batch.inputs.items() for key, tensor in value.items()}
    tensors |= {f"{name}/{key}": tensor for name, value in batch.targets.items() for key, tensor in value.items()}
    return tensors | {f"ids/{name}": tensor for name, tensor in batch.ids.items()}


def same(one, two):
    assert one.keys == two.keys and flat(one).keys() == flat(two).keys()
    return all(torch.equal(tensor, flat(two)[name]) for name, tensor in flat(one).items())
