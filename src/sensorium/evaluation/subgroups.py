"""How a model does on each subgroup of the records, and how far the best and the worst lie apart."""

from typing import NamedTuple

import numpy as np

from sensorium.metrics import Columns, Metric, Resamples, Share, Value, distribution, measured, metrics, point, summary

FEWEST, MOST = 10, 12
SHUFFLES, FEWEST_SHUFFLES = 499, 99
AT_ONCE, IN_ALL = 2_000_000, 200_000_000  # weights


class Subgroup(NamedTuple):
    """A subgroup: its name, how many records it has, its metric."""

    name: str
    records: int
    value: Value


class Subgroups(NamedTuple):
    """The subgroups that a column makes, the best first, and the gap between the best and the worst.

    gap: the difference, with its interval. p: in how large a share of random groupings of the same sizes the best
    and the worst lie as far apart. small: how many records are of no subgroup that is large enough.
    """

    column: str
    metric: str
    groups: list[Subgroup]
    gap: Value
    p: float
    small: int


def subgroups(
    kind: str,
    truth: Columns,
    prediction: Columns,
    metric: str,
    column: str,
    member: np.ndarray,
    clusters: np.ndarray | None = None,
    seed: int = 0,
    most: int = MOST,
) -> Subgroups | None:
    """The `most` largest subgroups of at least FEWEST records; None when there are fewer than two.

    member: object [N], each record's subgroup, None for none. clusters: [N], records that are drawn together; where the
    subgroups are the clusters themselves, records are drawn.
    """
    member = np.array(["" if name is None or name != name else str(name) for name in member], dtype=object)
    names, counts = np.unique(member[member != ""].astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    names = [str(names[index]) for index in order if counts[index] >= FEWEST]
    if len(names) < 2:
        return None
    overall_metric = metrics(kind, truth, prediction)[metric]
    masks = {name: member == name for name in names}
    if clusters is not None and all(len(set(clusters[mask])) == 1 for mask in masks.values()):
        clusters = None
    resamples = Resamples(len(member), clusters, 1000, seed)
    by_group = {name: _within(overall_metric, mask) for name, mask in masks.items()}
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = distribution(by_group, resamples)
        estimates = {name: point(metric, len(member)) for name, metric in by_group.items()}
    defined = [name for name in names if np.isfinite(estimates[name])]
    if len(defined) < 2:
        return None
    defined.sort(key=lambda name: -estimates[name])
    groups = []
    for name in defined:
        value = measured(by_group[name], drawn[name], resamples, units=_units(masks[name], clusters))
        groups.append(Subgroup(name, int(masks[name].sum()), value))
    best, worst = defined[0], defined[-1]
    observed_gap = estimates[best] - estimates[worst]
    gap = summary(observed_gap, drawn[best] - drawn[worst], resamples.units, 0.0)
    p = _shuffled_share(overall_metric, [masks[name] for name in defined], clusters, observed_gap, seed)
    return Subgroups(column, metric, groups, gap, p, len(member) - sum(group.records for group in groups))


def _within(metric: Metric, mask: np.ndarray) -> Metric:
    def within(weights: np.ndarray) -> np.ndarray:
        return metric(weights * mask[:, None].astype(weights.dtype))

    if not isinstance(metric, Share):
        return within
    return Share(within, None if metric.outcomes is None else np.where(mask, metric.outcomes, np.nan))


def _units(mask: np.ndarray, clusters: np.ndarray | None) -> int:
    return int(mask.sum()) if clusters is None else len(set(clusters[mask]))


def _shuffled_share(
    metric: Metric, masks: list[np.ndarray], clusters: np.ndarray | None, gap: float, seed: int
) -> float:
    """The share of groupings, the observed among them, whose best and worst lie `gap` or further apart.

    Records change places; where each cluster is of one subgroup, clusters do.
    """
    generator = np.random.default_rng(seed)
    group_of = np.full(len(masks[0]), -1)
    for index, mask in enumerate(masks):
        group_of[mask] = index
    unit = np.arange(len(group_of)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    first = np.zeros(unit.max() + 1, dtype=int)
    first[unit] = group_of
    if not (first[unit] == group_of).all():
        unit, first = np.arange(len(group_of)), group_of
    reached, done = 1, 0
    size = max(1, AT_ONCE // (len(group_of) * len(masks)))
    shuffles = int(np.clip(IN_ALL // (len(group_of) * len(masks)), FEWEST_SHUFFLES, SHUFFLES))
    while done < shuffles:
        count = min(size, shuffles - done)
        shuffled = np.stack([generator.permutation(first)[unit] for _ in range(count)], axis=1)  # [N, count]
        weights = (shuffled[:, :, None] == np.arange(len(masks))).astype(np.float32)  # [N, count, G]
        with np.errstate(invalid="ignore", divide="ignore"):
            values = metric(weights.reshape(len(group_of), -1)).reshape(count, len(masks))  # [count, G]
        values = np.where(np.isfinite(values).all(axis=1, keepdims=True), values, 0.0)
        reached += int((np.ptp(values, axis=1) >= gap - 1e-9).sum())
        done += count
    return reached / (shuffles + 1)
