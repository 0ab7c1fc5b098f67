"""The report of a comparison: candidates as intervals on one axis, every two of them, the verdict."""

from sensorium.errors import counted
from sensorium.evaluation.comparison import Comparison
from sensorium.evaluation.inputs import format_number
from sensorium.evaluation.printing import between
from sensorium.reports.markup import Child, Html, element, joined, paragraphs, table
from sensorium.reports.page import Section, note, page, plots
from sensorium.reports.plots import Row, intervals


def comparison_page(name: str, found: Comparison) -> str:
    """report.html of a comparison."""
    said = f"{found.measure} of {found.target}, {counted(found.records, 'record')}, {found.folds} folds, "
    said += f"{counted(found.seeds, 'seed')}."
    sections = [
        Section("candidates", "Candidates", _candidates(found)),
        Section("pairs", "Every two", _pairs(found)),
        Section("cost", "What they cost", _costs(found)),
    ]
    verdict = Section("verdict", "Verdict", joined(element("ul", *(element("li", one) for one in found.verdict))))
    return page(name, [said[0].upper() + said[1:]], [], [verdict, *sections])


def _candidates(found: Comparison) -> Html:
    whole = [one for one in found.contenders if one.without is None]
    less = [one for one in found.contenders if one.without is not None]
    best, chance = whole[0], whole[0].value.chance
    rows = [
        Row(one.name, one.value, one is not best and found.between(best.name, one.name).significant) for one in whole
    ]
    alone = [Row(one.name, one.value) for one in whole if one.name in {other.fusion for other in less}]
    alone += [Row(one.name, one.value, found.between(one.name, one.fusion).significant) for one in less]
    cells: list[list[Child]] = [
        [one.name, format_number(one.value.value), between(one.value), format_number(one.value.chance)]
        for one in found.contenders
    ]
    drawn = "by " + found.group if found.group else "by record"
    return joined(
        plots(
            intervals(f"{found.measure}, mean and 95 % interval", rows, chance),
            intervals(f"{found.measure} when an input is left out", alone, chance) if less else None,
        ),
        note(
            "Blue: what cannot be told from the best, or from the fusion with all inputs. Grey: what differs from it."
            " Dashed: chance. Intervals may overlap where a difference is sure, for candidates are compared on the same"
            " records."
        ),
        table(["candidate", "mean", "95 % interval", "chance"], cells, f"Intervals are drawn {drawn}"),
    )


def _pairs(found: Comparison) -> Html:
    rows: list[list[Child]] = []
    for one in found.differences:
        verdict = "a difference" if one.significant else "none that can be told"
        rows.append(
            [
                f"{one.a} less {one.b}",
                format_number(one.value.value),
                between(one.value),
                _p(one.p),
                _p(one.corrected),
                verdict,
            ]
        )
    headers = ["pair", "difference", "95 % interval", "p", "p, corrected", ""]
    return joined(
        table(headers, rows),
        paragraphs("p: signs of the differences flipped by chance, group by group; corrected after Holm."),
    )


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else format_number(value)


def _costs(found: Comparison) -> Html:
    rows: list[list[Child]] = [
        [one.name, f"{one.parameters:,}", f"{one.seconds:.1f} s", f"{one.latency_ms:.1f} ms"]
        for one in found.contenders
    ]
    return table(["candidate", "trained parameters", "training, median", "one record, median"], rows)
