"""Names of columns as text: pandas lets them be numbers, dates or anything else."""

from collections.abc import Iterable, Mapping
from typing import Any


def as_names(names: Any) -> Any:
    """A column's name, several, or a mapping by name, with each name as the text that it is in a table; None as it is.

    Of a collection of collections (pairs of columns), each.
    """
    if names is None or isinstance(names, str):
        return names
    if isinstance(names, Mapping):
        return {str(name): value for name, value in names.items()}
    return [as_names(name) for name in names] if isinstance(names, Iterable) else str(names)
