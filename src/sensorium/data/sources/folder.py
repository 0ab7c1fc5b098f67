"""A folder of files as a table: class folders, class folders within split folders, or files of one kind."""

import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from sensorium.data import strings
from sensorium.data.media.extensions import ENDINGS
from sensorium.data.split_names import HELD_OUT
from sensorium.errors import UserError

FILE, LABEL, SPLIT = "file", "label", "split"

_SPLITS = ("train", "training", *HELD_OUT)
_ENDINGS = {"text": ("txt",)} | ENDINGS
_KIND_OF = {ending: kind for kind, endings in _ENDINGS.items() for ending in endings}
_HIDDEN = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")  # that operating systems leave in folders of images
# Files that describe a folder and are no records of it.
_DESCRIPTION = re.compile(
    r"read[ _-]?me|licen[cs]e|copying|changelog|citation|credits|attributions?|checksums?|(md5|sha256)sums?"
    r"|classes|labels|(class|label)[ _-]?names",
    re.IGNORECASE,
)


class FolderEntry(NamedTuple):
    """A file of a folder: its path, its class and its split, "" where there is none."""

    path: Path
    label: str
    split: str


def read_folder(folder: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The files of class folders (`cat/1.jpg`), sorted by their paths: a column named by their kind (`image`, `audio`,
    `video`: paths; `text`: their contents), `label` (the folder), `split` where the class folders are in folders such
    as train and test, and `file` (the path). Files directly in `folder` have no label. Files that describe a folder, as
    README.md does, are left out, which a sentence says.

    Raises UserError when the files are of several kinds or of none, or a class folder is empty."""
    entries = _list_entries(folder)
    descriptions = [entry.path for entry in entries if _is_description(entry.path)]
    entries = [entry for entry in entries if not _is_description(entry.path)] or entries
    notices = (f"Files of {folder} that are no records are left out: {_summarise(descriptions)}.",)
    kind = _common_kind(folder, [entry.path for entry in entries])
    paths = [entry.path.relative_to(folder).as_posix() for entry in entries]
    columns = {kind: paths if kind in ENDINGS else [_read_text(entry.path) for entry in entries]}
    if any(entry.label for entry in entries):
        columns[LABEL] = [entry.label for entry in entries]
    if any(entry.split for entry in entries):
        columns[SPLIT] = [entry.split for entry in entries]
    columns[FILE] = paths
    frame = pd.DataFrame({name: strings.to_series(pa.chunked_array([cells])) for name, cells in columns.items()})
    return frame, notices if descriptions else ()


def _list_entries(folder: Path) -> list[FolderEntry]:
    """All files, class by class."""
    subfolders = _visible_folders(folder)
    if not subfolders:
        return [FolderEntry(path, "", "") for path in _visible_files(folder)]
    loose = [path for path in _visible_files(folder) if _kind(path) and not _is_description(path)]
    if loose:
        verb, pronoun = ("has", "it") if len(loose) == 1 else ("have", "them")
        raise UserError(
            f"{folder} holds class folders and beside them {_summarise(loose)}, which {verb} no class; move {pronoun}"
            " into a class folder or away."
        )
    if all(subfolder.name.lower() in _SPLITS for subfolder in subfolders):
        return [entry for split in subfolders for entry in _list_classes(split, split.name)]
    return _list_classes(folder, "")


def _list_classes(folder: Path, split: str) -> list[FolderEntry]:
    """The files of each class folder in `folder`. Raises UserError when there is none, or an empty one."""
    entries = []
    for class_folder in _visible_folders(folder):
        paths = sorted(path for path in class_folder.rglob("*") if path.is_file())
        paths = [path for path in paths if not _is_hidden(path.relative_to(folder))]
        if not paths:
            raise UserError(f"The class folder {class_folder} holds no files; fill it or delete it.")
        entries += [FolderEntry(path, class_folder.name, split) for path in paths]
    if not entries:
        raise UserError(f"{folder} holds no class folders; give each class a folder of its own in it.")
    return entries


def _common_kind(folder: Path, files: list[Path]) -> str:
    """The kind of all files. Raises UserError when they are of several or of none."""
    kinds: dict[str | None, list[Path]] = {}
    for path in files:
        kinds.setdefault(_kind(path), []).append(path)
    if not kinds or set(kinds) == {None}:
        raise UserError(
            f"{folder} is a folder without files that are read; give a table's file (.csv, .tsv, .jsonl, .parquet), a"
            " folder of class folders, or a folder of tar shards."
        )
    if len(kinds) > 1:
        groups = [f"{_summarise(paths)} ({kind or 'of no kind that is read'})" for kind, paths in kinds.items()]
        raise UserError(
            f"{folder} holds files of several kinds: {' and '.join(groups)}; put files of one kind there, or list them"
            " in a table with a column for each kind."
        )
    (kind,) = kinds
    return str(kind)


def _kind(path: Path) -> str | None:
    return _KIND_OF.get(path.suffix[1:].lower())


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; save the file as UTF-8.") from None


def _visible_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _is_hidden(path.relative_to(folder)))


def _visible_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not _is_hidden(path.relative_to(folder)))


def _is_description(path: Path) -> bool:
    """Whether a file is no medium and has a name such as README, LICENSE or classes."""
    return _kind(path) in (None, "text") and _DESCRIPTION.fullmatch(path.stem) is not None


def _is_hidden(path: Path) -> bool:
    return any(name.startswith((".", "__MACOSX")) for name in path.parts) or path.name.lower() in _HIDDEN


def _summarise(paths: list[Path]) -> str:
    return f"{len(paths)} such as {paths[0].name}" if len(paths) > 1 else "".join(path.name for path in paths)
