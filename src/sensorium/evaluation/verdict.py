"""One plain sentence on whether a model is any good, by fixed rules."""

from statistics import NormalDist
from typing import Literal, NamedTuple

from sensorium.evaluation.baselines import Baseline
from sensorium.evaluation.inputs import METRIC_WORDS
from sensorium.metrics import Value

Kind = Literal["works", "weak", "no better than chance", "below the baseline", "too few records to say"]

FEWEST_UNITS = 20  # records, or groups of them, below which nothing is said
WEAK = 0.2  # of the way from chance to perfect, which the low end of the interval of a model that works reaches
GOOD = 0.5  # of the same way: an interval that holds chance and reaches here tells nothing
ERROR = 0.01  # how often a model at chance may be said to be above it or below it
Z = NormalDist().inv_cdf(0.975)


class Verdict(NamedTuple):
    """What kind of model it is, and a sentence with the numbers."""

    kind: Kind
    sentence: str

    @property
    def above_chance(self) -> bool:
        """Whether the model is surely better than chance, so that what its inputs are worth means something."""
        return self.kind in ("works", "weak", "below the baseline")


class Reached(NamedTuple):
    """What an interval says of a metric: is it clearly above chance, and how much of the way from chance to perfect its
    low end and its high end reach."""

    clear: bool
    low: float
    high: float


def verdict(
    metric: str, value: Value, units: int, baselines: dict[str, Baseline], shuffled: float | None = None
) -> Verdict:
    """The verdict on a model of one target.

    value: of the headline `metric`, with interval and chance. units: how many records were scored, or groups of them
    where they have groups. shuffled: the metric when truths change places (`shuffled_chance`), which counts as chance
    where it is higher. The first rule that holds decides.
    Too few to say: fewer than 20 units, or the interval, widened to 99 %, holds chance and reaches half of the way from
    chance to perfect. No better than chance: that interval holds chance. Below the baseline: the paired interval of the
    difference from some baseline lies below zero. Weak: the interval begins at less than a fifth of the way. Else it
    works. Whichever rule decides, the sentence has the best baseline, of those that the model is below where it is.
    """
    above = {name: baseline for name, baseline in baselines.items() if _is_below(baseline.above)}
    figures, best = _figures(metric, value), _best(above or baselines)
    beside = "" if best is None else _beside(best, baselines[best], value.chance)
    if value.low is None or units < FEWEST_UNITS:
        return _too_few(units, figures + beside)
    judged = value if shuffled is None else value._replace(chance=max(value.chance, shuffled))
    reached = _reached(metric, judged, 1)
    if not reached.clear and reached.high >= GOOD:
        return _too_few(units, figures + beside)
    if not reached.clear:
        words = "No better" if value.low <= judged.chance else "Hardly better"
        return Verdict("no better than chance", f"{words} than chance: {figures}{beside}.")
    if above:
        return Verdict("below the baseline", f"Below the baseline: {figures}{beside}.")
    if reached.low < WEAK:
        return Verdict("weak", f"It is weak: {figures}{beside}.")
    return Verdict("works", f"It works: {figures}{beside}.")


def retrieval_verdict(directions: dict[str, dict[str, Value]], queries: int) -> Verdict:
    """The verdict on a model of aligned inputs, from the recalls of every direction.

    directions: by name the metrics, of which those named `recall@...` count. queries: of the direction that has fewest.
    Better than chance: some recall in every direction is, at an error of 1 % for all of them together. It works: in
    every direction some recall's interval begins above a fifth of the way from chance to perfect.
    """
    recalls = {
        name: {metric: value for metric, value in metrics.items() if metric.startswith("recall@") and value.chance < 1}
        for name, metrics in directions.items()
    }
    count = sum(map(len, recalls.values()))
    figures = "; ".join(
        f"{name} {', '.join(f'{_figures(metric, value)}' for metric, value in values.items())}"
        for name, values in recalls.items()
    )
    if queries < FEWEST_UNITS or not all(recalls.values()) or _without_interval(recalls):
        return _too_few(queries, figures)
    reached = [[_reached(metric, value, count) for metric, value in values.items()] for values in recalls.values()]
    if not all(any(recall.clear for recall in values) for values in reached):
        return Verdict("no better than chance", f"No better than chance: {figures}.")
    if not all(any(recall.low >= WEAK for recall in values) for values in reached):
        return Verdict("weak", f"It is weak: {figures}.")
    return Verdict("works", f"It works: {figures}.")


def above_chance(value: Value, comparisons: int = 1) -> bool:
    """Whether the interval, widened to 99 % for all `comparisons` together (Bonferroni), lies above chance."""
    wider = NormalDist().inv_cdf(1 - ERROR / 2 / comparisons) / Z
    return value.low is not None and value.value - wider * (value.value - value.low) > value.chance


def _reached(metric: str, value: Value, comparisons: int) -> Reached:
    """Of a metric with interval. comparisons: how many metrics are looked at for one verdict."""
    way = (0.0 if metric.startswith("neg_") else 1.0) - value.chance
    low, high = ((edge - value.chance) / way if way > 0 else 0.0 for edge in (value.low, value.high))
    return Reached(above_chance(value, comparisons), low, high)


def _best(baselines: dict[str, Baseline]) -> str | None:
    """The baseline with the highest value."""
    defined = [name for name, baseline in baselines.items() if baseline.value.value is not None]
    return max(defined, key=lambda name: baselines[name].value.value, default=None)


def _beside(name: str, baseline: Baseline, chance: float | None) -> str:
    """The best baseline, and whether the model can be told from it; nothing of one that is no better than chance."""
    if chance is not None and baseline.value.value <= chance:
        return ""
    words = f", best baseline {baseline.value.value:z.3f} ({name})"
    low, high = baseline.above.low, baseline.above.high
    if _is_below(baseline.above):
        part = ", though the model has such an expert itself" if baseline.is_part else ""
        return f"{words}, which is measurably better{part}"
    return f"{words}, which it does not measurably beat" if low is not None and low <= 0 <= high else words


def _is_below(above: Value) -> bool:
    return above.high is not None and above.high < 0


def _without_interval(recalls: dict[str, dict[str, Value]]) -> bool:
    return any(value.low is None for values in recalls.values() for value in values.values())


def _too_few(units: int, figures: str) -> Verdict:
    return Verdict("too few records to say", f"Too few independent records to say ({units:,}): {figures}.")


def _figures(metric: str, value: Value) -> str:
    """The metric with interval and chance, as a sentence has them."""
    words = METRIC_WORDS.get(metric, metric.removeprefix("neg_").replace("_", " "))
    if value.value is None:
        return f"{words} is undefined on these records"
    between = "" if value.low is None else f" ({value.low:z.2f} to {value.high:z.2f})"
    return f"{words} {value.value:z.3f}{between}, chance {value.chance:z.3f}"
