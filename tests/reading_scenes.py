"""What has to be so before the mistakes with readings and points of docs/mistakes.md."""

import json
from collections.abc import Callable
from typing import Any

from tests.reviews import put


def machines(third: Any, files: dict[str, str] | None = None) -> Callable[[Any], None]:
    """machines.jsonl, 24 machines with two readings each, of which the third has `third`; and `files` by name."""

    def make(scene: Any) -> None:
        records = [
            {"sensors": [[0, 20 + row], [1.5, 21 + row]], "state": ("worn", "sound")[row % 2]} for row in range(24)
        ]
        records[2]["sensors"] = third
        put("machines.jsonl", "\n".join(map(json.dumps, records)))
        for name, content in (files or {}).items():
            put(name, content)

    return make


def differing(scene: Any) -> None:
    """machines.jsonl of which every other machine has two values a reading."""
    records = [
        {"sensors": [[0, *[row] * (1 + row // 2 % 2)]] * 2, "state": ("worn", "sound")[row % 2]} for row in range(24)
    ]
    put("machines.jsonl", "\n".join(map(json.dumps, records)))


SCENES: dict[str, Callable[[Any], None]] = {
    "Rows of numbers may be two things": machines(None),
    "A file of readings has no header": machines("bare.csv", {"bare.csv": "0,20.5\n1,21\n"}),
    "A word among the readings": machines("words.csv", {"words.csv": "time,heat\n0,20.5\n1,high\n"}),
    "Readings of different lengths": machines([[0, 20.5], [1]]),
    "A reading has no time": machines([[0, 20.5], [None, 21]]),
    "A time that is neither seconds nor a date": machines([["noon", 20.5], ["one", 21]]),
    "Columns of readings without a time": machines({"heat": [20.5, 21]}),
    "Series that differ in their number of values": differing,
    "A point lacks a coordinate": machines([[0, 20.5], [1, None]]),
    "Neither readings nor a path": machines(20.5),
}
