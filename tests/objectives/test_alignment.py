"""Objectives that learn which inputs belong together, on a model of small towers."""

import pytest
import torch
from accelerate import Accelerator

from sensorium.errors import UserError
from sensorium.objectives import Correlation, Information, Triplet
from sensorium.objectives.contrastive import Contrastive
from sensorium.objectives.step import Step
from sensorium.training.learner import Learner
from tests.objectives.test_contrastive import batch, model
from tests.training import pairs

MAKERS = {
    "semihard": lambda **more: Triplet("photo", "caption", "semihard", **more),
    "hardest": lambda **more: Triplet("photo", "caption", "hardest", **more),
    "information": lambda **more: Information("photo", "caption", **more),
    "correlation": lambda **more: Correlation("photo", "caption", **more),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_only_records_with_both_sides_count(make):
    objective, towers, records = make(weight=3.0), model(), batch()
    [(name, loss)] = objective(Step(towers, records)).items()
    present = records.present("photo") & records.present("caption")
    assert loss.count == objective.counts(records)[name] == present.sum() < 20
    assert objective.weights == {name: 3.0} and objective.views == ("photo", "caption")
    rows = present.nonzero()[:, 0]
    alone = records._replace(
        inputs={one: {key: tensor[rows] for key, tensor in value.items()} for one, value in records.inputs.items()},
        ids={one: ids[rows] for one, ids in records.ids.items()},
    )
    assert torch.isclose(objective(Step(towers, alone))[name].total, loss.total, rtol=1e-5)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_towers_learn_which_records_belong_together(make):
    """Of records they have seen: mean cosine of own pairs over that of strangers."""
    towers, records = model(), batch(40)
    with torch.no_grad():  # both sides are of one hidden cause
        records.inputs["caption"]["value"].copy_(records.inputs["photo"]["value"].flip(1) + 0.1 * torch.randn(40, 5))
        records.ids["caption"].copy_(torch.arange(40))
    learner = Learner(towers, [make()])
    optimizer = torch.optim.Adam(learner.parameters(), 0.02)
    for _ in range(80):
        [loss] = learner(records).values()
        optimizer.zero_grad()
        (loss.total / loss.count).backward()
        optimizer.step()
        learner.post_step()
    both = records.present("photo") & records.present("caption")
    step = Step(towers.eval(), records)
    a, b = step.embedding("photo")[both], step.embedding("caption")[both]
    if "correlation" in learner.weights.popitem()[0]:  # which holds embeddings together up to a linear map
        b = b @ torch.linalg.lstsq(b, a).solution
    nearest = (torch.nn.functional.normalize(b, dim=1) @ a.T).argmax(dim=1)
    assert (nearest == torch.arange(len(a))).float().mean() > 0.6  # chance is 0.04


def test_gradient_caching_goes_with_all_of_them(tmp_path):
    def gradients(pieces: int) -> dict[str, torch.Tensor]:
        one = pairs.learner(dropout=0.0, dtype=torch.float64)
        more = [Triplet("photo", "sound", "hardest", labels="kind"), Information("caption", "sound", labels="kind")]
        more += [Correlation("photo", "caption", 2)]
        one = Learner(one.model, [*one.objectives, *more]).double()
        run = pairs.training(tmp_path, one, Accelerator(cpu=True))
        one.train()
        run.gradient(pairs.cut(pairs.batch(dtype=torch.float64), pieces))
        return pairs.gradients(one)

    whole, parts = gradients(1), gradients(5)
    assert whole.keys() == parts.keys() and any("log_factor" in name for name in whole)
    for name, gradient in whole.items():
        assert gradient.abs().sum() > 0, name
        assert (parts[name] - gradient).norm() <= 1e-9 * gradient.norm(), name


def test_factors_stay_within_their_bounds():
    learner = Learner(model(), [Information("photo", "caption"), Contrastive("photo", "caption")])
    for start, end in ((-3.0, 1.0), (9.0, 100.0)):
        with torch.no_grad():
            learner.objectives[0].log_factor.fill_(start)
        learner.post_step()
        assert learner.objectives[0].log_factor.exp().item() == pytest.approx(end)


def test_mistakes_are_sentences():
    with pytest.raises(UserError, match="no mining 'hard'; did you mean 'hardest'"):
        Triplet("photo", "caption", "hard")
    with pytest.raises(UserError, match="directions is 0"):
        Correlation("photo", "caption", 0)
