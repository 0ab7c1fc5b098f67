"""A table of turns made a table of answers: each answer with what was said before it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import is_missing
from sensorium.data.sources.tables import is_table, read_source
from sensorium.errors import UserError, unknown

CONVERSATION, TURN, SPEAKER, TEXT = COLUMNS = ("conversation", "turn", "speaker", "text")
DIALOGUE, ANSWER = "dialogue", "answer"
USUAL_SPEAKER = "assistant"
PERSON, SYSTEM = "user", "system"
CONTEXT = 128  # words and marks of a dialogue, which text encoders read as 256 tokens or fewer
_TOKEN = re.compile(r"\w+|[^\w\s]")


def is_dialogue(path: Path) -> bool:
    """Whether the file is a table with the columns of turns; JSON of published data sets is none."""
    return is_table(path) and path.suffix.lower() != ".json" and set(COLUMNS) <= set(read_source(path).frame.columns)


def dialogues(path: Path, speaker: str | None = None, context: int = CONTEXT) -> pd.DataFrame:
    """A row for each turn of the `speaker` that others precede: `conversation`, `turn`, `dialogue`, what was said
    before, a line a turn, "user: text" or "assistant: text"; `answer`, what the speaker says; and each further column
    of the table, as the latest turn before the answer that has it states it, paths from the working folder.

    The speaker is called "assistant" there and everybody else "user", as language models know it; of several others the
    name stands before the text. A "system" keeps its name.
    path: a table with the columns `conversation`, `turn` (numbers or texts that sort), `speaker` and `text`. speaker:
    "assistant" when it is not said. context: of so many words and marks the dialogue keeps whole turns, the latest
    always, the oldest go first. `attrs["left_out"]` counts answers that are empty or that nothing precedes,
    `attrs["cut"]` dialogues that lost turns. Raises UserError.
    """
    source = read_source(path)
    turns = source.frame.reset_index(drop=True)
    _check(turns, source.name)
    speakers = sorted(set(turns[SPEAKER].astype(str).str.strip()))
    if speaker is None and USUAL_SPEAKER not in speakers:
        raise UserError(
            f"Nobody in {source.name} is called '{USUAL_SPEAKER}'; say whose turns are to be learned with --answers:"
            f" {', '.join(speakers)}."
        )
    speaker = speaker or USUAL_SPEAKER
    if speaker not in speakers:
        raise unknown("speaker", speaker, speakers)
    further = [name for name in turns.columns if name not in COLUMNS]
    turns = turns.assign(**{name: _from_here(turns[name], source.root) for name in further})
    others = [name for name in speakers if name not in (speaker, SYSTEM)]
    names = {name: f"{PERSON}: {name}" if len(others) > 1 else PERSON for name in others} | {SYSTEM: SYSTEM}
    turns[SPEAKER] = [(names | {speaker: USUAL_SPEAKER})[str(name).strip()] for name in turns[SPEAKER]]
    rows, counts = [], {"left_out": 0, "cut": 0}
    for conversation, members in turns.groupby(CONVERSATION, sort=False):
        ordered = members.sort_values(TURN, key=_as_numbers, kind="stable")
        rows += _answers(str(conversation), ordered, context, further, counts)
    if not rows:
        raise UserError(f"No turn of '{speaker}' in {source.name} has text and another before it; nothing is learned.")
    frame = pd.DataFrame(rows, columns=[CONVERSATION, TURN, DIALOGUE, *further, ANSWER], dtype=object)
    frame.attrs |= counts | {"paths": further}
    return frame


def _check(turns: pd.DataFrame, name: str) -> None:
    """Checks that every turn has a conversation, a place in it that no other has, and a speaker. Raises UserError."""
    for column in (CONVERSATION, TURN, SPEAKER):
        missing = is_missing(turns[column].to_numpy(dtype=object))
        if missing.any():
            row = int(missing.argmax()) + 1
            raise UserError(f"Row {row} of {name} has no '{column}', which every turn needs; fill it in.")
    twice = turns.duplicated([CONVERSATION, TURN])
    if twice.any():
        row = int(twice.to_numpy().argmax())
        turn, conversation = turns[TURN][row], turns[CONVERSATION][row]
        raise UserError(
            f"Row {row + 1} of {name} is turn {turn} of conversation {conversation} a second time; number the turns of"
            " a conversation."
        )


def _as_numbers(turns: pd.Series) -> pd.Series:
    """Numbers where all turns are, else as they are."""
    numbers = pd.to_numeric(turns, errors="coerce")
    return turns.astype(str) if numbers.isna().any() else numbers


def _from_here(cells: pd.Series, root: Path) -> list[Any]:
    """Cells that are files beside the table as paths from the working folder, all others as they are."""
    paths = [os.path.join(root, cell) if isinstance(cell, str) and cell else None for cell in cells]
    return [
        os.path.relpath(path) if path and os.path.isfile(path) else cell
        for path, cell in zip(paths, cells, strict=True)
    ]


def _answers(
    conversation: str, turns: pd.DataFrame, context: int, further: list[str], counts: dict[str, int]
) -> Iterator[list[Any]]:
    """The rows of one conversation, in order; `counts` grows by what is left out and cut."""
    lines: list[str] = []
    latest: dict[str, Any] = dict.fromkeys(further)
    for turn in turns.to_dict("records"):
        text = "" if _lacks(turn[TEXT]) else one_line(str(turn[TEXT]))
        # What stands beside an answer is not known before it.
        beside = {name: turn[name] for name in further if not _lacks(turn[name])}
        if turn[SPEAKER] == USUAL_SPEAKER:
            if text and lines:
                kept = latest_turns(lines, context)
                counts["cut"] += len(kept) < len(lines)
                yield [conversation, turn[TURN], "\n".join(kept), *latest.values(), text]
            else:
                counts["left_out"] += 1
        latest |= beside
        if text:
            lines.append(as_line(turn[SPEAKER], text))


def as_line(speaker: str, text: str) -> str:
    """A turn as a line of a dialogue."""
    return f"{speaker}: {one_line(text)}"


def one_line(text: str) -> str:
    """The text with single blanks in the place of all blanks and ends of lines."""
    return " ".join(text.split())


def _lacks(cell: Any) -> bool:
    return bool(is_missing(np.array([cell, None], dtype=object))[0])


def latest_turns(lines: list[str], context: int) -> list[str]:
    """The latest of the `lines` that have `context` words and marks in all; the last one always."""
    room, count = context, 0
    for line in reversed(lines):
        room -= len(_TOKEN.findall(line))
        if room < 0 and count:
            break
        count += 1
    return lines[-count:]
