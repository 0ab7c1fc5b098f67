"""Lists of objects as JSON files hold them: their fields as columns, and a sentence where a field is missing."""

from typing import Any

from sensorium.errors import UserError


class EntryList:
    """The objects of a list in a file: `source` is the file's name, `name` what its entries are called in errors."""

    def __init__(self, entries: list[Any], source: str, name: str):
        self.entries, self.source, self.name = entries, source, name

    def column(self, field: str) -> list[Any]:
        """The `field` of every entry. Raises UserError naming the first that lacks it."""
        try:
            return [entry[field] for entry in self.entries]
        except (KeyError, TypeError, IndexError):
            raise self._missing_field_error(field) from None

    def _missing_field_error(self, field: str) -> UserError:
        number = next(i for i, entry in enumerate(self.entries, 1) if not (isinstance(entry, dict) and field in entry))
        return UserError(
            f"Entry {number} of the {self.name} in {self.source} has no '{field}', which every entry has; mend it or"
            " fetch the file again."
        )


def read_list(content: dict[str, Any], field: str, source: str) -> EntryList:
    """The list `field` of a file's object. Raises UserError when it is not a list, or is empty."""
    entries = content.get(field)
    if not isinstance(entries, list) or not entries:
        raise UserError(f"The '{field}' in {source} is no list with entries; fetch the file again.")
    return EntryList(entries, source, field)
