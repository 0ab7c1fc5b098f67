"""A report in a few lines, as the screen has it after a run: how good, against what, and a bar for each input."""

from sensorium.evaluation.inputs import METRIC_WORDS, Contributions
from sensorium.evaluation.target import TargetReport

_BAR = 24  # letters of the longest bar
_MOST_INPUTS = 8


def target_lines(report: TargetReport) -> list[str]:
    """The verdict, and what each input is worth."""
    verdict = report.verdict
    written = [] if report.written is None else [report.written.sentence]
    return [
        f"{report.target.name}: {verdict.sentence}",
        *written,
        *_input_lines(report.judgement, verdict.above_chance),
    ]


def _input_lines(contributions: Contributions, above_chance: bool) -> list[str]:
    """A bar for each input, the most useful first: its Shapley value or, with many inputs, what is lost without it."""
    worth = {
        name: contribution.loss if contribution.shapley is None else contribution.shapley
        for name, contribution in contributions.inputs.items()
    }
    known = {name: value for name, value in worth.items() if value.value is not None}
    if len(known) < 2:
        return []
    longest, width = max(abs(value.value) for value in known.values()) or 1.0, max(map(len, known))
    ordered = sorted(known, key=lambda name: -known[name].value)
    metric = METRIC_WORDS.get(contributions.metric, contributions.metric.replace("_", " "))
    doubt = "" if above_chance else " (not to be relied on: the model is not surely better than chance)"
    lines = [f"What each input adds to {metric}, on average{doubt}:"]
    for name in ordered[:_MOST_INPUTS]:
        value = known[name]
        bar = ("█" if value.value > 0 else "░") * round(_BAR * abs(value.value) / longest)
        unclear = value.low is None or value.low <= 0 <= value.high
        lines.append(f"  {name:<{width}}  {value.value:+.3f}  {bar}{' (not measurable)' if unclear else ''}")
    if len(ordered) > _MOST_INPUTS:
        lines.append(f"  and {len(ordered) - _MOST_INPUTS} more; report.html has all.")
    return lines
