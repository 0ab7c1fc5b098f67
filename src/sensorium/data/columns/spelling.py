"""Names that are spelled in several ways: what makes two spellings one value."""

import re
import unicodedata
from collections.abc import Iterable, Mapping

_DECIMAL = re.compile(r"[+-]?(0|[1-9]\d*)\.\d+")  # no leading zero, which marks a code


def identity(name: str) -> str:
    """What spellings of one value share: capitals, blanks around and between, and zeros after a decimal point do not
    count (`TRUE` and `True`, `Berlin` and `berlin `, `2.0` and `2`; not `007` and `7`). Single letters keep their
    capitals, as in the names of genes and of letters."""
    plain = " ".join(unicodedata.normalize("NFKC", name).split())
    if _DECIMAL.fullmatch(plain):
        return plain.rstrip("0").rstrip(".").removeprefix("+")
    return plain.casefold() if len(plain) > 1 else plain


def common_spellings(counts: Mapping[str, float]) -> dict[str, str]:
    """By name, the commonest spelling of its value, for the names that are another; one without blanks around goes
    before."""
    first: dict[str, str] = {}
    for name in sorted(counts, key=lambda name: (name != name.strip(), -counts[name])):
        first.setdefault(identity(name), name)
    return {name: first[identity(name)] for name in counts if first[identity(name)] != name}


class Names:
    """The names of values, looked up in any spelling; two names that differ only in spelling are told apart by it."""

    def __init__(self, names: Iterable[str]):
        self.exact = {name: name for name in names}
        self.by_identity: dict[str, str] = {}
        for name in self.exact:
            self.by_identity.setdefault(identity(name), name)

    def find(self, name: str) -> str | None:
        """The name that `name` is a spelling of; None when it is of none."""
        return self.exact.get(name) or self.by_identity.get(identity(name))
