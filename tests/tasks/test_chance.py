"""What a contrastive loss is by chance, against the losses themselves; and who is warned."""

import math

import numpy as np
import pytest
import torch

from sensorium.families.chance_loss import ChanceLoss, ChanceLossWarning, at_chance
from sensorium.objectives.losses import sigmoid_contrastive, softmax_contrastive
from sensorium.tasks.contrastive import group_by_content


def same(rows: int) -> tuple[torch.Tensor, ...]:
    """Embeddings that say nothing, and ids that are all different."""
    alike = torch.nn.functional.normalize(torch.ones(rows, 4), dim=1)
    return alike, alike, torch.arange(rows), torch.arange(rows) + 100


@pytest.mark.parametrize("rows", [2, 7, 64])
def test_chance_is_the_loss_of_embeddings_that_say_nothing(rows):
    loss = softmax_contrastive(*same(rows), torch.tensor(2.0))
    assert at_chance("softmax", rows) == pytest.approx(float(loss.total / loss.count), rel=1e-5)


@pytest.mark.parametrize("labels", [None, torch.arange(24) % 3])
def test_chance_of_the_sigmoid_loss_is_what_the_best_bias_gets(labels):
    found = []
    for bias in np.linspace(-6, 2, 400):
        scale, offset = torch.tensor(0.0), torch.tensor(float(bias) - 1)  # the cosines are 1
        loss = sigmoid_contrastive(*same(24), scale, offset, labels=labels)
        found.append(float(loss.total / loss.count))
    alike = 0.0 if labels is None else 7 / 23
    assert at_chance("sigmoid", 24, alike) == pytest.approx(min(found), rel=1e-3)


def test_an_epoch_counts_its_last_batch_and_the_records_that_have_both():
    chance = ChanceLoss("softmax", [80, 40], records=100, batch_size=40)
    halves = [(40 * share, 40) for share in (0.8, 0.4)], [(20 * share, 20) for share in (0.8, 0.4)]
    whole, last = (sum(times * math.log(rows) for rows, times in part) for part in halves)
    assert chance.of_an_epoch == pytest.approx((2 * whole + last) / 100)
    assert chance.rows == 32 and "ln 32 = 3.47, and so on" in chance.sentence


class Listener:
    def __init__(self):
        self.printed = []

    def print(self, sentence: str) -> None:
        self.printed.append(sentence)


@pytest.mark.parametrize(("losses", "warned"), [([3.45, 3.44, 3.46], 1), ([3.3, 3.2, 2.9], 0), ([3.45], 1)])
def test_a_loss_that_stays_at_chance_is_told_once(losses, warned):
    console, heard = Listener(), []
    chance = ChanceLoss("softmax", [1600], records=1600, batch_size=32)  # 50 steps an epoch
    watch = ChanceLossWarning(heard.append, chance, len(losses), console)
    for epoch, loss in enumerate(losses):
        watch({"epoch": epoch, "step": 50, "loss": loss})
        watch({"epoch": epoch + 1, "step": 0, "validation": 0.1})
    assert len(console.printed) == warned and len(heard) == 2 * len(losses)
    if warned:
        assert "3.47" in console.printed[0] and "learning rate" in console.printed[0]


def test_few_steps_say_nothing_until_the_end():
    console = Listener()
    watch = ChanceLossWarning(lambda figures: None, ChanceLoss("softmax", [64], records=64, batch_size=32), 3, console)
    for epoch in range(3):
        watch({"epoch": epoch, "step": 2, "loss": 3.46})
        watch({"epoch": epoch + 1, "step": 0})
        assert len(console.printed) == (epoch == 2)


def test_records_that_share_a_content_hang_together():
    front, back = np.array([1, 1, 2, 3, 0, 0, 7]), np.array([5, 6, 6, 8, 0, 0, 0])
    assert group_by_content([front, back]).tolist() == [0, 0, 0, 1, 2, 3, 4]
    assert group_by_content([front, np.zeros(7, dtype=np.int64)]).tolist() == [0, 0, 1, 2, 3, 4, 5]
    assert group_by_content([np.arange(1, 8)]) is None and group_by_content([]) is None
    assert group_by_content([np.ones(7, dtype=np.int64)]) is None, "all in one group cannot be split"
