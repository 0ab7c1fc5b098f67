"""What is written judged, whatever it is: which records were written for, and the metrics of that, with chance."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sensorium.evaluation.baselines import Scored
from sensorium.metrics import Metric, Resamples, Value, distribution, finite, measured, point


class WrittenMetrics(NamedTuple):
    """metrics: of what was written for a sample of records, with their chance. without: by input, those of what is
    written when it is taken away.
    """

    metrics: dict[str, Value]
    without: dict[str, dict[str, Value]]


def written_rows(scored: Scored) -> tuple[np.ndarray, Resamples] | None:
    """The records that were written for from every input, int64 [M], rows among the scored ones, and resamples of them;
    None without any.
    """
    inputs = tuple(spec.name for spec in scored.table.schema.inputs)
    decision = scored.predictions[inputs].get("decision")
    rows = np.flatnonzero(~pd.isna(decision)) if decision is not None else np.zeros(0, dtype=np.int64)
    if not len(rows):
        return None
    clusters = None if scored.resamples.cluster is None else scored.resamples.cluster[rows]
    return rows, Resamples(len(rows), clusters, scored.resamples.count, scored.resamples.seed)


def judge(
    metrics: dict[str, Metric], chance: dict[str, Metric], without: dict[str, dict[str, Metric]], resamples: Resamples
) -> WrittenMetrics:
    """The metrics of what was written, with intervals. chance: the same of what is said without a look. without: by
    input, of what is written when it is taken away.
    """
    levels = {name: finite(point(metric, resamples.rows)) for name, metric in chance.items()}

    def measure(of_texts: dict[str, Metric]) -> dict[str, Value]:
        drawn = distribution(of_texts, resamples)
        return {name: measured(metric, drawn[name], resamples, levels[name]) for name, metric in of_texts.items()}

    return WrittenMetrics(measure(metrics), {name: measure(of_input) for name, of_input in without.items()})


def figures_of(written: Any) -> dict[str, Any]:
    """What metrics.json holds of a `Written` or `Found` beside the metrics themselves, of which it has the names."""
    without = {
        name: {key: value._asdict() for key, value in of_input.items()} for name, of_input in written.without.items()
    }
    return written._asdict() | {"without": without, "sentence": written.sentence, "metrics": list(written.metrics)}
