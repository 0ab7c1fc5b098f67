import numpy as np
import pytest
import torch

from sensorium.metrics import Resamples, distribution, point
from sensorium.metrics.kinds.boxes import RECALLS, THRESHOLDS, PictureBoxes, place_metrics

LABELS = ["a", "b", "c"]


def pictures(rng, count, jitter=None, like=None):
    """Random true boxes, or boxes near those of `like` with some left out, added and mislabelled."""
    made = []
    for number in range(count):
        if like is None:
            size = rng.integers(0, 6)
            corner, extent = rng.uniform(0, 150, (size, 2)), rng.uniform(8, 130, (size, 2))
            labels, scores = rng.choice(LABELS, size).tolist(), np.ones(size)
            boxes = np.concatenate([corner, corner + extent], axis=1)
        else:
            keep = rng.random(len(like[number].labels)) < 0.8
            boxes = like[number].boxes[keep] + rng.normal(0, jitter, (keep.sum(), 4))
            extra = rng.uniform(0, 100, (rng.integers(0, 3), 2))
            boxes = np.concatenate([boxes, np.concatenate([extra, extra + 40], axis=1)])
            labels = [label for label, kept in zip(like[number].labels, keep, strict=True) if kept]
            labels = [rng.choice(LABELS) if rng.random() < 0.1 else label for label in labels]
            labels += rng.choice(LABELS, len(extra)).tolist()
            scores = rng.random(len(boxes)).round(3)
        made.append(PictureBoxes(labels, boxes, scores))
    return made


def of_torchmetrics(truths, written):
    detection = pytest.importorskip("torchmetrics.detection")
    metric = detection.MeanAveragePrecision(
        iou_thresholds=THRESHOLDS.tolist(), rec_thresholds=RECALLS.tolist(), class_metrics=True
    )  # its own are of single precision
    target, predicted = (
        [
            {
                "boxes": torch.from_numpy(picture.boxes).double().reshape(-1, 4),
                "labels": torch.tensor([LABELS.index(label) for label in picture.labels], dtype=torch.long),
                "scores": torch.from_numpy(picture.scores),
            }
            for picture in side
        ]
        for side in (truths, written)
    )
    metric.update(predicted, target)
    return {name: value.tolist() for name, value in metric.compute().items()}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_average_precision_equals_torchmetrics(seed):
    rng = np.random.default_rng(seed)
    truths = pictures(rng, 30)
    written = pictures(rng, 30, 2 + 4 * seed, truths)
    ours = {name: point(metric, 30) for name, metric in place_metrics(truths, written).items()}
    reference = of_torchmetrics(truths, written)
    for name in ("map_50", "map", "map_small", "map_medium", "map_large"):
        assert ours[name] == pytest.approx(reference[name], abs=1e-6), name


def test_a_resample_equals_torchmetrics_on_the_pictures_that_it_draws():
    rng = np.random.default_rng(5)
    truths = pictures(rng, 12)
    written = pictures(rng, 12, 4, truths)
    drawn = rng.choice(12, 7, replace=False)
    weights = np.isin(np.arange(12), drawn)[:, None].astype(np.float32)
    reference = of_torchmetrics([truths[row] for row in drawn], [written[row] for row in drawn])
    metrics = place_metrics(truths, written)
    assert metrics["map_50"](weights)[0] == pytest.approx(reference["map_50"], abs=1e-6)
    spread = distribution({"map": metrics["map"]}, Resamples(12, count=50))["map"]
    assert spread.std() > 0 and (spread >= 0).all() and (spread <= 1).all()


def test_a_perfect_answer_is_one_and_nothing_is_zero():
    rng = np.random.default_rng(3)
    truths = pictures(rng, 10)
    nothing = [PictureBoxes([], np.zeros((0, 4)), np.zeros(0))] * 10
    assert point(place_metrics(truths, truths)["map"], 10) == 1
    assert point(place_metrics(truths, nothing)["map"], 10) == 0


def test_grounding_is_how_many_of_the_surest_boxes_are_right_whatever_they_are_called():
    truth = PictureBoxes(["the frog"], np.array([[0.0, 0, 10, 10]]), np.ones(1))
    near = PictureBoxes(["x", "y"], np.array([[0.0, 0, 9, 10], [20, 20, 30, 30]]), np.array([0.9, 0.2]))
    far = near._replace(scores=np.array([0.2, 0.9]))
    assert point(place_metrics([truth, truth], [near, far])["accuracy_50"], 2) == 0.5
    assert "accuracy_50" not in place_metrics([truth, near], [near, far])


def test_more_of_a_true_box_than_one_answer_is_wrong():
    truth = PictureBoxes(["a"], np.array([[0.0, 0, 10, 10]]), np.ones(1))
    twice = PictureBoxes(["a", "a"], np.array([[0.0, 0, 10, 10], [0, 0, 10, 10]]), np.array([0.9, 0.8]))
    assert point(place_metrics([truth], [twice])["map_50"], 1) == 1  # recall is full before the second
    wrong_first = PictureBoxes(["a", "a"], np.array([[30.0, 30, 40, 40], [0, 0, 10, 10]]), np.array([0.9, 0.8]))
    assert point(place_metrics([truth], [wrong_first])["map_50"], 1) == pytest.approx(0.5)
