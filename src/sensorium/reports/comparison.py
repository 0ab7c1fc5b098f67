"""The report of a comparison: candidates as intervals on one axis, every two of them, the verdict."""

from markupsafe import Markup

from sensorium.errors import counted
from sensorium.evaluation.comparison import Comparison, Contender
from sensorium.metrics import INTERVAL
from sensorium.reports.plots import Row, intervals
from sensorium.reports.render import Section, page, render

SECTIONS = {"verdict": "Verdict", "candidates": "Candidates", "pairs": "Every two", "cost": "What they cost"}


def comparison_page(name: str, comparison: Comparison) -> str:
    """report.html of a comparison."""
    lead = f"{comparison.measure} of {comparison.target}, {counted(comparison.records, 'record')}, "
    lead += f"{comparison.folds} folds, {counted(comparison.seeds, 'seed')}."
    values = {"comparison": comparison, "plots": _plots(comparison)}
    sections = [Section(key, title, render(f"comparison/{key}", **values)) for key, title in SECTIONS.items()]
    return page(name, [lead[0].upper() + lead[1:]], [], sections)


def _plots(comparison: Comparison) -> list[Markup]:
    """The candidates with all inputs, the best first; and each fusion beside itself without an input."""
    complete = [candidate for candidate in comparison.contenders if candidate.without is None]
    reduced = [candidate for candidate in comparison.contenders if candidate.without is not None]
    best, chance, measure = complete[0], complete[0].value.chance, comparison.measure

    def row(candidate: Contender, rival: str) -> Row:
        """The candidate's interval, grey where it surely differs from its rival's."""
        differs = candidate.name != rival and comparison.between(rival, candidate.name).significant
        return Row(candidate.name, candidate.value, differs)

    rows = [row(candidate, best.name) for candidate in complete]
    plots = [intervals(f"{measure}, mean and {INTERVAL}", rows, chance)]
    if reduced:
        fusions = {candidate.fusion for candidate in reduced}
        rows = [Row(candidate.name, candidate.value) for candidate in complete if candidate.name in fusions]
        rows += [row(candidate, candidate.fusion) for candidate in reduced]
        plots.append(intervals(f"{measure} when an input is left out", rows, chance))
    return plots
