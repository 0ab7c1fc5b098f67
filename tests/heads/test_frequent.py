"""Frequent answers: the loss against shares, by plain sums; the prior where nothing is known."""

import pytest
import torch
from pydantic import ValidationError

from sensorium.features import Features
from sensorium.heads.frequent import FrequentConfig, TopAnswers
from sensorium.heads.late import Late, LateConfig

PRIOR = [0.5, 0.3, 0.2]
TARGET = {
    "mask": torch.tensor([True, True, True, True]),
    "answers": torch.tensor([[0, 2], [1, -1], [7, 1], [-1, -1]]),  # 7: a known answer that is not frequent
    "weight": torch.tensor([[0.6, 0.4], [1.0, 0.0], [0.7, 0.3], [1.0, 0.0]]),
}


def head() -> TopAnswers:
    torch.manual_seed(0)
    made = TopAnswers(FrequentConfig(classes=3, prior=PRIOR), 5)
    with torch.no_grad():
        made.network.layers[-1].weight.normal_()
    return made.eval()


def fused() -> Features:
    torch.manual_seed(1)
    present = torch.tensor([True, True, True, False])
    return Features.one(torch.randn(4, 5) * present[:, None], present)


def test_the_loss_is_the_cross_entropy_against_the_share_of_the_annotators():
    made, given = head(), fused()
    with torch.no_grad():
        logp = made.network(given.pooled).log_softmax(1)
        wanted = [-0.6 * logp[0, 0] - 0.4 * logp[0, 2], -logp[1, 1], -0.3 * logp[2, 1], torch.tensor(0.0)]
        torch.testing.assert_close(made.loss(given, TARGET), torch.stack(wanted))


def test_the_decision_is_the_likeliest_answer_and_the_prior_where_nothing_is_given():
    made, given = head(), fused()
    with torch.no_grad():
        said, share = made.predict(given), made.network(given.pooled).softmax(1)
    assert torch.equal(said["decision"][:3], share[:3].argmax(1)) and said["decision"].dtype == torch.int64
    torch.testing.assert_close(said["probability"][:3], share[:3].max(1).values)
    assert said["decision"][3] == 0 and said["probability"][3] == pytest.approx(0.5)


def test_calibration_makes_what_is_right_surer():
    torch.manual_seed(0)
    made = head()
    pooled = torch.randn(200, 5)
    given = Features.one(pooled, torch.ones(200, dtype=torch.bool))
    right = made.network(pooled).argmax(1)
    target = {"mask": torch.ones(200, dtype=torch.bool), "answers": right[:, None], "weight": torch.ones(200, 1)}
    before = made.loss(given, target).mean()
    made.calibrate(given, target)
    assert made.decision.classes.temperature < 1 and made.loss(given, target).mean() < before


@pytest.mark.parametrize("combine", ["mean", "learned", "vote", "product"])
@torch.no_grad()
def test_experts_decide_together_and_one_alone_for_itself(combine):
    torch.manual_seed(0)
    inner = {"classes": 3, "prior": PRIOR}
    late = Late(LateConfig(head="frequent", config=inner, experts=2, combine=combine), 5).eval()
    tokens, mask = torch.randn(4, 2, 5), torch.tensor([[True, True], [True, False], [False, True], [False, False]])
    given = Features(tokens * mask[..., None], mask, tokens.mean(1))
    said = late.predict(given)
    assert said["decision"].shape == said["probability"].shape == (4,)
    assert said["decision"][3] == 0 and said["probability"][3] == pytest.approx(0.5)
    alone = late.experts[0].predict(Features.one(tokens[1:2, 0], mask[1:2, 0]))
    assert torch.equal(said["decision"][1:2], alone["decision"])
    torch.testing.assert_close(said["probability"][1:2], alone["probability"])
    every = late.probabilities(given)
    assert every.shape == (4, 3)
    torch.testing.assert_close(every.sum(1), torch.ones(4))
    torch.testing.assert_close(every.gather(1, said["decision"][:, None])[:, 0], said["probability"])
    assert (every <= said["probability"][:, None]).all()
    late.calibrate(given, TARGET)
    assert torch.isfinite(late.loss(given, TARGET)).all()


def test_a_prior_of_another_length_is_named():
    with pytest.raises(ValidationError, match="a prior of 3 answers was given for 4"):
        FrequentConfig(classes=4, prior=PRIOR)
