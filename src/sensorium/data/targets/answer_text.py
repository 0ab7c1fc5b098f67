"""Answers to questions, as several people give them: read, brought to one spelling, counted.

The spelling is that of the evaluation of VQA (Antol et al. 2015, arXiv:1505.00468; the rules are those of
visualqa.org/evaluation): small letters, no articles, number words as digits, no punctuation but apostrophes, colons and
decimal points, and the apostrophe that a contraction lacks.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import to_label
from sensorium.data.targets.base import RecordCells

ARTICLES = ("a", "an", "the")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
DIGITS = {"none": "0"} | {word: str(number) for number, word in enumerate(NUMBERS)}
MARKS = ';/[]"{}()=+\\_-><@`,?!'
COMMA_IN_NUMBER = re.compile(r"\d,\d")
FULL_STOP = re.compile(r"\.(?!\d)")
CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
    o'clock oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""


def _lacking(word: str) -> list[str]:
    """The word without its apostrophe; of several, without any one of them."""
    return [word[:position] + word[position + 1 :] for position, letter in enumerate(word) if letter == "'"]


CONTRACTIONS = {lacking: word for word in CONTRACTED.split() for lacking in _lacking(word)}


@lru_cache(maxsize=2**17)
def normalise(answer: str) -> str:
    """An answer in the one spelling of its kind: "The Two dogs!" is "2 dogs".

    A mark becomes a blank; it is dropped where it stands beside a blank or a number has a comma, as in the published
    evaluation. An answer of which nothing would be left stays, in small letters.
    """
    plain = " ".join(answer.split())
    text, numbered = plain, COMMA_IN_NUMBER.search(plain) is not None
    for mark in MARKS:
        beside = f"{mark} " in plain or f" {mark}" in plain
        text = text.replace(mark, "" if beside or numbered else " ")
    words = [DIGITS.get(word, word) for word in FULL_STOP.sub("", text).lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES) or plain.lower()


def commonest(cells: Iterable[list[str] | None]) -> dict[str, float]:
    """How large a share each answer has of the cells, summed over them; the largest first, then by name."""
    shares: dict[str, float] = {}
    for cell in cells:
        for answer, count in Counter(cell or ()).items():
            shares[answer] = shares.get(answer, 0.0) + count / len(cell)
    return dict(sorted(shares.items(), key=lambda item: (-round(item[1], 6), item[0])))


def encode_answers(cells: np.ndarray, labels: list[str]) -> dict[str, np.ndarray]:
    """Cells [N], lists of normalised answers or None, as arrays. A: the most different answers of a cell.

    mask bool [N]; answers int64 [N, A], positions in `labels`, the commonest of the cell first, -1 where there is none
    or it is not among them; weight float32 [N, A], the share that gave it, 0 where there is none; annotators int64 [N],
    how many answered.
    """
    counted = [Counter(cell or ()).most_common() for cell in cells]
    lengths = [len(counts) for counts in counted]
    width = max([1, *lengths])
    rows = np.repeat(np.arange(len(cells)), lengths)
    column = np.concatenate([np.arange(length) for length in lengths] or [np.zeros(0, np.int64)]).astype(np.int64)
    annotators = np.array([0 if cell is None else len(cell) for cell in cells], dtype=np.int64)
    positions, weight = np.full((len(cells), width), -1, np.int64), np.zeros((len(cells), width), np.float32)
    names = np.array([answer for counts in counted for answer, _ in counts], dtype=object)
    positions[rows, column] = pd.Index(labels, dtype=object).get_indexer(names)
    weight[rows, column] = [count for counts in counted for _, count in counts]
    weight /= np.maximum(annotators, 1)[:, None]
    return {"mask": annotators > 0, "answers": positions, "weight": weight, "annotators": annotators}


def parse_answers(value: Any) -> list[str] | None:
    """The normalised answers of a cell, one or a list of them, which may be written in JSON; None for none.

    Raises ValueError for what is no text, number or list of these.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _from_json(value)
    answers = value if isinstance(value, list | tuple | np.ndarray) else [value]
    normalised = [normalise(to_label(answer)) for answer in answers if answer is not None and answer == answer]
    return [answer for answer in normalised if answer] or None


def _from_json(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def question_texts(records: RecordCells) -> list[str]:
    """The text that each record asks by: of all its text inputs, in small letters and single blanks; "" without any."""
    texts = [""] * len(records)
    for spec in records.schema.inputs:
        if spec.modality == "text":
            cells = records.cells(spec.columns[0], "text")
            texts = [" ".join(f"{text} {cell or ''}".lower().split()) for text, cell in zip(texts, cells, strict=True)]
    return texts
