"""What each input is worth: alone, left out, on average over all sets of the others; and a sentence that says so."""

from typing import NamedTuple

from sensorium.data.schema import MOST_INPUTS
from sensorium.evaluation.coalitions import Coalition, shapley, without
from sensorium.metrics import Columns, Resamples, Value, distribution, headline, metrics, point, summary


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
    """What the inputs are worth by `metric`: with all of them, with none, and each one's Worth."""

    metric: str
    all: Value
    none: Value
    inputs: dict[str, Contribution]


def input_contributions(
    kind: str, truth: Columns, predictions: dict[Coalition, Columns], inputs: Coalition, resamples: Resamples
) -> Contributions:
    """Judges `inputs` from the predictions of every coalition, for the rows that have the target."""
    metric = headline(kind, predictions[()])
    known = {coalition: metrics(kind, truth, columns)[metric] for coalition, columns in predictions.items()}
    drawn = distribution(known, resamples)
    at = {coalition: point(one, resamples.rows) for coalition, one in known.items()}

    def value(coalition: Coalition) -> Value:
        return summary(at[coalition], drawn[coalition], resamples.units)

    def difference(one: Coalition, other: Coalition) -> Value:
        return summary(at[one] - at[other], drawn[one] - drawn[other], resamples.units)

    shares = dict.fromkeys(inputs)
    if len(inputs) <= MOST_INPUTS:
        points, spreads = shapley(at, inputs), shapley(drawn, inputs)
        shares = {name: summary(points[name], spreads[name], resamples.units) for name in inputs}
    worth = {}
    for name in inputs:
        alone, rest = (name,), without(inputs, name)
        worth[name] = Contribution(
            value(alone), value(rest), shares[name], difference(alone, ()), difference(inputs, rest)
        )
    return Contributions(metric, value(inputs), value(()), worth)


def sentence(judgement: Contributions) -> str:
    """Which input earns its keep, which adds nothing measurable, which does harm: one sentence.

    "Measurable" means that a 95 % interval does not cover zero.
    """
    metric = METRIC_WORDS[judgement.metric]
    inputs = judgement.inputs
    if judgement.all.value is None or judgement.none.value is None:
        return f"What the inputs are worth cannot be told: their {metric} is undefined on these records."
    harmful = [name for name, worth in inputs.items() if _below_zero(worth.loss) or _below_zero(_share(worth))]
    useful = [name for name, worth in inputs.items() if _above_zero(_share(worth)) and name not in harmful]
    idle = [name for name in inputs if name not in useful and name not in harmful]
    parts = []
    if useful:
        best = max(useful, key=lambda name: _share(inputs[name]).value)
        parts.append(_praise(best, judgement, metric))
        others = [name for name in useful if name != best]
        parts += [f"{_listed(others)} {'helps' if len(others) == 1 else 'help'} too"] if others else []
    if idle:
        parts.append(_shrug(idle, judgement))
    parts += [_blame(name, judgement, metric) for name in harmful]
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


METRIC_WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "average_precision": "average precision",
    "r2": "R²",
    "vqa_accuracy": "VQA accuracy",
}


def _share(worth: Contribution) -> Value:
    return worth.loss if worth.shapley is None else worth.shapley


def _above_zero(value: Value) -> bool:
    return value.low is not None and value.low > 0


def _below_zero(value: Value) -> bool:
    return value.high is not None and value.high < 0


def _praise(name: str, judgement: Contributions, metric: str) -> str:
    worth, whole, none = judgement.inputs[name], format_number(judgement.all.value), format_number(judgement.none.value)
    if len(judgement.inputs) == 1:
        return f"the only input, '{name}', brings {metric} from {none} (the training prior alone) to {whole}"
    rest = format_number(worth.without.value)
    if not _above_zero(worth.loss):
        return (
            f"'{name}' earns its keep most on average (its Shapley value is {format_number(worth.shapley.value)}), but"
            f" the others can stand in for it: without it {metric} is {rest} instead of {whole}, no measurable fall"
        )
    text = f"'{name}' earns its keep most: without it {metric} falls from {whole} to {rest}"
    if _above_zero(worth.lift):
        return text
    alone = format_number(worth.alone.value)
    return f"{text}, though alone it is at chance ({alone}), so it works only together with another"


def _shrug(names: list[str], judgement: Contributions) -> str:
    listed, one = _listed(names), len(names) == 1
    if judgement.inputs[names[0]].shapley is None:
        return f"{listed} {'adds' if one else 'add'} nothing measurable to the others"
    what = "its Shapley interval covers zero" if one else "their Shapley intervals cover zero"
    if any(judgement.inputs[name].shapley.low is None for name in names):
        what = "there are too few records for an interval"
    return f"{listed} {'adds' if one else 'add'} nothing measurable ({what})"


def _blame(name: str, judgement: Contributions, metric: str) -> str:
    worth = judgement.inputs[name]
    if not _below_zero(worth.loss):
        return f"'{name}' does harm on average (its Shapley value is {format_number(worth.shapley.value)})"
    whole, rest = format_number(judgement.all.value), format_number(worth.without.value)
    return f"'{name}' does harm: without it {metric} rises from {whole} to {rest}"


def _listed(names: list[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(names) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def format_number(number: float | None) -> str:
    """A number as the report prints it: three decimals and no leading zero, fewer from ten up, a dash for None."""
    if number is None:
        return "\N{EN DASH}"
    if abs(number) >= 10:
        return f"{number:,.1f}" if abs(number) < 10_000 else f"{number:,.0f}"
    text = f"{number:.3f}"
    text = "0" if float(text) == 0 else text
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text
