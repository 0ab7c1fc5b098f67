"""What every expert that is not a network offers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from sensorium.experts.views import Columns, Source

Folds = list[tuple[np.ndarray, np.ndarray]]
"""By fold the rows that are learned from and those that are left out, int64; every row is left out once."""


class Material(NamedTuple):
    """What experts learn from: by name of a source, N records; `truth`, [N, ...]; the raw outputs, [N, K], of the
    experts before, for records that they did not learn from, NaN where they do not decide; the `folds`."""

    columns: Mapping[str, Columns]
    truth: np.ndarray
    earlier: Sequence[np.ndarray]
    folds: Folds


class Expert(Protocol):
    """Decides on one target from some inputs; is learned by `fit`, not by gradients.

    config: its settings, among them `kind` (of target), `sources` (what it reads), `required` (the inputs without which
    it does not decide), `earlier` (the experts before it whose raw outputs it reads), and what `fit` has chosen.
    """

    config: Any

    @classmethod
    def fit(cls, config: Any, material: Material) -> tuple["Expert", np.ndarray]:
        """The expert, and its raw outputs, [N, K], for records that it did not learn from, NaN where it does not
        decide. What the config states, as an earlier fit chose it, is not chosen again."""

    def raw(self, columns: Mapping[str, Columns], earlier: Sequence[np.ndarray]) -> np.ndarray:
        """Raw outputs, float64 [B, K]."""

    def save(self, folder: Path) -> None:
        """Writes what was learned into `folder`."""

    @classmethod
    def load(cls, config: Any, folder: Path) -> "Expert":
        """The expert that `save` wrote into `folder`."""


def inputs_of(sources: Sequence[Source]) -> list[str]:
    """The inputs that are read, each once."""
    return list(dict.fromkeys(source.input for source in sources))


def present_rows(config: Any, columns: Mapping[str, Columns]) -> np.ndarray:
    """bool [B]: the records that have every required input, and any of all that are read."""
    by_input = {source.input: columns[source.name].present for source in config.sources}
    rows = np.any(list(by_input.values()), axis=0)
    for name in config.required:
        rows = rows & by_input[name]
    return rows
