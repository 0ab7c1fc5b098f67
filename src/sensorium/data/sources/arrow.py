"""A folder that the Datasets library of Hugging Face saved (`save_to_disk`): values read, media left where they are."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.data.columns.infer import Guess
from sensorium.data.media.content import slice_of
from sensorium.data.sources.frame_builder import FrameBuilder
from sensorium.errors import UserError, needs

SPLIT = "split"

_ONE, _SEVERAL = "dataset_info.json", "dataset_dict.json"
_KINDS = {"Image": "image", "Audio": "audio", "Video": "video"}


def is_saved(folder: Path) -> bool:
    """Whether Datasets saved this folder: a dataset, or several by split."""
    return (folder / _SEVERAL).exists() or ((folder / _ONE).exists() and (folder / "state.json").exists())


def read_saved(folder: Path) -> tuple[pd.DataFrame, dict[str, Guess]]:
    """The records of the folder, and by column the kind that its features state.

    Pictures, sounds and films are paths to their bytes within the Arrow files, or what path the dataset holds; classes
    are their names; several splits make the column `split`. Raises UserError when the library is not installed or the
    folder cannot be read.
    """
    try:
        import datasets
    except ImportError as error:
        raise needs("datasets", "datasets") from error
    try:
        loaded = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise UserError(f"{folder} is no whole folder of Datasets ({error}); save it again.") from error
    parts = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"": loaded}
    pieces, kinds, left_out = FrameBuilder(), {}, set()
    for split, dataset in parts.items():
        features = {name: (feature, type(feature).__name__) for name, feature in dataset.features.items()}
        if split and SPLIT in features:
            raise UserError(f"{folder} has splits, and in '{split}' a column '{SPLIT}' too; rename that column.")
        kinds |= {
            name: Guess(_KINDS[kind], f"it is a feature {kind} of the dataset")
            for name, (_, kind) in features.items()
            if kind in _KINDS
        }
        for batch, file, base in _batches(folder, dataset):
            for name, (feature, kind) in features.items():
                if _holds_media(feature) and kind not in _KINDS:
                    left_out.add(name)
                    continue
                values = batch.column(name)
                pieces.put(name, _media(values, file, base) if kind in _KINDS else _plain(values, feature))
            if split:
                pieces.put(SPLIT, [split] * len(batch))
            pieces.close(len(batch))
    for name in sorted(left_out):
        told = f"Column '{name}' of {folder} holds several media in a cell, which no input reads; it is left out."
        warnings.warn(told, UserWarning, stacklevel=4)
    if len(parts) > 1 or "" not in parts:
        kinds[SPLIT] = Guess("ignored", "it says which split of the dataset a row is of")
    return pieces.frame(), kinds


def _batches(folder: Path, dataset: Any) -> Iterator[tuple[pa.RecordBatch, str, int]]:
    """Each batch with its file, relative to `folder`, and the address that the file's first byte is mapped to."""
    if dataset._indices is not None:
        raise UserError(f"{folder} holds a selection of rows; save dataset.flatten_indices() in its place.")
    for entry in dataset.cache_files:
        file = Path(entry["filename"])
        with pa.memory_map(str(file)) as mapped:
            whole = mapped.read_buffer()
            for batch in pa.ipc.open_stream(whole):
                yield batch, str(file.absolute().relative_to(folder.absolute())), whole.address


def _holds_media(feature: Any) -> bool:
    """Whether a feature is one of media or has one inside."""
    if type(feature).__name__ in _KINDS:
        return True
    inner = feature.values() if isinstance(feature, dict) else feature if isinstance(feature, list) else []
    inside = getattr(feature, "feature", None)
    return any(map(_holds_media, inner)) or (inside is not None and _holds_media(inside))


def _media(values: pa.StructArray, file: str, base: int) -> list[str | None]:
    """Paths of the bytes [N] within `file`; the path that the dataset holds where there are no bytes."""
    fields = dict(zip((field.name for field in values.type), values.flatten(), strict=True))
    held, paths = fields["bytes"], fields["path"].to_pylist()
    wide = pa.types.is_large_binary(held.type)
    _, offsets, data = held.buffers()
    places = np.frombuffer(offsets, np.int64 if wide else np.int32)[held.offset : held.offset + len(held) + 1]
    start = data.address - base if data is not None else 0
    cells: list[str | None] = []
    for row, there in enumerate(held.is_valid().to_pylist()):
        size = int(places[row + 1] - places[row])
        name = Path(paths[row] or str(row)).name
        cells.append(slice_of(file, start + int(places[row]), size, name) if there and size else paths[row])
    return cells


def _plain(values: pa.Array, feature: Any) -> pa.Array | list[Any]:
    """Values [N] as they are; classes by name."""
    names = getattr(feature, "names", None)
    if names:
        return [names[label] if label is not None and label >= 0 else None for label in values.to_pylist()]
    inner = getattr(getattr(feature, "feature", None), "names", None)
    if inner:
        return [cell and [inner[label] for label in cell if label >= 0] for cell in values.to_pylist()]
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return values.cast(pa.large_string())
    return values.to_pylist()
