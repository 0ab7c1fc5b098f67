"""A folder of files as a table: class folders, class folders within split folders, or files of one kind."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from sensorium.data import strings
from sensorium.data.columns.infer import ENDINGS
from sensorium.data.split import HELD_OUT
from sensorium.errors import UserError

FILE, LABEL, SPLIT = "file", "label", "split"

_SPLITS = ("train", "training", *HELD_OUT)
_TEXTS = ("txt",)
_KINDS = {"text": _TEXTS} | ENDINGS
_KIND_OF = {ending: kind for kind, endings in _KINDS.items() for ending in endings}
_HIDDEN = ("thumbs.db", "desktop.ini")  # what systems leave in folders of pictures


class FolderEntry(NamedTuple):
    """A file of a folder: its path, its class and its split, "" where there is none."""

    path: Path
    label: str
    split: str


def read_folder(folder: Path) -> pd.DataFrame:
    """The files of class folders (`cat/1.jpg`), sorted by their paths: a column named by what they are (`image`,
    `audio`, `video`: paths; `text`: what stands in them), `label` (the folder), `split` where the class folders lie in
    folders such as train and test, and `file` (the path). Files that lie in `folder` itself have no label.

    Raises UserError when the files are of several kinds or of none, or a class folder is empty.
    """
    found = _found(folder)
    kind = _one_kind(folder, [one.path for one in found])
    paths = [one.path.relative_to(folder).as_posix() for one in found]
    columns = {kind: [_text(one.path) for one in found] if kind == "text" else paths}
    if any(one.label for one in found):
        columns[LABEL] = [one.label for one in found]
    if any(one.split for one in found):
        columns[SPLIT] = [one.split for one in found]
    columns[FILE] = paths
    return pd.DataFrame({name: strings.series(pa.chunked_array([cells])) for name, cells in columns.items()})


def _found(folder: Path) -> list[FolderEntry]:
    """All files, class by class."""
    inner = _folders(folder)
    if not inner:
        return [FolderEntry(path, "", "") for path in _files(folder)]
    loose = [path for path in _files(folder) if _kind(path)]
    if loose:
        raise UserError(
            f"{folder} holds class folders and beside them {_several(loose)}, which {_have(loose)} no class; move"
            f" {'it' if len(loose) == 1 else 'them'} into a class folder or away."
        )
    if all(one.name.lower() in _SPLITS for one in inner):
        return [found for split in inner for found in _classes(split, split.name)]
    return _classes(folder, "")


def _classes(folder: Path, split: str) -> list[FolderEntry]:
    found = []
    for one in _folders(folder):
        files = sorted(path for path in one.rglob("*") if path.is_file() and not _is_hidden(path.relative_to(folder)))
        if not files:
            raise UserError(f"The class folder {one} holds no files; fill it or delete it.")
        found += [FolderEntry(path, one.name, split) for path in files]
    if not found:
        raise UserError(f"{folder} holds no class folders; give each class a folder of its own in it.")
    return found


def _one_kind(folder: Path, files: list[Path]) -> str:
    kinds: dict[str | None, list[Path]] = {}
    for path in files:
        kinds.setdefault(_kind(path), []).append(path)
    if not kinds or set(kinds) == {None}:
        raise UserError(
            f"{folder} is a folder without files that are read; give a table's file (.csv, .tsv, .jsonl, .parquet), a"
            " folder of class folders, or a folder of tar shards."
        )
    if len(kinds) > 1:
        told = " and ".join(f"{_several(paths)} ({kind or 'of no kind that is read'})" for kind, paths in kinds.items())
        raise UserError(
            f"{folder} holds files of several kinds: {told}; put files of one kind there, or list them in a table with"
            " a column for each kind."
        )
    (kind,) = kinds
    return str(kind)


def _kind(path: Path) -> str | None:
    return _KIND_OF.get(path.suffix[1:].lower())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; save the file as UTF-8.") from None


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _is_hidden(path.relative_to(folder)))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not _is_hidden(path.relative_to(folder)))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts) or path.name.lower() in _HIDDEN


def _several(paths: list[Path]) -> str:
    return f"{len(paths)} such as {paths[0].name}" if len(paths) > 1 else paths[0].name


def _have(paths: list[Path]) -> str:
    return "has" if len(paths) == 1 else "have"
