"""The metrics of a target that is a list of places: its loss, and how near the boxes that were written are to the true.

Quads and polygons count by the box around them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sensorium.metrics.kinds.loss import LossMetrics
from sensorium.metrics.resampling import Metric
from sensorium.metrics.shares import Share, share

JUDGED_BY = "map_50"
"""The metric of written places by which a model is judged."""
THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of the IoU
RECALLS = np.linspace(0, 1, 101)
MOST_PLACES = 100  # of a label in a picture that count
SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}  # pixels, as COCO has them
EVERY_SIZE = (0.0, 1e10)
MOST_LABELS = 30  # that have a metric of their own


BOXES_METRICS = LossMetrics("neg_place_loss")
"""What is written is measured by `place_metrics`."""


class PictureBoxes(NamedTuple):
    """The boxes of a picture, true or written: `labels` of M, `boxes` float [M, 4] in pixels, `scores` float [M]."""

    labels: Sequence[str]
    boxes: np.ndarray
    scores: np.ndarray


class LabelBoxes(NamedTuple):
    """The boxes of one label in the picture `row`: the true ones, float [G, 4], and those written, float [D, 4], the
    surest first, with their scores, float [D].
    """

    row: int
    true_boxes: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


class Matches(NamedTuple):
    """The boxes of one label that were written in N pictures, the surest first.

    row: int64 [D], the picture of each. hit, counted: bool [10, D], by threshold: whether a true box is where it is,
    and whether it is counted at all. true: float [N], how many true boxes a picture has that count.
    """

    row: np.ndarray
    hit: np.ndarray
    counted: np.ndarray
    true: np.ndarray


def place_metrics(truths: Sequence[PictureBoxes], written: Sequence[PictureBoxes]) -> dict[str, Metric]:
    """Every metric of the boxes that were `written` in N pictures, beside the true ones.

    `map_50` and `map`: the mean over labels of the average precision at an IoU of .5, and at .5 to .95 (COCO's
    definition, Lin et al. 2014, arXiv:1405.0312); `map_small` and so on of true boxes by size; `ap_50 LABEL` of one.
    Where every picture has one true box, `accuracy_50`: how many of the surest boxes have an IoU of .5 with it.
    """
    by_label, count = boxes_by_label(truths, written), len(truths)
    labels = list(by_label)
    matches = {label: match_label(boxes, count, EVERY_SIZE) for label, boxes in by_label.items()}
    metrics: dict[str, Metric] = {
        "map_50": Share(mean_precision(list(matches.values()), slice(0, 1))),
        "map": Share(mean_precision(list(matches.values()), slice(None))),
    }
    if truths and all(len(picture.labels) == 1 for picture in truths):
        metrics["accuracy_50"] = share(np.array([surest_hits(*pair) for pair in zip(truths, written, strict=True)]))
    for size, bounds in SIZES.items():
        of_size = [match_label(boxes, count, bounds) for boxes in by_label.values()]
        if any(match.true.any() for match in of_size):
            metrics[f"map_{size}"] = Share(mean_precision(of_size, slice(None)))
    commonest = sorted(labels, key=lambda label: (-matches[label].true.sum(), label))[:MOST_LABELS]
    return metrics | {f"ap_50 {label}": Share(mean_precision([matches[label]], slice(0, 1))) for label in commonest}


def mean_average_precision(truths: Sequence[PictureBoxes], written: Sequence[PictureBoxes]) -> Metric:
    """JUDGED_BY alone, see `place_metrics`."""
    matches = [match_label(boxes, len(truths), EVERY_SIZE) for boxes in boxes_by_label(truths, written).values()]
    return Share(mean_precision(matches, slice(0, 1)))


def boxes_by_label(truths: Sequence[PictureBoxes], written: Sequence[PictureBoxes]) -> dict[str, list[LabelBoxes]]:
    """By label that any picture truly has, in the order of the alphabet, its boxes in each picture that has one, true
    or written."""
    by_label: dict[str, list[LabelBoxes]] = {label: [] for label in sorted({x for t in truths for x in t.labels})}
    for row, (truth, found) in enumerate(zip(truths, written, strict=True)):
        for label in {*truth.labels, *found.labels} & by_label.keys():
            true_boxes = truth.boxes[np.array([name == label for name in truth.labels], dtype=bool)]
            of_label = np.flatnonzero([name == label for name in found.labels])
            of_label = of_label[np.argsort(-found.scores[of_label], kind="stable")][:MOST_PLACES]
            by_label[label].append(LabelBoxes(row, true_boxes, found.boxes[of_label], found.scores[of_label]))
    return by_label


def match_label(pictures: Sequence[LabelBoxes], count: int, bounds: tuple[float, float]) -> Matches:
    """Which boxes of a label that were written hit a true one, as COCO has it: the surest takes the nearest true box
    that none has taken. count: of all pictures. bounds: of the area of a true box; a smaller or larger one, and what
    hits it, does not count.
    """
    hits, counted = [], []
    true = np.zeros(count)
    for row, true_boxes, boxes, _ in pictures:
        ignored = ~within(true_boxes, bounds)
        true[row] = (~ignored).sum()
        picture_hits, picture_ignored = match_boxes(boxes, true_boxes, ignored)
        hits.append(picture_hits)
        counted.append(~picture_ignored & (picture_hits | within(boxes, bounds)))
    rows = np.concatenate([np.full(len(picture.boxes), picture.row) for picture in pictures])
    order = np.argsort(-np.concatenate([picture.scores for picture in pictures]), kind="stable")
    return Matches(rows[order], np.concatenate(hits, axis=1)[:, order], np.concatenate(counted, axis=1)[:, order], true)


def match_boxes(boxes: np.ndarray, true_boxes: np.ndarray, ignored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bool [10, D] twice, by threshold: which of the boxes [D, 4], the surest first, hit one of the true boxes [G, 4],
    and which of these hit one that is `ignored`, bool [G]; such a one is taken only where no other is near.
    """
    hits, of_ignored = (np.zeros((len(THRESHOLDS), len(boxes)), dtype=bool) for _ in range(2))
    if not len(true_boxes):
        return hits, of_ignored
    overlaps = iou(boxes, true_boxes)
    for level, threshold in enumerate(THRESHOLDS):
        free = np.ones(len(true_boxes), dtype=bool)
        for number, near in enumerate(overlaps):
            candidates = np.flatnonzero(free & (near >= min(threshold, 1 - 1e-10)))
            if not len(candidates):
                continue
            preferred = candidates[~ignored[candidates]]
            choice = preferred if len(preferred) else candidates
            nearest = choice[len(choice) - 1 - near[choice][::-1].argmax()]  # of equally near ones COCO takes the last
            free[nearest], hits[level, number], of_ignored[level, number] = False, True, ignored[nearest]
    return hits, of_ignored


def within(boxes: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """bool [M]: whose area lies between the bounds."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return (area >= bounds[0]) & (area <= bounds[1])


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """float [M, G]: of boxes [M, 4] and [G, 4] the area of both as a share of the area of either."""
    corner = np.minimum(first[:, None, 2:], second[None, :, 2:]) - np.maximum(first[:, None, :2], second[None, :, :2])
    both = corner.clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    return both / np.maximum(areas[0][:, None] + areas[1] - both, 1e-12)


def mean_precision(matches: Sequence[Matches], levels: slice) -> Metric:
    """The mean over labels that have a true box, and over the thresholds `levels`, of the average precision."""

    def metric(weights: np.ndarray) -> np.ndarray:
        of_labels = [average_precision(match, weights, levels) for match in matches]
        stacked = np.stack(of_labels) if of_labels else np.full((1, weights.shape[1]), np.nan)
        counted = np.isfinite(stacked)
        total = np.where(counted, stacked, 0.0).sum(axis=0)
        return np.where(counted.any(axis=0), total / np.maximum(counted.sum(axis=0), 1), np.nan)

    return metric


def average_precision(match: Matches, weights: np.ndarray, levels: slice) -> np.ndarray:
    """float64 [R]: the precision at 101 shares of recall, interpolated, their mean over `levels` in each resample; NaN
    where there is no true box. weights: [N, R].
    """
    weights = weights.astype(np.float64)
    true = match.true @ weights  # [R]
    precisions = []
    for hit, counted in zip(match.hit[levels], match.counted[levels], strict=True):
        of_boxes = weights[match.row] * counted[:, None]  # [D, R]
        hits, count = (of_boxes * hit[:, None]).cumsum(axis=0), of_boxes.cumsum(axis=0)
        precision = hits / np.maximum(count, np.spacing(1))
        best_ahead = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        # How many of the recalls are reached first by each box.
        reached = np.searchsorted(RECALLS, hits / np.maximum(true, 1e-12), side="right")
        steps = np.diff(reached, axis=0, prepend=np.zeros((1, weights.shape[1]), dtype=reached.dtype))
        precisions.append((steps * best_ahead).sum(axis=0) / len(RECALLS))
    return np.where(true > 0, np.mean(precisions, axis=0), np.nan)


def surest_hits(truth: PictureBoxes, written: PictureBoxes) -> float:
    """1 where the surest box that was written has an IoU of .5 with the only true one."""
    if not len(written.scores):
        return 0.0
    surest = written.boxes[[int(written.scores.argmax())]]
    return float(iou(surest, truth.boxes)[0, 0] >= THRESHOLDS[0])
