"""How well inputs find each other: recall, the ranks, and queries whose partner came last."""

from typing import Any

import numpy as np
from markupsafe import Markup

from sensorium.reports.evidence import Evidence
from sensorium.reports.media import Media
from sensorium.reports.plots import Line, Row, intervals, lines, tone_by_chance
from sensorium.reports.render import Section, render
from sensorium.reports.samples import Card
from sensorium.reports.values import metric_name, value_of

MOST_FURTHEST = 6


def retrieval(evidence: Evidence) -> Section:
    """The section."""
    directions = [_direction(name, evidence) for name in evidence.figures["retrieval"]]
    return Section("retrieval", "How well inputs find each other", render("retrieval", directions=directions))


def _direction(name: str, evidence: Evidence) -> dict[str, Any]:
    figures = evidence.figures
    metrics = figures["retrieval"][name]
    values = {key: value_of(value) for key, value in metrics.items() if key != "median_rank"}
    rows = [Row(metric_name(key), value, tone_by_chance(value)) for key, value in values.items()]
    plots = [intervals("Recall and average precision", rows, "share of queries")]
    if evidence.ranks is not None:
        ranks = evidence.ranks[evidence.ranks["direction"] == name]["rank"].to_numpy(float)
        plots += [_recall_plot(ranks)] if len(ranks) else []
    return {
        "name": name,
        "metrics": metrics,
        "plots": plots,
        "sizes": figures["records"].get("retrieval", {}).get(name),
        "reranking": figures.get("reranking", {}).get(name),
    }


def _recall_plot(ranks: np.ndarray) -> Markup:
    """The share of queries whose partner is among the first so many."""
    last = max(2, int(ranks.max()))
    cutoffs = np.unique(np.geomspace(1, last, 24).round().astype(int))
    shares = [float((ranks <= cutoff).mean()) for cutoff in cutoffs]
    marks = sorted({*(10**power for power in range(6) if 10**power * 1.5 <= last), last})
    labels = [(float(np.log10(mark)), f"{mark:,}") for mark in marks]
    line = Line("share", np.log10(cutoffs).tolist(), shares)
    return lines("Found among the first so many", [line], "results looked at", "share of queries", labels)


def furthest(evidence: Evidence, media: Media) -> Section | None:
    """The queries whose partner came last, with what they are."""
    ranks = evidence.ranks
    row_of = {key: row for row, key in enumerate(evidence.records.keys)}
    directions = {}
    for name in evidence.figures["retrieval"]:
        worst = ranks[ranks["direction"] == name].sort_values("rank", ascending=False, kind="stable")
        directions[name] = [
            Card(f"{key}: place {rank:,.0f}", media.of_record(row_of[key]))
            for key, rank in worst[["key", "rank"]].head(MOST_FURTHEST).itertuples(index=False)
            if key in row_of and rank > 1
        ]
    if not any(directions.values()):
        return None
    return Section("furthest", "What was not found", render("furthest", directions=directions))
