"""What the model costs: its size, its work, its time, its memory."""

from typing import Any

from sensorium.errors import counted
from sensorium.evaluation.costs import Costs
from sensorium.reports.evidence import Evidence
from sensorium.reports.markup import Html, joined, table
from sensorium.reports.page import Section, note


def cost(evidence: Evidence) -> Section:
    """The section."""
    known, measured = evidence.figures.get("cost", {}), evidence.costs
    rows = [["parameters", f"{known['parameters']:,}"]] if "parameters" in known else []
    if "train_seconds" in known:
        rows.append(["training time", _time(known["train_seconds"])])
    if measured is None:
        one = known.get("latency_ms", {}).get("batch_1")
        rows += (
            []
            if one is None
            else [["one record, median", f"{one['p50']:.1f} ms"], ["95 % take less than", f"{one['p95']:.1f} ms"]]
        )
    listed = table(["what", "how much"], rows)
    return Section("cost", "What it costs", joined(listed, None if measured is None else _measured(measured)))


def _measured(costs: Costs) -> Html:
    rows: list[Any] = []
    for size, times in costs.latency_ms.items():
        rows.append(
            [f"{size}", f"{times['p50']:.1f} ms", f"{times['p95']:.1f} ms", f"{1000 * size / times['p50']:,.0f}"]
        )
    said = [f"One record takes {_large(costs.multiply_adds)} multiply-adds, counted in one pass."]
    if costs.peak_bytes is not None:
        said.append(
            f"While it decides on a batch of 32 the whole process holds at most {costs.peak_bytes / 1e6:,.0f} MB, of"
            f" which {costs.pass_bytes / 1e6:,.0f} MB are the batch's own."
        )
    said.append(f"Measured on {costs.device}, {counted(costs.threads, 'thread')}; files' reading is not counted.")
    return joined(
        table(["records a batch", "median", "95 % take less than", "records a second"], rows, "Time to decide"),
        note(*said),
    )


def _large(number: int) -> str:
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.2f} {word}"
    return f"{number:,}"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
