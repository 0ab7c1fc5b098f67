"""What a model was trained to do at prompts, asked for by the names of tasks: captions, boxes, texts in pictures."""

import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor

from sensorium.data.scan import drop_bad_records, scan
from sensorium.data.table import Table
from sensorium.data.targets.places import (
    POLYGONS,
    Place,
    count_locations,
    place_record,
    read_places,
    read_polygons,
    relative_points,
    spell_places,
)
from sensorium.data.targets.tokens import Tokens
from sensorium.encoders.prompt_processor import Task
from sensorium.errors import UserError, counted
from sensorium.files import whole_file
from sensorium.generation.settings import Generation
from sensorium.generation.timestamps import is_loop
from sensorium.inference.places import JSON, check_drawing, draw_records
from sensorium.inference.predict import list_bad_records, report_absent, report_bad_records
from sensorium.inference.rows import ENDINGS_OF_TABLES, suffix_of, write_rows
from sensorium.inference.task_request import Asked, prompted_input
from sensorium.model import Model

ROWS = 8  # pictures times tasks that are written at a time
_LENGTHS = {"boxes": 4, "quads": 8}


class Answer(NamedTuple):
    """What was written of a picture at a task. text: as the decoder spells it, places as their tokens. places: None of
    a task that gives none. malformed: how many could not be read. says_nothing: whether the text is none, or loops."""

    text: str
    probability: float
    places: list[Place] | None
    malformed: int
    says_nothing: bool


def write_tasks(
    model: Model,
    target: str,
    table: Table,
    out: str | Path | None,
    index: pd.Index,
    asked: Asked,
    settings: Generation,
    *,
    streams: bool = False,
    draw: str | Path | None = None,
    least: float = 0.0,
    bad_records: str = "skip",
    quiet: bool = True,
) -> pd.DataFrame | dict[str, Any]:
    """A row for each record and task: `key`, `task`, `<target>` and `<target>_probability`, the picture's `width` and
    `height`, and of a task that gives places `boxes`, a list of them in its pixels. index: [N], what the rows of the
    data frame are called. See `inference.write.write`.
    """
    prompts = prompted_input(model)
    asked.check(model.encoders[prompts].processor.tasks)
    if settings.best > 1 or streams:
        raise UserError("Of a task there is one text, which comes whole; leave best and stream out.")
    if out is not None:
        suffix_of(out, (*ENDINGS_OF_TABLES, JSON))
    tasks = [model.encoders[prompts].processor.tasks[name] for name in asked.tasks]
    if draw is not None and all(task.gives == "text" for task in tasks):
        raise UserError("None of these tasks gives places, which are drawn; leave draw out.")
    check_drawing(draw, table, model.schema.inputs_of("image")[0])
    rows_before = table.rows
    table, scanned = drop_bad_records(table, scan(table), bad_records)
    sizes = _sizes(model, table, scanned.measures)
    if any(task.takes == "region" for task in tasks):
        _check_region(asked.region, table.keys, sizes)
    answers = list(_answers(model, target, prompts, table, sizes, asked, settings))
    _warn(table.keys, asked, answers)
    left_out = report_bad_records(scanned.bad if bad_records == "skip" else None, len(rows_before), quiet)
    report_absent(scanned.bad if bad_records == "absent" else None, quiet)
    rows = [
        _row(target, key, task, size, answer, least)
        for key, size, of_record in zip(table.keys, sizes, answers, strict=True)
        for task, answer in zip(asked.tasks, of_record, strict=True)
    ]
    if draw is not None:
        _draw(model, table, draw, rows)
    if out is None:
        index = index[np.isin(rows_before, table.rows)].repeat(len(asked.tasks))
        frame = pd.DataFrame(rows, columns=_fields(target).names, index=index)
        frame.attrs["written"] = [target]
        return frame
    _write_file(Path(out), target, rows)
    listed = list_bad_records(scanned.bad, out)
    if not quiet:
        print(f"{counted(len(rows), 'answer')} in {out}.")
    return {"out": str(out), "records": len(table), "set_aside": left_out, "bad_records": listed}


def _sizes(model: Model, table: Table, measures: dict[str, dict[str, np.ndarray]]) -> list[tuple[int, int] | None]:
    """The width and height of each record's picture, None where it has none."""
    (picture,) = model.schema.inputs_of("image")
    absent = np.full(len(table), np.nan)
    sides = (measures[picture].get(side, absent) for side in ("width", "height"))
    return [None if np.isnan(width) else (int(width), int(height)) for width, height in zip(*sides, strict=True)]


@torch.no_grad()
def _answers(
    model: Model,
    target: str,
    prompts: str,
    table: Table,
    sizes: Sequence[tuple[int, int] | None],
    asked: Asked,
    settings: Generation,
) -> Iterator[list[Answer | None]]:
    """The answers to all tasks of each record, None where it has no picture. A picture is encoded once."""
    processor, head, count = model.encoders[prompts].processor, model.heads[target], len(asked.tasks)
    sizes, model = list(sizes), model.eval()
    for batch in model.batches(table, max(1, ROWS // count)):
        batch_sizes, sizes = sizes[: len(batch.keys)], sizes[len(batch.keys) :]
        features = model.encode({name: value for name, value in batch.inputs.items() if name != prompts})
        rows = torch.arange(len(batch.keys), device=model.device).repeat_interleave(count)
        texts = [_prompt(processor, processor.tasks[task], asked, size) for size in batch_sizes for task in asked.tasks]
        padded = processor.pad([processor(text) for text in texts])
        padded = {name: value.to(model.device) for name, value in padded.items()}
        features = {name: of_input.take(rows) for name, of_input in features.items()} | model.encode({prompts: padded})
        keys = [key for key in batch.keys for _ in asked.tasks]
        written = head.predict(model.fuse(features), settings, keys)
        for row, size in enumerate(batch_sizes):
            first = row * count
            yield [
                None if size is None else _read(head.processor, written, first + number, processor.tasks[task], asked)
                for number, task in enumerate(asked.tasks)
            ]


def _check_region(region: tuple[float, ...], keys: Sequence[str], sizes: Sequence[tuple[int, int] | None]) -> None:
    """Checks that a region lies in every picture, at least a part of it. Raises UserError."""
    left, top, right, bottom = region
    for key, size in zip(keys, sizes, strict=True):
        if size is not None and (right <= 0 or bottom <= 0 or left >= size[0] or top >= size[1]):
            raise UserError(
                f"The region {left:g},{top:g},{right:g},{bottom:g} is beyond the picture {key}, of {size[0]} by"
                f" {size[1]} pixels; mend it, or leave the picture out."
            )


def _prompt(processor: Any, task: Task, asked: Asked, size: tuple[int, int] | None) -> str:
    """The text of a prompt. Raises UserError for a phrase that is too long."""
    if task.takes is None or size is None:
        return task.prompt
    if task.takes == "phrase":
        text = task.prompt.replace("{phrase}", asked.phrase.strip())
        if processor.tokens.is_cut(text):
            raise UserError(f"The phrase is longer than the model reads, {processor.max_tokens} tokens; shorten it.")
        return text
    bins = count_locations(processor.tokens.tokenizer)
    return task.prompt.replace("{region}", spell_places([Place("", relative_points(asked.region, size))], bins))


def _read(tokens: Tokens, written: dict[str, Tensor], row: int, task: Task, asked: Asked) -> Answer:
    """What the tokens of a row say."""
    ids, logprobs = written["tokens"][row, 0].tolist(), written["logprobs"][row, 0].tolist()
    added = tokens.tokenizer.get_added_tokens_decoder()
    special = {token for token, facts in added.items() if facts.special} | {tokens.pad}
    length = next((end for end in range(len(ids), 0, -1) if ids[end - 1] != tokens.pad), 0)
    looping = not written["finished"][row, 0] and bool(is_loop(written["tokens"][row, :1, :length]))
    words = [(token, logprob) for token, logprob in zip(ids, logprobs, strict=True) if token not in special]
    text, probability = tokens.spell([token for token, _ in words]), float(written["probability"][row, 0])
    if task.gives == "text":
        return Answer(text, probability, None, 0, looping or not text)
    pieces = [tokens.tokenizer.id_to_token(token) for token, _ in words]
    arguments = (
        pieces,
        [logprob for _, logprob in words],
        count_locations(tokens.tokenizer),
        tokens.tokenizer.decoder.decode,
    )
    if task.gives == "polygons" or POLYGONS in pieces:
        located, malformed = read_polygons(*arguments)
    else:
        located, malformed = read_places(*arguments, length=_LENGTHS[task.gives])
    label = asked.phrase.strip() if task.takes == "phrase" else ""
    located = [place if place.label else place._replace(label=label) for place in located]
    # A text that ends at once says that there is no such place; one of special tokens alone, or without any, is none.
    return Answer(text, probability, located, malformed, looping or (not located and length > 0))


def _warn(keys: Sequence[str], asked: Asked, answers: Sequence[Sequence[Answer | None]]) -> None:
    """Warns of texts that are none, and of places that were left out."""
    each = [
        (key, task, answer)
        for key, of_record in zip(keys, answers, strict=True)
        for task, answer in zip(asked.tasks, of_record, strict=True)
        if answer is not None
    ]
    empty = [f"that of {key} ({task}), {answer.text!r:.60}" for key, task, answer in each if answer.says_nothing]
    if empty:
        warnings.warn(
            f"{len(empty):,} of {counted(len(each), 'text')} says nothing or loops, first of all {empty[0]}; is the"
            " tokenizer that of the model, and is it trained for this task?",
            UserWarning,
            stacklevel=4,
        )
    malformed = sum(answer.malformed for _, _, answer in each)
    if malformed:
        warnings.warn(f"Left out, as it could not be read: {counted(malformed, 'place')}.", UserWarning, stacklevel=4)


def _fields(target: str) -> pa.Schema:
    return pa.schema([
        pa.field("key", pa.string()), pa.field("task", pa.string()), pa.field("width", pa.int64()),
        pa.field("height", pa.int64()), pa.field(target, pa.string()), pa.field(f"{target}_probability", pa.float32()),
        pa.field("boxes", pa.string()),
    ])  # fmt: skip


def _draw(model: Model, table: Table, draw: str | Path, rows: list[dict[str, Any]]) -> None:
    """Draws the places of all tasks into each picture."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["boxes"] is not None:
            entries.setdefault(row["key"], []).extend(row["boxes"])
    draw_records(table, model.schema.inputs_of("image")[0], draw, entries)


def _row(
    target: str, key: str, task: str, size: tuple[int, int] | None, answer: Answer | None, least: float
) -> dict[str, Any]:
    """The cells of an answer, with the places that are sure enough; without one, only its key and task."""
    width, height = size or (None, None)
    row = {"key": key, "task": task, "width": width, "height": height}
    if answer is None:
        return row | dict.fromkeys((target, f"{target}_probability", "boxes"))
    boxes = None
    if answer.places is not None:
        boxes = [place_record(place, size) for place in answer.places if place.confidence >= least]
    return row | {target: answer.text, f"{target}_probability": answer.probability, "boxes": boxes}


def _write_file(out: Path, target: str, rows: list[dict[str, Any]]) -> None:
    """The rows as a table, places as JSON in a cell; or as a list in JSON, each with what its task gives."""
    if out.suffix == JSON:
        described = [{name: value for name, value in row.items() if value is not None} for row in rows]
        for row in described:
            row.pop(target if "boxes" in row else "boxes", None)
        with whole_file(out) as new:
            new.write_text(json.dumps(described, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        return
    cells = [
        row | {"boxes": None if row["boxes"] is None else json.dumps(row["boxes"], ensure_ascii=False)} for row in rows
    ]
    with whole_file(out) as new:
        write_rows([cells], _fields(target), new, out.suffix)


def print_answers(frame: pd.DataFrame) -> None:
    """Prints what `write_tasks` gives: a line for each text, and for each place its score, label and points."""
    (target,) = frame.attrs["written"]
    for row in frame.to_dict("records"):
        name = f"{row['key']} ({row['task']})"
        if not isinstance(row["boxes"], list):
            print(f"{name}: {'' if pd.isna(row[target]) else ' '.join(row[target].split())}")
            continue
        print(f"{name}: {counted(len(row['boxes']), 'place')}")
        for record in row["boxes"]:
            points = next(record[shape] for shape in ("box", "quad", "polygon") if shape in record)
            print(f"    {record['score']:.3f}  {record['label']}  {', '.join(f'{point:g}' for point in points)}")
