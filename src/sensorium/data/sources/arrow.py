"""A folder that the Datasets library of Hugging Face saved (`save_to_disk`): values read, media left where they are."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.data.columns.infer import Guess
from sensorium.data.media.content import slice_path
from sensorium.data.sources.frame_builder import FrameBuilder
from sensorium.errors import UserError, needs

SPLIT = "split"

_DATASET_FILE, _SPLITS_FILE = "dataset_info.json", "dataset_dict.json"
_KINDS = {"Image": "image", "Audio": "audio", "Video": "video"}


def is_dataset_folder(folder: Path) -> bool:
    """Whether Datasets saved this folder: a dataset, or one for each split."""
    return (folder / _SPLITS_FILE).exists() or ((folder / _DATASET_FILE).exists() and (folder / "state.json").exists())


def read_dataset_folder(folder: Path) -> tuple[pd.DataFrame, dict[str, Guess]]:
    """The records of the folder, and by column the kind that its features state. Images, audio and videos are paths to
    their bytes within the Arrow files, or the path that the dataset holds; classes are their names; several splits make
    the column `split`. Raises UserError when the library is not installed or the folder cannot be read."""
    try:
        import datasets
    except ImportError as error:
        raise needs("datasets", "datasets") from error
    try:
        loaded = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise UserError(f"{folder} is no whole folder of Datasets ({error}); save it again.") from error
    splits = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"": loaded}
    builder, kinds, left_out = FrameBuilder(), {}, set()
    for split, dataset in splits.items():
        features = {name: (feature, type(feature).__name__) for name, feature in dataset.features.items()}
        if split and SPLIT in features:
            raise UserError(f"{folder} has splits, and in '{split}' a column '{SPLIT}' too; rename that column.")
        for name, (_, kind) in features.items():
            if kind in _KINDS:
                kinds[name] = Guess(_KINDS[kind], f"it is a feature {kind} of the dataset")
        for batch, file, base in _batches(folder, dataset):
            for name, (feature, kind) in features.items():
                if _holds_media(feature) and kind not in _KINDS:
                    left_out.add(name)
                    continue
                values = batch.column(name)
                cells = _media_paths(values, file, base) if kind in _KINDS else _plain_cells(values, feature)
                builder.add_column(name, cells)
            if split:
                builder.add_column(SPLIT, [split] * len(batch))
            builder.end_chunk(len(batch))
    for name in sorted(left_out):
        warning = f"Column '{name}' of {folder} holds several media in a cell, which no input reads; it is left out."
        warnings.warn(warning, UserWarning, stacklevel=4)
    if len(splits) > 1 or "" not in splits:
        kinds[SPLIT] = Guess("ignored", "it says which split of the dataset a row is of")
    return builder.build(), kinds


def _batches(folder: Path, dataset: Any) -> Iterator[tuple[pa.RecordBatch, str, int]]:
    """Each batch with its file, relative to `folder`, and the address that the file's first byte is mapped to."""
    if dataset._indices is not None:
        raise UserError(f"{folder} holds a selection of rows; save dataset.flatten_indices() in its place.")
    for entry in dataset.cache_files:
        file = Path(entry["filename"])
        with pa.memory_map(str(file)) as mapped:
            buffer = mapped.read_buffer()
            for batch in pa.ipc.open_stream(buffer):
                yield batch, str(file.absolute().relative_to(folder.absolute())), buffer.address


def _holds_media(feature: Any) -> bool:
    """Whether a feature is one of media or contains one."""
    if type(feature).__name__ in _KINDS:
        return True
    children = feature.values() if isinstance(feature, dict) else feature if isinstance(feature, list) else []
    element = getattr(feature, "feature", None)  # of a sequence
    return any(map(_holds_media, children)) or (element is not None and _holds_media(element))


def _media_paths(values: pa.StructArray, file: str, base: int) -> list[str | None]:
    """Paths of the bytes [N] within `file`; the path that the dataset holds where there are no bytes."""
    fields = dict(zip((field.name for field in values.type), values.flatten(), strict=True))
    contents, paths = fields["bytes"], fields["path"].to_pylist()
    # Arrow's layout of binary values: all bytes in one buffer, cut by offsets [N + 1].
    offset_type = np.int64 if pa.types.is_large_binary(contents.type) else np.int32
    _, offset_buffer, data = contents.buffers()
    offsets = np.frombuffer(offset_buffer, offset_type)[contents.offset : contents.offset + len(contents) + 1]
    start = data.address - base if data is not None else 0
    cells: list[str | None] = []
    for row, is_valid in enumerate(contents.is_valid().to_pylist()):
        size = int(offsets[row + 1] - offsets[row])
        name = Path(paths[row] or str(row)).name
        cells.append(slice_path(file, start + int(offsets[row]), size, name) if is_valid and size else paths[row])
    return cells


def _plain_cells(values: pa.Array, feature: Any) -> pa.Array | list[Any]:
    """Values [N] unchanged; classes by name."""
    names = getattr(feature, "names", None)
    if names:
        return [names[label] if label is not None and label >= 0 else None for label in values.to_pylist()]
    element_names = getattr(getattr(feature, "feature", None), "names", None)
    if element_names:
        return [cell and [element_names[label] for label in cell if label >= 0] for cell in values.to_pylist()]
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return values.cast(pa.large_string())
    return values.to_pylist()
