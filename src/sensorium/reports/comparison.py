"""The report of a comparison: candidates as intervals on one axis, every two of them, the verdict."""

from markupsafe import Markup

from sensorium.errors import counted
from sensorium.evaluation.comparison import Comparison, Contender
from sensorium.metrics import INTERVAL
from sensorium.reports.plots import Row, intervals, tone_by_chance
from sensorium.reports.render import Section, page, render

SECTIONS = {"verdict": "Verdict", "candidates": "Candidates", "pairs": "Every two", "cost": "What they cost"}


def comparison_page(name: str, comparison: Comparison) -> str:
    """report.html of a comparison."""
    lead = f"{comparison.measure} of {comparison.target}, {counted(comparison.records, 'record')}, "
    lead += f"{comparison.folds} folds, {counted(comparison.seeds, 'seed')}."
    values = {"comparison": comparison, "plots": _plots(comparison)}
    sections = [Section(key, title, render(f"comparison/{key}", **values)) for key, title in SECTIONS.items()]
    title = f"Predicting {comparison.target}: {counted(len(comparison.contenders), 'candidate')} compared"
    return page(title, [lead[0].upper() + lead[1:]], [], sections, {"comparison": name})


def _plots(comparison: Comparison) -> list[Markup]:
    """The candidates with all inputs, the best first; and each fusion beside itself without an input."""
    complete = [candidate for candidate in comparison.contenders if candidate.without is None]
    reduced = [candidate for candidate in comparison.contenders if candidate.without is not None]
    best, chance, measure = complete[0], complete[0].value.chance, comparison.measure

    def row(candidate: Contender, rival: str) -> Row:
        """The candidate's interval, red where it is surely worse than its rival's, grey where it reaches chance."""
        against = None if candidate.name == rival else comparison.between(rival, candidate.name)
        worse = against is not None and against.significant and against.value.value > 0
        return Row(candidate.name, candidate.value, "no" if worse else tone_by_chance(candidate.value))

    rows = [row(candidate, best.name) for candidate in complete]
    plots = [intervals(f"Mean and {INTERVAL}", rows, measure, chance)]
    if reduced:
        fusions = {candidate.fusion for candidate in reduced}
        rows = [row(candidate, candidate.name) for candidate in complete if candidate.name in fusions]
        rows += [row(candidate, candidate.fusion) for candidate in reduced]
        plots.append(intervals("When an input is left out", rows, measure, chance))
    return plots
