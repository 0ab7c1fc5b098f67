"""Texts that a trained model writes for records: captions of pictures, translations, answers."""

import copy
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from sensorium.data.media.extensions import ENDINGS
from sensorium.data.read import read
from sensorium.data.scan import WAYS_WITH_BAD_RECORDS
from sensorium.data.schema import TargetSpec
from sensorium.data.sources.folder import FILE
from sensorium.data.table import Table
from sensorium.errors import UserError, check_known, unknown
from sensorium.features import Batch, Features
from sensorium.generation.autoregressive import Stream
from sensorium.generation.settings import Generation
from sensorium.inference.listening import Request
from sensorium.inference.places import JSON, PlacesOut
from sensorium.inference.predict import decide_records, index_of, predictions_schema, warn_of_missing_columns
from sensorium.inference.rows import ENDINGS_OF_TABLES, Chunks, suffix_of, write_rows
from sensorium.inference.task_request import Asked, no_task, prompted_input
from sensorium.inference.tasks import print_answers, write_tasks
from sensorium.inference.transcripts import LINES, can_transcribe, write_transcripts
from sensorium.model import HasModel, Model, RecordSource, loss_scored_targets, model_of

CHANNELS = ("mix", "split")
_HEARD = {"video": "audio"}  # kinds of files whose sound is read where nothing reads them as a whole
Pieces = Callable[[str, str], None]
"""Called with a record's key and the next piece of the text that is written for it."""


def write(
    run: HasModel | Model | str | Path,
    records: RecordSource | Sequence[str | Path],
    out: str | Path | None = None,
    *,
    stream: Pieces | None = None,
    bad_records: str = "skip",
    quiet: bool = True,
    language: str | None = None,
    task: str | Sequence[str] | None = None,
    phrase: str | None = None,
    region: str | Sequence[float] | None = None,
    timestamps: bool = False,
    words: bool = False,
    channels: str = CHANNELS[0],
    draw: str | Path | None = None,
    least: float = 0.0,
    **generation: Any,
) -> pd.DataFrame | dict[str, Any]:
    """The texts that a trained model writes for every record.

    records: what `predict` takes; also a folder of pictures, sounds or films or several such files, for a model with
    one input of that kind. Gives what `predict` gives: of each text target `<target>` and `<target>_probability`, that
    of the whole text; with `best` above 1 also the lists `<target>_best` and `<target>_best_probabilities`, best first.
    out: a file (.parquet, .csv, .jsonl; .txt with a text a line). stream: hears each piece as it is written, a record
    at a time, and each segment of recordings, of several in turn. generation: see `Generation`: beams, best,
    temperature, top_p, top_k, max_tokens, seed, stop, ...

    A Whisper writes what is said in recordings of any length. language: a code or an English name; None: it is
    detected. task: "transcribe" or "translate", into English. timestamps, words: the times of segments and of words.
    channels: "mix", or "split" to write each apart. `<target>_language` and `<target>_segments` are further columns;
    out may end in .srt, .vtt or .json too, or be a folder.

    Places in pictures are JSON in a cell: label, box (quad, polygon) in pixels, score of the points and label_score.
    least: of the geometric mean of both, below which a place is left out. draw: a picture, of several records a folder,
    that they are drawn into. out may end in .json too.

    A Florence-2 does tasks, one or several, each a row of what is given: task: their names, as ["caption", "detect"];
    phrase, region: what some of them take, a text and x0, y0, x1, y1 in pixels. See `inference.tasks.write_tasks`; out
    may end in .json too. Raises UserError for what the user can mend.
    """
    check_known(WAYS_WITH_BAD_RECORDS, "way with bad records", bad_records)
    check_known(CHANNELS, "way with channels", channels)
    settings = generation_settings(generation)
    asked, model = Asked.of(task, phrase, region), model_of(run)
    request = Request(language, " ".join(asked.tasks) or None, timestamps, words, channels != CHANNELS[0])
    targets = [name for name in loss_scored_targets(model) if getattr(model.heads[name], "writes", False)]
    if not targets:
        decided = ", ".join(f"{spec.name} ({spec.kind})" for spec in model.schema.targets) if model.schema else ""
        raise UserError(
            f"This model writes no text: its targets are {decided or 'none'}; fit one with --target NAME=text, or take"
            " sensorium predict."
        )
    prompts = prompted_input(model)
    if prompts is not None and asked != Asked() and request._replace(task=None) == Request():
        model, table = read_for_writing(model, records)
        return write_tasks(
            model, targets[0], table, out, index_of(records, table), asked, settings, streams=stream is not None,
            draw=draw, least=least, bad_records=bad_records, quiet=quiet,
        )  # fmt: skip
    placed = _placed_target(model, targets, draws=draw is not None or least > 0)
    if phrase is not None or region is not None:
        raise UserError("A phrase or region is of a model that does tasks, and this one does none; leave it out.")
    if can_transcribe(model, targets):
        if settings.best > 1:
            raise UserError("Of what is said in a recording there is one text; leave best out.")
        model, table = read_for_writing(model, records)
        return write_transcripts(
            model, targets[0], table, out, index_of(records, table), request, settings, stream=stream,
            bad_records=bad_records, quiet=quiet,
        )  # fmt: skip
    if request != Request():
        raise UserError(
            "Language, task, timestamps, words and channels are of a Whisper that reads recordings alone, and this"
            " model is none; leave them out."
        )
    _check_file(out, targets, placed is not None)
    if placed is not None and settings.best > 1:
        raise UserError("Of the places in a picture there is one list; leave best out.")
    keyed, table = read_for_writing(model, records)
    if prompts is not None and keyed is not model:
        raise no_task(model, prompts)
    if isinstance(records, str | Path):
        warn_of_missing_columns(table)
    fields = predictions_schema(model)
    for name in targets if settings.best > 1 else []:
        fields = fields.append(pa.field(f"{name}_best", pa.list_(pa.string())))
        fields = fields.append(pa.field(f"{name}_best_probabilities", pa.list_(pa.float32())))
    place_files = None if placed is None else PlacesOut(placed, out, draw, least, table)
    write_file = partial(_write_lines, targets[0]) if out is not None and Path(out).suffix == LINES else write_rows
    written = decide_records(
        keyed, table, out, fields, index_of(records, table), bad_records=bad_records, quiet=quiet,
        decide=partial(_write_batch, keyed, targets, settings, stream),
        write=write_file if place_files is None else place_files.write,
    )  # fmt: skip
    if place_files is not None:
        written = place_files.filtered(written) if out is None else written
        place_files.draw_all(table)
    if out is None:
        written.attrs["written"] = targets
    return written


def _placed_target(model: Model, targets: list[str], draws: bool) -> TargetSpec | None:
    """The target that is places in pictures, None without any. draws: whether drawings are asked for, or sure places.
    Raises UserError where there is nothing to draw, or several such targets.
    """
    placed = [spec for spec in model.schema.targets if spec.name in targets and spec.picture is not None]
    if draws and len(placed) != 1:
        prompts = prompted_input(model)
        sentence = (
            f"The model writes the places of {', '.join(spec.name for spec in placed)}; draw and least are of one."
            if placed
            else "This model writes no places in pictures, which draw and least are about; leave them out."
        )
        raise UserError(sentence) if prompts is None else no_task(model, prompts)
    return placed[0] if placed else None


def _check_file(out: str | Path | None, targets: list[str], writes_places: bool) -> None:
    """Checks that the file `out` holds what is written of `targets`; places have files of their own. Raises
    UserError."""
    if out is None:
        return
    if not writes_places:
        suffix_of(out, (*ENDINGS_OF_TABLES, LINES))
    if len(targets) > 1 and Path(out).suffix in (LINES, JSON):
        raise UserError(
            f"{Path(out).suffix} has room for one of what the model writes, {', '.join(targets)}; take .csv."
        )


def generation_settings(options: dict[str, Any]) -> Generation:
    """The settings of a search. Raises UserError for an option that there is not, or a value that does not fit."""
    options = {name: value for name, value in options.items() if value is not None}
    for name in options:
        if name not in Generation.model_fields:
            raise unknown("option of writing", name, Generation.model_fields)
    try:
        return Generation(**options)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"][:1]))
        message = problem["msg"].removeprefix("Value error, ")
        raise UserError(f"{f'{where}: ' if where else ''}{message}; see docs/writing.md.") from error


def read_for_writing(model: Model, records: RecordSource | Sequence[str | Path]) -> tuple[Model, Table]:
    """The records as a table of the model; media files and folders of them become its only input of their kind, and
    their names the keys, which a copy of the model, of the same weights, then knows.
    """
    paths = [records] if isinstance(records, str | Path) else records
    if not isinstance(paths, list | tuple) or not paths or not all(isinstance(path, str | Path) for path in paths):
        return model, model.read(records)
    paths = [Path(path) for path in paths]
    if len(paths) == 1 and paths[0].is_dir():
        table = read(paths[0], quiet=True)
        kind = next((kind for kind in (*ENDINGS, "text") if {kind, FILE} <= {*table.frame.columns}), None)
        if kind is None:
            return model, model.read(paths[0])
        frame, root = table.frame.rename(columns={kind: _only_input(model, kind)}), table.root
    else:
        kinds = {next((kind for kind, ends in ENDINGS.items() if path.suffix[1:] in ends), None) for path in paths}
        if kinds == {None} and len(paths) == 1:
            return model, model.read(paths[0])
        if None in kinds or len(kinds) > 1:
            raise UserError(
                f"{', '.join(map(str, paths[:3]))}: these files are not of one kind; give pictures, sounds or films, a"
                " folder of them, or one table."
            )
        missing = next((path for path in paths if not path.exists()), None)
        if missing is not None:
            raise UserError(f"There is no file {missing}; check its name.")
        names = [str(path) for path in paths]
        frame, root = pd.DataFrame({_only_input(model, kinds.pop()): names, FILE: names}), Path()
    keyed = copy.copy(model)
    keyed.schema = model.schema.model_copy(update={"key": FILE})
    return keyed, read(frame, schema=keyed.schema, root=root, quiet=True)


def _only_input(model: Model, kind: str) -> str:
    """The input of this kind, or that of the sound of such files. Raises UserError where there is none or several."""
    names = model.schema.inputs_of(kind) or model.schema.inputs_of(_HEARD.get(kind, kind))
    if len(names) != 1:
        inputs = ", ".join(f"{spec.name} ({spec.modality})" for spec in model.schema.inputs)
        raise UserError(f"The model reads {inputs}, so which of them the {kind} files are is not clear; give a table.")
    return names[0]


def _write_batch(
    model: Model, targets: list[str], settings: Generation, stream: Pieces | None, batch: Batch, fused: Features
) -> dict[str, dict[str, Tensor]]:
    """The predictions of a batch; where a `stream` hears them, one record after another."""
    predicted = model.decide(fused, without=targets)
    for name in targets:
        head = model.heads[name]
        if stream is None:
            predicted[name] = head.predict(fused, settings, batch.keys)
            continue
        rows = []
        for row, key in enumerate(batch.keys):
            pieces = spelled_pieces(head.processor.spell, partial(stream, key))
            index = torch.tensor([row], device=fused.mask.device)
            rows.append(head.predict(fused.take(index), settings, [key], pieces))
        predicted[name] = _joined(rows, head.processor.pad)
    return predicted


def _joined(rows: list[dict[str, Tensor]], pad: int) -> dict[str, Tensor]:
    """What was predicted of single records, as of a batch."""
    longest = max(row["tokens"].shape[2] for row in rows)
    for row in rows:
        gap = (0, longest - row["tokens"].shape[2])
        row |= {"tokens": F.pad(row["tokens"], gap, value=pad), "logprobs": F.pad(row["logprobs"], gap)}
    return {key: torch.cat([row[key] for row in rows]) for key in rows[0]}


def spelled_pieces(spell: Callable[[list[int]], str], say: Callable[[str], None]) -> Stream:
    """A stream of tokens that says the letters that each of them adds; a letter of several tokens when it is whole."""
    tokens: list[int] = []
    spelled = ""

    def hear(row: int, token: int) -> None:
        nonlocal spelled
        tokens.append(token)
        text = spell(tokens)
        if text.startswith(spelled) and not text.endswith("\N{REPLACEMENT CHARACTER}") and text != spelled:
            say(text[len(spelled) :])
            spelled = text

    return hear


def _write_lines(target: str, chunks: Chunks, schema: pa.Schema, path: Path, suffix: str) -> None:
    """A text a line; line ends within a text become blanks."""
    with open(path, "w", encoding="utf-8") as file:
        for chunk in chunks:
            file.writelines(" ".join(row[target].split()) + "\n" for row in chunk)


def print_texts(frame: pd.DataFrame) -> None:
    """Prints a line for each record of what `write` gives: its key and its text, of several each with its name."""
    targets = frame.attrs["written"]
    if "task" in frame:
        print_answers(frame)
        return
    for row in frame.to_dict("records"):
        texts = {name: "" if pd.isna(row[name]) else row[name] for name in targets}
        texts_of = [f"{name}: {text}" if len(targets) > 1 else text for name, text in texts.items()]
        print(f"{row['key']}: " + "; ".join(" ".join(text.split()) for text in texts_of))
        for column, texts in row.items():
            if column.endswith("_best"):
                for text, probability in zip(texts, row[f"{column}_probabilities"], strict=True):
                    print(f"    {probability:.3f}  {text}")


def print_pieces() -> Pieces:
    """Prints the text of each record as it is written, after its key."""
    last = ""

    def say(key: str, piece: str) -> None:
        nonlocal last
        if key != last:
            sys.stdout.write(f"{'' if not last else chr(10)}{key}: ")
            last = key
        sys.stdout.write(piece)
        sys.stdout.flush()

    return say
