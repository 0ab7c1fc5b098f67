"""Lists of objects as JSON files hold them: their fields as columns, and a sentence where one is not there."""

from typing import Any

from sensorium.errors import UserError


class Place:
    """Where a list stands: `source` is the file's name, `name` what its entries are called."""

    def __init__(self, source: str, name: str):
        self.source, self.name = source, name

    def column(self, entries: list[Any], field: str) -> list[Any]:
        """The `field` of every entry. Raises UserError naming the first that lacks it."""
        try:
            return [entry[field] for entry in entries]
        except (KeyError, TypeError, IndexError):
            raise self._lacking(entries, field) from None

    def _lacking(self, entries: list[Any], field: str) -> UserError:
        number = next(i for i, one in enumerate(entries, 1) if not (isinstance(one, dict) and field in one))
        return UserError(
            f"Entry {number} of the {self.name} in {self.source} has no '{field}', which every entry has; mend it or"
            " fetch the file again."
        )


def listed(content: dict[str, Any], field: str, source: str) -> list[Any]:
    """The list `field` of a file's object. Raises UserError when it is none, or empty."""
    entries = content.get(field)
    if not isinstance(entries, list) or not entries:
        raise UserError(f"The '{field}' in {source} is no list with entries; fetch the file again.")
    return entries
