"""Files of JSON lines: a value a line, blank lines skipped, and a sentence for the line that is not JSON."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sensorium.errors import UserError


def parse_json_lines(lines: Iterable[str], path: Path) -> Iterator[tuple[int, Any]]:
    """Yields the number of each line of `path` that is not blank, from 1, and its value. Raises UserError."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"Line {number} of {path} is not JSON: {error.msg} at character {error.pos + 1}; mend that line."
            ) from None
