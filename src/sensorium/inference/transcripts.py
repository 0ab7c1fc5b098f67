"""The transcripts of recordings as `write` gives them: a data frame, a table, or files of text and subtitles."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.console import Console
from sensorium.data.media.extensions import ENDINGS
from sensorium.data.media.recording import length
from sensorium.data.table import Table
from sensorium.errors import RecordError, UserError, counted
from sensorium.files import whole_file
from sensorium.generation.settings import Generation
from sensorium.inference.listening import Request
from sensorium.inference.predict import list_bad_records, report_absent, report_bad_records
from sensorium.inference.rows import ENDINGS_OF_TABLES, suffix_of, write_rows
from sensorium.inference.subtitles import FORMATS, TIMED, write_transcript
from sensorium.inference.transcribe import Transcriber
from sensorium.inference.transcript import Transcript
from sensorium.model import Model

LINES = ".txt"
_MEDIA = {ending for endings in ENDINGS.values() for ending in endings}


def can_transcribe(model: Model, targets: Sequence[str]) -> bool:
    """Whether what a model writes is what is said in recordings, its only input."""
    if (
        len(targets) != 1
        or not getattr(model.heads[targets[0]], "transcribes", False)
        or len(model.encoders.names) != 1
    ):
        return False
    (encoder,) = model.encoders.modules_once
    return getattr(encoder.processor, "silence", None) is not None


def check_out(out: str | Path, count: int, request: Request) -> Request:
    """The request as the file or folder `out`, of `count` recordings, needs it. Raises UserError for a kind of file
    that is not written, or that has room for one recording, and for a file in place of a folder or the reverse.
    """
    ending = Path(out).suffix
    if not ending and Path(out).is_file():
        raise UserError(f"{out} is a file; name a folder, which gets a file for each recording, or a .csv.")
    if ending and Path(out).is_dir():
        raise UserError(f"{out} is a folder, and its ending that of a file; choose another name.")
    if ending and ending not in ENDINGS_OF_TABLES:
        suffix_of(out, (*ENDINGS_OF_TABLES, *FORMATS))
        if count != 1 and ending != LINES:
            raise UserError(
                f"{ending} has room for one recording, and there are {count:,}; name a folder, which gets a file for"
                " each, or a .csv."
            )
    return request._replace(timestamps=True) if ending in TIMED else request


def write_transcripts(
    model: Model,
    target: str,
    table: Table,
    out: str | Path | None,
    index: pd.Index,
    request: Request,
    settings: Generation,
    *,
    stream: Any = None,
    bad_records: str = "skip",
    quiet: bool = True,
) -> pd.DataFrame | dict[str, Any]:
    """See `inference.write.write`. index: [N], what the rows of the data frame are called."""
    if out is not None:
        request = check_out(out, len(table), request)
    if request.timed and (settings.choices or settings.forced):
        limit = "is one of several choices" if settings.choices else "begins with a forced one"
        raise UserError(f"A text that {limit} has no timestamps; leave one of them out.")
    transcriber = Transcriber(model, target, request, settings, stream)
    bad: list[RecordError] | None = None if bad_records == "stop" else list(table.misfits)
    if bad is None and table.misfits:
        raise table.misfits[0]
    spec = table.schema.inputs[0]
    seconds = 0.0 if quiet else sum(length(table.value(row, spec), table.root) for row in range(len(table)))
    with Console(quiet).progress("Seconds written", round(seconds)) as progress:
        transcripts = transcriber(table, bad, progress)
    broken = {error.row for error in bad or ()}
    keeps = np.array([bad_records == "absent" or row not in broken for row in table.rows], dtype=bool)
    if not keeps.any():
        raise UserError(f"Every one of the {counted(len(table), 'record')} is bad, first of all this: {bad[0]}")
    keys = [key for key, keep in zip(table.keys, keeps, strict=True) if keep]
    transcripts = [transcript for transcript, keep in zip(transcripts, keeps, strict=True) if keep]
    rows = [_row(target, key, spec.name, each, request) for key, each in zip(keys, transcripts, strict=True)]
    left_out = report_bad_records(bad if bad_records == "skip" else None, len(table), quiet)
    report_absent(bad if bad_records == "absent" else None, quiet)
    if out is None:
        frame = pd.DataFrame(rows, columns=_fields(target, request).names, index=index[keeps])
        frame.attrs["written"] = [target]
        return frame
    _write_files(Path(out), target, keys, transcripts, rows, request, single=len(table) == 1)
    listed = list_bad_records(bad, out)
    if not quiet:
        skipped = f"; {listed} says what could not be read" if listed else ""
        print(f"{counted(len(rows), 'transcript')} in {out}{skipped}.")
    return {"out": str(out), "records": len(rows), "set_aside": left_out, "bad_records": listed}


def _fields(target: str, request: Request) -> pa.Schema:
    fields = [
        pa.field("key", pa.string()), pa.field(target, pa.string()), pa.field(f"{target}_probability", pa.float32()),
        pa.field(f"{target}_language", pa.string()),
    ]  # fmt: skip
    fields += [pa.field(f"{target}_segments", pa.string())] if request.timed else []
    return pa.schema([*fields, pa.field("absent", pa.list_(pa.string()))])


def _row(target: str, key: str, name: str, transcript: Transcript | None, request: Request) -> dict[str, Any]:
    """The cells of a recording; without one, only its key."""
    if transcript is None:
        segments = {f"{target}_segments": None} if request.timed else {}
        cells = dict.fromkeys((target, f"{target}_probability", f"{target}_language"))
        return {"key": key} | cells | segments | {"absent": [name]}
    row = {
        "key": key,
        target: transcript.text,
        f"{target}_probability": float(np.exp(transcript.logprob)),
        f"{target}_language": transcript.language,
        "absent": [],
    }
    segments = [segment.as_dict() for segment in transcript.segments]
    return row | ({f"{target}_segments": segments} if request.timed else {})


def _write_files(
    out: Path,
    target: str,
    keys: list[str],
    transcripts: list[Transcript | None],
    rows: list[dict],
    request: Request,
    single: bool,
) -> None:
    """single: whether one recording was given, so that `out` may be a file of it alone."""
    if out.suffix in ENDINGS_OF_TABLES:
        column = f"{target}_segments"
        for row in rows if request.timed else ():
            row[column] = None if row[column] is None else json.dumps(row[column], ensure_ascii=False)
        with whole_file(out) as new:
            write_rows([rows], _fields(target, request), new, out.suffix)
    elif out.suffix == LINES and not single:
        with whole_file(out) as new:
            lines = (" ".join((transcript or Transcript()).text.split()) for transcript in transcripts)
            new.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    elif out.suffix:
        write_transcript(transcripts[0] or Transcript(), out)
    else:
        endings = FORMATS if request.timed else (LINES,)
        for name, transcript in zip(_names(keys), transcripts, strict=True):
            for ending in endings if transcript is not None else ():
                write_transcript(transcript, out / f"{name}{ending}")


def _names(keys: list[str]) -> list[str]:
    """A file name for each record: that of its own file without the ending, with a number where there is one already,
    however it is capitalised.
    """
    names: list[str] = []
    counts: dict[str, int] = {}  # of each name, how many records were to have it
    for key in keys:
        path = Path(key)
        stem = path.stem if path.suffix[1:].lower() in _MEDIA else path.name
        name = stem = stem or "recording"
        while name.casefold() in counts:
            counts[stem.casefold()] += 1
            name = f"{stem} ({counts[stem.casefold()]})"
        counts[name.casefold()] = 1
        names.append(name)
    return names
