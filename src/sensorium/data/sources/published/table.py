"""From a data set's file to a table that every verb reads."""

import json
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from sensorium.data.sources.published import formats
from sensorium.data.sources.published.formats import PublishedColumns
from sensorium.data.sources.published.pictures import Pictures
from sensorium.errors import UserError, counted, unknown

KNOWN = (
    "VQA v2's questions, COCO's captions, Visual Genome's question_answers.json, easy-VQA's questions.json (all JSON),"
    " NLVR2's JSON lines, Flickr8k's token file"
)
HEAD = 1 << 16  # characters: no line of a file of lines is longer


def table(
    source: str | Path,
    images: str | Path,
    annotations: str | Path | None = None,
    bad_records: Literal["stop", "skip"] = "stop",
) -> pd.DataFrame:
    """The records of a data set's file, told by what stands in it, with the paths of their pictures in `images`.

    VQA v2: question, photo, image, answer (the list of the annotators', from the file `annotations`), question_type,
    answer_type, question_id. Visual Genome: question, photo, image, answer, question_id. easy-VQA: question, photo,
    image, answer. COCO captions, Flickr8k: caption, photo, image. NLVR2: sentence, left, right, label, set, identifier.
    The text comes first, as fusions with a leading input take the first; `image` is the picture's name, which several
    records share. A record whose picture is not there stops, or is
    left out; `attrs["left_out"]` counts them. Raises UserError.
    """
    if bad_records not in ("stop", "skip"):
        raise unknown("way with bad records", bad_records, ("stop", "skip"))
    source = Path(source)
    found = _found(source, None if annotations is None else Path(annotations))
    folder = Path(images)
    pictures = Pictures(folder)
    columns: dict[str, list[Any]] = {name: pictures.find(asked) for name, asked in found.pictures.items()}
    if len(columns) == 1:
        columns["image"] = [path and Path(path).stem for path in columns["photo"]]
    first, *rest = found.columns.items()
    ordered = dict([first, *columns.items(), *rest])
    frame = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in ordered.items()})
    gone = frame[list(found.pictures)].isna().any(axis=1).to_numpy()
    if gone.all() or (gone.any() and bad_records == "stop"):
        raise _missing(found, columns, gone, source, folder)
    frame = frame[~gone].reset_index(drop=True)
    frame.attrs["left_out"] = int(gone.sum())
    return frame


def _found(path: Path, beside: Path | None) -> PublishedColumns:
    """What the file says, by the form it has."""
    text = _text(path)
    first = text[:HEAD].lstrip().partition("\n")[0]
    if formats.TOKEN.fullmatch(first.rstrip("\r")):
        return _without(
            beside, path, formats.flickr([line.rstrip("\r") for line in text.split("\n") if line.strip()], str(path))
        )
    if first.startswith("{") and '"identifier"' in first and '"sentence"' in first:
        return _without(beside, path, formats.nlvr(_objects(text, path), str(path)))
    content = _json(text, path)
    if isinstance(content, dict) and "questions" in content:
        annotations = None if beside is None else _json(_text(beside), beside)
        if annotations is not None and not isinstance(annotations, dict):
            raise UserError(f"{beside} is no file of VQA annotations, an object with a list 'annotations'; mend it.")
        return formats.vqa(content, str(path), annotations, str(beside))
    return _without(beside, path, _other(content, path))


def _other(content: Any, path: Path) -> PublishedColumns:
    """What a JSON file that is not VQA's says."""
    first = content[0] if isinstance(content, list) and content else None
    if isinstance(first, dict) and "qas" in first:
        return formats.genome(content, str(path))
    if isinstance(first, list):
        return formats.easy(content, str(path))
    if isinstance(content, dict) and "images" in content:
        if "annotations" not in content:
            raise UserError(f"{path} lists pictures without captions, as COCO's test sets do; take the captions' file.")
        return formats.coco(content, str(path))
    if isinstance(content, dict) and "annotations" in content:
        raise UserError(f"{path} holds VQA's annotations; give its questions, and this file as --annotations {path}.")
    raise UserError(f"{path} has none of the forms that are known: {KNOWN}; check that it is the file you mean.")


def _without(beside: Path | None, path: Path, found: PublishedColumns) -> PublishedColumns:
    """`found`; only VQA's questions have annotations beside them."""
    if beside is not None:
        raise UserError(f"{path} holds its own answers, so that --annotations has nothing to add; leave it out.")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}; check the path.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text, as these files are: {KNOWN}; check the path.") from error


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text, object_hook=_only_answer)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path} is not JSON: {error.msg} at line {error.lineno}, character {error.colno}; if it was cut short,"
            f" fetch it again. Known are {KNOWN}."
        ) from None


def _only_answer(entry: dict[str, Any]) -> Any:
    """The text of one annotator's answer, {"answer_id", "answer", "answer_confidence"}, as soon as it is read: VQA has
    millions, which say little. Other objects stay.
    """
    answer = entry.get("answer") if "answer_id" in entry else None
    return sys.intern(answer) if isinstance(answer, str) else entry


def _objects(text: str, path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise UserError(
                    f"Line {number} of {path} is not JSON: {error.msg} at character {error.pos + 1}; mend that line."
                ) from None
    return found


def _missing(
    found: PublishedColumns, columns: dict[str, list[Any]], gone: np.ndarray, source: Path, folder: Path
) -> UserError:
    row = int(gone.argmax())
    name = next(name for name in found.pictures if columns[name][row] is None)
    asked = found.pictures[name][row]
    told = f"'{asked}'" if isinstance(asked, str) else f"number {asked}"
    what = f"The pictures of {gone.sum():,} of the {counted(len(gone), 'record')} of {source} are not in {folder}"
    if gone.all():
        return UserError(f"{what}, the first is {told}; give the folder of this part's pictures with --images.")
    return UserError(
        f"{what}, the first is {told} (record {row + 1}); fetch them, or leave these records out with"
        " --bad-records skip."
    )
