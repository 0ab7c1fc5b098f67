"""The docs' page of what the default reaches: ours beside simple models and AutoGluon, and what the presets cost."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.tables.report import OURS, TableScores
from benchmarks.tables.systems import BASELINES, PRESETS

SCRATCH, PEERS = "ours-scratch", ("autogluon-tabular", "autogluon-multimodal")
HEAD = """# How good the default is

{count} real tables, each learned by a plain `sensorium fit` that is told the target and the group, by simple models,
and by AutoGluon. Written by `python -m benchmarks.tables --page docs/quality.md`; what each table is and how it is
split is printed by `--list`. Scores are of records that no fit has seen (three folds, by group; one of tables of over
5,000 rows); a difference stands with its interval of 95 %, drawn over groups. All fits ran
{machine}.

"""
PEER_TEXT = """
Best simple model: the best on the test records of a majority or mean, a linear model and LightGBM on the columns,
TF-IDF of each text, and linear models on the features of frozen encoders; choosing it so favours it. AutoGluon: the
better one, on the test records, of TabularPredictor with `medium_quality` and MultiModalPredictor with the same local
weights, each with a limit of 120 seconds (300 of tables over 5,000 rows). Times are of fit and prediction, by the
clock / by the processor, with the peak of memory.

"""
PRESET_TEXT = """
## Presets

The first fold of each table that has run with all three.

"""


def write_page(scores: list[TableScores], path: Path) -> None:
    """Writes the page of all tables that ours has run on."""
    scores = [table for table in scores if table.folds_of(OURS)]
    machines = {_machine(line) for table in scores for line in table.cells["machine"]}
    sections = [
        HEAD.format(count=len(scores), machine="; ".join(sorted(machines))),
        *_comparison(scores),
        PEER_TEXT,
        *_verdicts(scores),
    ]
    path.write_text("".join([*sections, PRESET_TEXT, *_presets(scores)]), encoding="utf-8")


def _machine(described: dict) -> str:
    cores = f"{described.get('used_cores', 'all')} of {described['cores']} cores"
    return f"on {cores} ({described['vectors']}, {described['gigabytes']} GB)"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def _header(names: list[str]) -> str:
    return _row(names) + _row(["---"] * len(names))


def better_peer(table: TableScores) -> dict | None:
    """The comparison with the AutoGluon that is better on the folds that both have run; None without any."""
    compared = [comparison | {"system": name} for name in PEERS if (comparison := table.compare(name))]
    return max(compared, key=lambda comparison: comparison["peer"], default=None)


def _gain(compared: dict | None) -> str:
    if compared is None:
        return "-"
    gain = compared["gain"]
    interval = "" if gain.low is None else f" ({gain.low:+.3f} to {gain.high:+.3f})"
    return f"{compared['peer']:.3f}, {compared['name']}; {gain.value:+.3f}{interval}"


def _cost(table: TableScores, system: str) -> str:
    cells = table.cells[table.cells["system"] == system]
    wall, processor = (cells["seconds"] + cells["predict_seconds"]).mean(), cells["processor_seconds"].mean()
    return f"{wall:.0f} / {processor:.0f} s, {cells['megabytes'].max() / 1000:.1f} GB"


def _comparison(scores: list[TableScores]) -> list[str]:
    names = ["table", "measure", "folds", "ours", "best simple model; ours above it", "AutoGluon; ours above it",
             "without packs", "ours took", "AutoGluon took"]  # fmt: skip
    lines = [_header(names)]
    for table in scores:
        peer, count = better_peer(table), len(table.folds_of(OURS))
        scratch = table.compare(SCRATCH)
        lines.append(
            _row(
                [
                    table.table.name,
                    table.table.measure.name,
                    str(count),
                    f"{table.score(OURS):.3f}",
                    _gain(table.compare(BASELINES)),
                    _gain(peer),
                    "-" if scratch is None else f"{scratch['peer']:.3f}",
                    _cost(table, OURS),
                    "-" if peer is None else _cost(table, peer["system"]),
                ]
            )
        )
    return lines


def _verdicts(scores: list[TableScores]) -> list[str]:
    """In how many tables ours is above, and the names of those where it loses."""
    lines = ["## Where it loses\n\n"]
    opponents: dict[str, Callable[[TableScores], dict | None]] = {
        "the best simple model": lambda table: table.compare(BASELINES),
        "the better AutoGluon": better_peer,
    }
    for name, compare in opponents.items():
        compared = {table.table.name: comparison for table in scores if (comparison := compare(table))}
        above = sum(comparison["above"] for comparison in compared.values())
        behind = [table for table, comparison in compared.items() if comparison["gain"].value < 0]
        surely = [table for table in behind if compared[table]["below"]]
        lines.append(
            f"- Against {name}, of {len(compared)} tables: above on {above} by the whole interval; lower on"
            f" {len(behind)}{_listed(behind)}, of these by the whole interval on {len(surely)}{_listed(surely)}.\n"
        )
    return lines


def _listed(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _presets(scores: list[TableScores]) -> list[str]:
    systems = {"fast": f"{OURS}-fast", "good": OURS, "best": f"{OURS}-best"}
    assert {f"{OURS}-{preset}" for preset in PRESETS} < set(systems.values())
    complete = [table for table in scores if all(0 in table.folds_of(system) for system in systems.values())]
    values = pd.DataFrame([{name: table.score(system, [0]) for name, system in systems.items()} for table in complete])
    seconds = pd.DataFrame([{name: table.seconds(system, 0) for name, system in systems.items()} for table in complete])
    lines = [_header(["preset", "tables", "mean score beside good", "best on", "median time beside good"])]
    for name in systems if complete else ():
        gain = (values[name] - values["good"]).mean()
        wins = int(np.isclose(values[name], values.max(axis=1)).sum())
        ratio = (seconds[name] / seconds["good"]).median()
        lines.append(_row([f"`{name}`", str(len(complete)), f"{gain:+.3f}", str(wins), f"{ratio:.2f}"]))
    return lines
