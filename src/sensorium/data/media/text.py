"""Texts: a string unchanged."""

from numbers import Number
from pathlib import Path
from typing import Any


def decode(value: Any, root: Path) -> str:
    """`value` as a string (a number becomes its digits). `root` is not used: a text is never a path. Raises ValueError
    when it is neither, or holds half a character, which no tokenizer takes."""
    if isinstance(value, Number):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"it is not text but {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("the text holds half a character (a lone surrogate)") from error
    return value
