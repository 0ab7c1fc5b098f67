"""From a data set's file to a table that every verb reads."""

import json
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from sensorium.data.sources.json_tables import parse_json_lines
from sensorium.data.sources.published import formats
from sensorium.data.sources.published.formats import PublishedColumns
from sensorium.data.sources.published.pictures import ImageFolder, format_name
from sensorium.errors import UserError, check_known, counted

FORMATS = (
    "VQA v2's questions, COCO's captions and instances, Visual Genome's question_answers.json, easy-VQA's"
    " questions.json (all JSON), NLVR2's JSON lines, Flickr8k's token file"
)
LONGEST_LINE = 1 << 16  # characters of a line, in formats of lines


def table(
    source: str | Path,
    images: str | Path,
    annotations: str | Path | None = None,
    bad_records: Literal["stop", "skip"] = "stop",
) -> pd.DataFrame:
    """The records of a data set's file, whose format is recognised, with the paths of their images in `images`.

    VQA v2: question, photo, image, answer (the list of the annotators', from the file `annotations`), question_type,
    answer_type, question_id. Visual Genome: question, photo, image, answer, question_id. easy-VQA: question, photo,
    image, answer. COCO captions, Flickr8k: caption, photo, image; COCO instances: things, photo, image, a record an
    image. NLVR2: sentence, left, right, label, set, identifier.
    The text comes first, as fusions with a leading input take the first; `image` is the image's name, which several
    records share. A record whose image is missing is an error, or, with "skip", is left out; `attrs["left_out"]` counts
    these. Raises UserError."""
    check_known(("stop", "skip"), "way with bad records", bad_records)
    source = Path(source)
    # The columns that the file states, and the paths of its images.
    published = _parse_file(source, None if annotations is None else Path(annotations))
    folder = Path(images)
    image_folder = ImageFolder(folder)
    paths: dict[str, list[Any]] = {column: image_folder.find(names) for column, names in published.image_names.items()}
    image_columns = dict(paths)
    if len(paths) == 1:
        image_columns["image"] = [path and Path(path).stem for path in paths["photo"]]
    # The first column, the text, goes before the images.
    text_column, *further_columns = published.columns.items()
    columns = dict([text_column, *image_columns.items(), *further_columns])
    frame = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})
    # Records without all of their images.
    missing = frame[list(published.image_names)].isna().any(axis=1).to_numpy()
    if missing.all() or (missing.any() and bad_records == "stop"):
        raise _missing_images_error(published, paths, missing, source, folder)
    frame = frame[~missing].reset_index(drop=True)
    frame.attrs |= {"left_out": int(missing.sum()), "paths": list(paths)}
    return frame


def _parse_file(path: Path, annotations_path: Path | None) -> PublishedColumns:
    """The columns of a file, by the format that its content shows."""
    text = _read_text(path)
    first_line = text[:LONGEST_LINE].lstrip().partition("\n")[0]
    if formats.TOKEN.fullmatch(first_line.rstrip("\r")):
        columns = formats.parse_flickr8k([line.rstrip("\r") for line in text.split("\n") if line.strip()], str(path))
    elif first_line.startswith("{") and '"identifier"' in first_line and '"sentence"' in first_line:
        entries = [entry for _, entry in parse_json_lines(text.split("\n"), path)]
        columns = formats.parse_nlvr2(entries, str(path))
    else:
        content = _parse_json(text, path)
        if isinstance(content, dict) and "questions" in content:
            return _parse_vqa(content, path, annotations_path)
        columns = _parse_self_contained(content, path)
    if annotations_path is not None:
        raise UserError(f"{path} holds its own answers, so that --annotations has nothing to add; leave it out.")
    return columns


def _parse_vqa(content: dict[str, Any], path: Path, annotations_path: Path | None) -> PublishedColumns:
    """VQA's questions, with the annotations of a second file where there is one."""
    annotations = None if annotations_path is None else _parse_json(_read_text(annotations_path), annotations_path)
    if annotations is not None and not isinstance(annotations, dict):
        raise UserError(
            f"{annotations_path} is no file of VQA annotations, an object with a list 'annotations'; mend it."
        )
    return formats.parse_vqa(content, str(path), annotations, str(annotations_path))


def _parse_self_contained(content: Any, path: Path) -> PublishedColumns:
    """The columns of a JSON file that needs no second file beside it."""
    first = content[0] if isinstance(content, list) and content else None
    if isinstance(first, dict) and "qas" in first:
        return formats.parse_visual_genome(content, str(path))
    if isinstance(first, list):
        return formats.parse_easy_vqa(content, str(path))
    if isinstance(content, dict) and "images" in content:
        if "annotations" not in content:
            raise UserError(f"{path} lists pictures without captions, as COCO's test sets do; take the captions' file.")
        return formats.parse_coco(content, str(path))
    if isinstance(content, dict) and "annotations" in content:
        raise UserError(f"{path} holds VQA's annotations; give its questions, and this file as --annotations {path}.")
    raise UserError(f"{path} has none of the forms that are known: {FORMATS}; check that it is the file you mean.")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}; check the path.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text, as these files are: {FORMATS}; check the path.") from error


def _parse_json(text: str, path: Path) -> Any:
    try:
        return json.loads(text, object_hook=_reduce_answer)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path} is not JSON: {error.msg} at line {error.lineno}, character {error.colno}; if it was cut short,"
            f" fetch it again. Known are {FORMATS}."
        ) from None


def _reduce_answer(entry: dict[str, Any]) -> Any:
    """Of an annotator's answer, {"answer_id", "answer", "answer_confidence"}, its text, as soon as it is read: VQA has
    millions of these objects, which would fill the memory. All other objects are unchanged."""
    answer = entry.get("answer") if "answer_id" in entry else None
    return sys.intern(answer) if isinstance(answer, str) else entry


def _missing_images_error(
    published: PublishedColumns, paths: dict[str, list[Any]], missing: np.ndarray, source: Path, folder: Path
) -> UserError:
    """The error for the records `missing` (bool [N]), naming the first image that `paths` lacks."""
    row = int(missing.argmax())
    column = next(column for column in published.image_names if paths[column][row] is None)
    name = format_name(published.image_names[column][row])
    count = f"{missing.sum():,} of the {counted(len(missing), 'record')} of {source}"
    sentence = f"The pictures of {count} are not in {folder}, the first is {name}"
    if missing.all():
        return UserError(f"{sentence}; give the folder of this part's pictures with --images.")
    return UserError(f"{sentence} (record {row + 1}); fetch them, or leave these records out with --bad-records skip.")
