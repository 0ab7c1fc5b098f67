"""What each input is worth: alone, left out, on average over all sets of the others; and a sentence that says so."""

from typing import NamedTuple

from sensorium.data.schema import MOST_INPUTS
from sensorium.evaluation.coalitions import Coalition, shapley, without
from sensorium.metrics import Columns, Resamples, Value, distribution, headline, measured, metrics, point, summary


class Contribution(NamedTuple):
    """One input, by the headline metric over all records; a record that lacks the inputs it may use gets the prior.

    alone:   the metric with this input only; `lift`, how far that is above no input at all.
    without: the metric with all but this input; `loss`, how far that is below all of them.
    shapley: the Shapley value; None with more than six inputs.
    Intervals of differences are of the same resamples on both sides.
    """

    alone: Value
    without: Value
    shapley: Value | None
    lift: Value
    loss: Value


class Contributions(NamedTuple):
    """What the inputs are worth by `metric`: with all of them, with none, and each one's Contribution."""

    metric: str
    all: Value
    none: Value
    inputs: dict[str, Contribution]


def input_contributions(
    kind: str, truth: Columns, predictions: dict[Coalition, Columns], inputs: Coalition, resamples: Resamples
) -> Contributions:
    """Judges `inputs` from the predictions of every coalition, for the rows that have the target."""
    metric = headline(kind, predictions[()])
    by_coalition = {coalition: metrics(kind, truth, columns)[metric] for coalition, columns in predictions.items()}
    drawn = distribution(by_coalition, resamples)
    estimates = {
        coalition: point(coalition_metric, resamples.rows) for coalition, coalition_metric in by_coalition.items()
    }

    def value(coalition: Coalition) -> Value:
        return measured(by_coalition[coalition], drawn[coalition], resamples)

    def difference(minuend: Coalition, subtrahend: Coalition) -> Value:
        return summary(estimates[minuend] - estimates[subtrahend], drawn[minuend] - drawn[subtrahend], resamples.units)

    shares = dict.fromkeys(inputs)
    if len(inputs) <= MOST_INPUTS:
        points, spreads = shapley(estimates, inputs), shapley(drawn, inputs)
        shares = {name: summary(points[name], spreads[name], resamples.units) for name in inputs}
    by_input = {}
    for name in inputs:
        alone, remaining = (name,), without(inputs, name)
        by_input[name] = Contribution(
            value(alone), value(remaining), shares[name], difference(alone, ()), difference(inputs, remaining)
        )
    return Contributions(metric, value(inputs), value(()), by_input)


def sentence(contributions: Contributions) -> str:
    """Which input earns its keep, which adds nothing measurable, which does harm: one sentence.

    "Measurable" means that the interval does not cover zero.
    """
    metric = METRIC_WORDS.get(contributions.metric, contributions.metric.replace("_", " "))
    inputs = contributions.inputs
    if contributions.all.value is None or contributions.none.value is None:
        return f"What the inputs are worth cannot be told: their {metric} is undefined on these records."
    harmful = [name for name, worth in inputs.items() if _below_zero(worth.loss) or _below_zero(_share(worth))]
    useful = [name for name, worth in inputs.items() if _above_zero(_share(worth)) and name not in harmful]
    idle = [name for name in inputs if name not in useful and name not in harmful]
    clauses = []
    if useful:
        best = max(useful, key=lambda name: _share(inputs[name]).value)
        clauses.append(_useful_clause(best, contributions, metric))
        also_useful = [name for name in useful if name != best]
        if also_useful:
            clauses.append(f"{_join_quoted(also_useful)} {'helps' if len(also_useful) == 1 else 'help'} too")
    if idle:
        clauses.append(_idle_clause(idle, contributions))
    clauses += [_harmful_clause(name, contributions, metric) for name in harmful]
    text = "; ".join(clauses)
    return text[0].upper() + text[1:] + "."


METRIC_WORDS = {
    "r2": "R²",
    "vqa_accuracy": "VQA accuracy",
    "chrf": "chrF",
    "neg_loss": "minus the loss",
    "neg_place_loss": "minus the loss",
    "map_50": "mAP at .5",
}  # headlines whose name is not their words


def _share(contribution: Contribution) -> Value:
    return contribution.loss if contribution.shapley is None else contribution.shapley


def _above_zero(value: Value) -> bool:
    return value.low is not None and value.low > 0


def _below_zero(value: Value) -> bool:
    return value.high is not None and value.high < 0


def _useful_clause(name: str, contributions: Contributions, metric: str) -> str:
    worth = contributions.inputs[name]
    with_all, with_none = format_number(contributions.all.value), format_number(contributions.none.value)
    if len(contributions.inputs) == 1:
        return f"the only input, '{name}', brings {metric} from {with_none} (the training prior alone) to {with_all}"
    without_it = format_number(worth.without.value)
    if not _above_zero(worth.loss):
        return (
            f"'{name}' earns its keep most on average (its Shapley value is {format_number(worth.shapley.value)}), but"
            f" the others can stand in for it: without it {metric} is {without_it} instead of {with_all}, no measurable"
            " fall"
        )
    text = f"'{name}' earns its keep most: without it {metric} falls from {with_all} to {without_it}"
    if _above_zero(worth.lift):
        return text
    alone = format_number(worth.alone.value)
    return f"{text}, though alone it is at chance ({alone}), so it works only together with another"


def _idle_clause(names: list[str], contributions: Contributions) -> str:
    listed, is_single = _join_quoted(names), len(names) == 1
    if contributions.inputs[names[0]].shapley is None:
        return f"{listed} {'adds' if is_single else 'add'} nothing measurable to the others"
    reason = "its Shapley interval covers zero" if is_single else "their Shapley intervals cover zero"
    if any(contributions.inputs[name].shapley.low is None for name in names):
        reason = "there are too few records for an interval"
    return f"{listed} {'adds' if is_single else 'add'} nothing measurable ({reason})"


def _harmful_clause(name: str, contributions: Contributions, metric: str) -> str:
    worth = contributions.inputs[name]
    if not _below_zero(worth.loss):
        return f"'{name}' does harm on average (its Shapley value is {format_number(worth.shapley.value)})"
    with_all, without_it = format_number(contributions.all.value), format_number(worth.without.value)
    return f"'{name}' does harm: without it {metric} rises from {with_all} to {without_it}"


def _join_quoted(names: list[str]) -> str:
    return join_names([f"'{name}'" for name in names])


def join_names(names: list[str]) -> str:
    """One or more names as a sentence lists them: `a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def format_number(number: float | None) -> str:
    """A number as the report prints it: three decimals, fewer from ten up, a dash for None."""
    if number is None:
        return "\N{EN DASH}"
    if abs(number) >= 10:
        return f"{number:,.1f}" if abs(number) < 10_000 else f"{number:,.0f}"
    text = f"{number:.3f}"
    return "0" if float(text) == 0 else text
