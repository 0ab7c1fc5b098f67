"""The protocol of `convert`: each kind of checkpoint says itself whether a source is one, and what it writes."""

from pathlib import Path
from typing import NamedTuple, Protocol

from sensorium.model import Model


class Options(NamedTuple):
    """The options of `convert` beside source and destination; None where one is not stated. activation: what a bare
    file of weights was trained with. picture: a file with the weights of the pictures' encoder. tokenizer: a
    tokenizer.json, or a folder that has one."""

    activation: str | None
    picture: Path | None
    tokenizer: Path | None


class Conversion(Protocol):
    """A way from one kind of checkpoint to another."""

    takes_tokenizer: bool
    """Whether the tokenizer of the options is for it."""

    def convert(self, source: str | Path, out: Path, options: Options) -> Model:
        """Writes `source` to the folder `out`, over what is there. Raises UserError for what does not fit."""


class Source(Conversion, Protocol):
    """A kind of checkpoint that others publish."""

    def recognises(self, source: Path, options: Options) -> bool:
        """Whether `source` is of the kind that it reads. Raises UserError for a file that cannot be read."""
