"""UniCL's two losses against the paper's formula, row by row in NumPy; labels encoded once."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from sensorium.features import Batch
from sensorium.objectives.step import Step
from sensorium.objectives.unicl import WEIGHT, unicl
from sensorium.training.learner import Learner
from tests.objectives.test_contrastive import model
from tests.training.pairs import cut, gradients, training

ROWS = 20
CLASSES = np.where(np.arange(ROWS) % 4 == 1, -1, np.arange(ROWS) % 3)  # -1: no class


def batch() -> Batch:
    """Pictures of which each has a caption, a class, both or neither; the texts of one class are alike."""
    torch.manual_seed(1)
    place, classes = torch.arange(ROWS), torch.from_numpy(CLASSES)
    labels = torch.randn(3, 5)[classes] * (classes >= 0)[:, None]
    values = {"photo": torch.randn(ROWS, 5), "caption": torch.randn(ROWS, 5), "caption/label": labels}
    present = {"photo": place % 5 != 2, "caption": place % 6 != 3, "caption/label": classes >= 0}
    inputs = {name: {"value": value, "mask": present[name][:, None]} for name, value in values.items()}
    ids = {"photo": place + 1, "caption": place + 1, "caption/label": classes + 1}
    return Batch(inputs, {}, ids, [str(row) for row in range(ROWS)])


def plain_unicl(images: np.ndarray, texts: np.ndarray, y: np.ndarray, scale: float) -> float:
    """Equations 2 and 3 of the paper, the mean of both directions, summed over the rows: y, int [N], is the label."""
    total = 0.0
    for queries, answers in ((images, texts), (texts, images)):
        for i, query in enumerate(queries):
            logits = scale * np.array([query @ answer for answer in answers])
            log_sum = logits.max() + np.log(np.exp(logits - logits.max()).sum())
            positives = [k for k in range(len(y)) if y[k] == y[i]]
            total -= sum(logits[k] - log_sum for k in positives) / len(positives)
    return total / 2


def test_each_loss_is_that_of_the_paper():
    towers, records = model(), batch()
    step = Step(towers, records)
    losses = {name: loss for objective in unicl("photo", "caption", True) for name, loss in objective(step).items()}
    images, scale = step.embedding("photo").detach().double().numpy(), towers.logit_scale.exp().item()
    for view, y in (("caption", np.arange(ROWS)), ("caption/label", CLASSES)):
        rows = np.flatnonzero((records.present("photo") & records.present(view)).numpy())
        assert 5 < len(rows) < ROWS
        texts = step.embedding(view).detach().double().numpy()
        plain = plain_unicl(images[rows], texts[rows], y[rows], scale)
        loss = losses[f"photo_{view}"]
        assert loss.total.item() == pytest.approx(plain, rel=1e-5) and loss.count == len(rows)


def test_labels_count_less_than_captions_and_without_labels_there_is_one_loss():
    weights = [objective.weights for objective in unicl("photo", "caption", True)]
    assert weights == [{"photo_caption": 1.0}, {"photo_caption/label": WEIGHT}]
    assert [objective.weights for objective in unicl("photo", "caption", False)] == weights[:1]


def test_a_label_is_encoded_once_and_all_its_rows_share_it():
    towers, records, encoded = model(), batch(), []
    towers.encoders["caption"].register_forward_pre_hook(lambda _, inputs: encoded.append(len(inputs[0]["value"])))
    features = Step(towers, records).features("caption/label")
    assert encoded == [3]
    assert all(torch.equal(features.pooled[row], features.pooled[0]) for row in np.flatnonzero(CLASSES == 0))
    assert not features.pooled[CLASSES < 0].any() and features.present.sum() == (CLASSES >= 0).sum()


def test_in_pieces_every_gradient_is_the_whole_batchs(tmp_path):
    found = []
    for pieces in (1, 3):
        learner = Learner(model(), unicl("photo", "caption", True))
        training(tmp_path, learner, Accelerator(cpu=True)).gradient(cut(batch(), pieces))
        found.append(gradients(learner))
    assert found[0].keys() == found[1].keys() and "model.logit_scale" in found[0]
    for name, gradient in found[0].items():
        assert gradient.norm() > 0
        assert (found[1][name] - gradient).norm() <= 1e-5 * gradient.norm(), name
