"""How well inputs find each other: recall, the ranks, and queries whose partner came last."""

from typing import Any

import numpy as np
import pandas as pd

from sensorium.errors import counted
from sensorium.reports.evidence import Evidence
from sensorium.reports.markup import Html, element, joined, paragraphs
from sensorium.reports.media import Media, card, cards
from sensorium.reports.page import Section, note, plots
from sensorium.reports.plots import Line, Row, intervals, lines
from sensorium.reports.values import metrics_table, value_of, words

FURTHEST = 6


def retrieval(evidence: Evidence) -> Section:
    """The section."""
    parts = [_direction(name, evidence) for name in evidence.figures["retrieval"]]
    return Section("retrieval", "How well inputs find each other", joined(*parts))


def _direction(name: str, evidence: Evidence) -> Html:
    metrics = evidence.figures["retrieval"][name]
    rows = [Row(words(one), value_of(known)) for one, known in metrics.items() if one != "median_rank"]
    ranks = evidence.ranks
    ranks = None if ranks is None else ranks[ranks["direction"] == name]["rank"].to_numpy(float)
    sentence = evidence.figures.get("sentences", {}).get(name)
    sizes = evidence.figures["records"].get("retrieval", {}).get(name)
    caption = name if sizes is None else f"{name}: {sizes['queries']:,} queries among {counted(sizes['items'], 'item')}"
    return joined(
        element("h3", name),
        paragraphs(*([sentence] if sentence else [])),
        plots(
            intervals(f"{name}: recall and average precision", rows),
            None if ranks is None or not len(ranks) else _found(name, ranks),
        ),
        metrics_table(metrics, caption),
        _anew(name, evidence.figures.get("reranking", {}).get(name)),
    )


def _anew(name: str, reranked: dict[str, Any] | None) -> Html:
    """What becomes of it when the best of each query are ranked anew; nothing where they were not."""
    if reranked is None:
        return joined()
    caption = f"{name}: the {reranked['best']} best of each query ranked anew by the matching head"
    gains = metrics_table(reranked["gain"], f"{caption}: how much more that is")
    return joined(paragraphs(reranked["sentence"]), metrics_table(reranked["metrics"], caption), gains)


def _found(name: str, ranks: np.ndarray) -> Html:
    """The share of queries whose partner is among the first so many."""
    last = max(2, int(ranks.max()))
    at = np.unique(np.geomspace(1, last, 24).round().astype(int))
    values = [float((ranks <= one).mean()) for one in at]
    marks = [one for one in (1, 10, 100, 1_000, 10_000, 100_000) if one <= last]
    labels = [(float(np.log10(one)), f"{one:,}") for one in marks]
    return lines(
        f"{name}: found among the first so many", [Line("share", np.log10(at).tolist(), values)], "places", labels
    )


def furthest(evidence: Evidence, media: Media) -> Section | None:
    """The queries whose partner came last, with what they are."""
    ranks, keys = evidence.ranks, evidence.held.keys
    place = {key: row for row, key in enumerate(keys)}
    parts = []
    for name in evidence.figures["retrieval"]:
        worst: pd.DataFrame = ranks[ranks["direction"] == name].sort_values("rank", ascending=False, kind="stable")
        shown = [
            card(f"{key}: place {rank:,.0f}", *media.shown(place[key]))
            for key, rank in zip(worst["key"].head(FURTHEST), worst["rank"].head(FURTHEST), strict=True)
            if key in place and rank > 1
        ]
        parts += [element("h3", name), cards(shown)] if shown else []
    if not parts:
        return None
    explained = "The records whose parts found each other worst; the place is that of the right partner."
    return Section("furthest", "What was not found", joined(note(explained), *parts))
