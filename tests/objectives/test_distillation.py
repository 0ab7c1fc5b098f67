"""Distillation: the divergence, what the teacher may be, and a student that learns from more inputs than it has."""

import numpy as np
import pytest
import torch

from sensorium.data.schema import Schema, TargetSpec
from sensorium.errors import UserError
from sensorium.features import Batch
from sensorium.fusion import FUSIONS
from sensorium.heads import HEADS
from sensorium.model import Model
from sensorium.objectives import Distillation, FeatureDistillation, Supervised, Uncertainty
from sensorium.objectives.losses import class_divergence, label_divergence
from sensorium.objectives.step import Step
from sensorium.objectives.teacher import Teacher
from sensorium.training.learner import Learner
from sensorium.training.state import TrainingState, save_state, trained
from tests.objectives.test_contrastive import Tower, batch

CONFIGS = {
    "classes": {"classes": 2, "prior": [0.5, 0.5]},
    "labels": {"classes": 2, "prior": [0.5, 0.5]},
    "number": {"mean": 1.0, "scale": 2.0},
}


def model(names: tuple[str, ...], head: str = "classes", seed: int = 0, labels: tuple = (), dim: int = 8) -> Model:
    """Towers, a concatenation, and a head of the target `kind`."""
    torch.manual_seed(seed)
    encoders = {name: Tower() for name in names}
    concat = FUSIONS["concat"]
    fusion = concat(concat.Config(dim=dim, dropout=0.0), dict.fromkeys(names, 7))
    schema = Schema(columns=[], inputs=[], targets=[TargetSpec(name="kind", kind="class", labels=list(labels))])
    heads = {"kind": HEADS[head](HEADS[head].Config(**CONFIGS[head]), dim)}
    return Model(encoders, None, fusion, heads, schema=schema if labels else None)


def plain(student: np.ndarray, teacher: np.ndarray, temperature: float) -> np.ndarray:
    """T² KL, row by row."""
    soft = [one ** (1 / temperature) for one in (student, teacher)]
    q, p = (one / one.sum(axis=1, keepdims=True) for one in soft)
    return temperature**2 * (p * np.log(p / q)).sum(axis=1)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 7.0])
def test_divergences_are_the_plain_formula_and_their_derivatives_right(temperature):
    torch.manual_seed(0)
    student, teacher = (torch.randn(6, 4).double().softmax(dim=1) for _ in range(2))
    found = class_divergence(student, teacher, temperature)
    assert np.allclose(found, plain(student.numpy(), teacher.numpy(), temperature), rtol=1e-12)
    each = [
        plain(*(torch.stack([one[:, k], 1 - one[:, k]], 1).numpy() for one in (student, teacher)), temperature)
        for k in range(4)
    ]
    assert np.allclose(label_divergence(student, teacher, temperature), np.mean(each, axis=0), rtol=1e-12)
    for divergence in (class_divergence, label_divergence):
        assert torch.autograd.gradcheck(
            lambda one, d=divergence: d(one, teacher, temperature), student.requires_grad_()
        )
        assert divergence(teacher, teacher, temperature).abs().max() < 1e-12
    sure = torch.tensor([[1.0, 0.0]])
    assert class_divergence(sure, sure.flip(1), temperature).isfinite().all()


@pytest.mark.parametrize("head", CONFIGS)
def test_the_student_comes_to_decide_as_its_teacher_without_any_target(head):
    teacher, student = Teacher(model(("photo", "caption"), head, seed=1)), model(("photo", "caption"), head, seed=2)
    with torch.no_grad():
        for parameter in teacher.model.heads["kind"].parameters():
            parameter.mul_(4)
    objective, records = Distillation(teacher, student, "kind"), batch(40)
    records = records._replace(targets={})
    learner, before = Learner(student, [objective]), [one.clone() for one in teacher.model.state_dict().values()]
    learner.train()
    assert not teacher.model.training and not any(one.requires_grad for one in teacher.parameters())
    optimizer = torch.optim.Adam(learner.parameters(), 0.02)
    losses = []
    for _ in range(60):
        [loss] = learner(records).values()
        losses.append((loss.total / loss.count).item())
        optimizer.zero_grad()
        (loss.total / loss.count).backward()
        optimizer.step()
    rows = records.present("photo") | records.present("caption")
    assert loss.count == objective.counts(records)["kind_distilled"] == rows.sum() < 40
    assert losses[-1] < losses[0] / 5
    assert all(torch.equal(old, new) for old, new in zip(before, teacher.model.state_dict().values(), strict=True))


def test_a_student_learns_from_an_input_that_it_lacks():
    """The teacher's photo is a view of the records that the student never reads; where it lacks all its inputs, and
    where the student does, nothing is learned.
    """
    teacher, student, records = Teacher(model(("photo",), seed=1)), model(("caption",), seed=2), batch()
    inputs = {"caption": records.inputs["caption"], "photo/teacher": records.inputs["photo"]}
    given = Batch(inputs, records.targets, records.ids, records.keys)
    objective = Distillation(teacher, student, "kind")
    [loss] = Learner(student, [objective])(given).values()
    assert loss.count == (records.present("photo") & records.present("caption")).sum() < 20
    said = teacher.model.decide(teacher.model.fuse(teacher.model.encode({"photo": records.inputs["photo"]})))["kind"]
    own = student.decide(Step(student, given).fused())["kind"]
    both = records.present("photo") & records.present("caption")
    expected = class_divergence(own["probabilities"], said["probabilities"], 2.0)[both].sum()
    assert torch.isclose(loss.total, expected, rtol=1e-5)
    [count] = Supervised("kind").counts(given).values()
    assert count == (records.targets["kind"]["mask"] & records.present("caption")).sum()  # a view is no input


def test_absent_slots_of_the_teacher_change_no_bit():
    student, teacher, records = model(("caption",), seed=2), Teacher(model(("photo", "caption"), seed=1)), batch()
    objectives = [Distillation(teacher, student, "kind"), FeatureDistillation(teacher, student)]
    noise = {
        name: {"value": torch.where(value["mask"], value["value"], 99.0), "mask": value["mask"]}
        for name, value in records.inputs.items()
    }
    for objective in objectives:
        one, two = (
            next(iter(objective(Step(student, given)).values())) for given in (records, records._replace(inputs=noise))
        )
        assert torch.equal(one.total, two.total)


@pytest.mark.parametrize("view", [None, "caption"])
def test_features_come_near_the_teachers(view):
    teacher, student, records = (
        Teacher(model(("photo", "caption"), seed=1, dim=11)),
        model(("caption",), seed=2),
        batch(),
    )
    objective = FeatureDistillation(teacher, student, view, weight=2.0)
    [name] = objective.weights
    step, their = Step(student, records), teacher.step(records)
    ours, theirs = (
        (one.fused() if view is None else one.features(view)).pooled.detach().numpy() for one in (step, their)
    )
    mapped = ours @ objective.mapping.weight.detach().numpy().T + objective.mapping.bias.detach().numpy()
    rows = records.present("caption").numpy()
    cosines = (
        (mapped * theirs).sum(1)[rows] / np.linalg.norm(mapped, axis=1)[rows] / np.linalg.norm(theirs, axis=1)[rows]
    )
    loss = objective(step)[name]
    assert loss.count == objective.counts(records)[name] == rows.sum() < 20
    assert loss.total.item() == pytest.approx((1 - cosines).sum(), rel=1e-5)


def test_objectives_share_what_the_teacher_says():
    teacher, records = Teacher(model(("photo", "caption"), seed=1)), batch()
    assert teacher.step(records) is teacher.step(records) is not teacher.step(batch())
    assert not teacher.step(records).fused().pooled.requires_grad
    own = {"value": records.inputs["photo"]["value"] + 1, "mask": records.inputs["photo"]["mask"]}
    beside = teacher.step(records._replace(inputs=records.inputs | {"photo/teacher": own}))  # as it prepares a photo
    assert torch.equal(beside.features("photo").pooled, teacher.model.encode({"photo": own})["photo"].pooled)


def test_classes_in_another_order_are_found_by_name():
    records = batch()
    teachers = [model(("caption",), seed=1, labels=labels) for labels in (("no", "yes"), ("yes", "no"))]
    student = model(("caption",), seed=2, labels=("no", "yes"))
    totals = [
        Distillation(Teacher(one), student, "kind")(Step(student, records))["kind_distilled"].total for one in teachers
    ]
    turned = model(("caption",), seed=1, labels=("yes", "no"))
    with torch.no_grad():  # the same teacher, its classes the other way round
        for parameter in turned.heads["kind"].network.layers[-1].parameters():
            parameter.copy_(parameter.flip(0))
    again = Distillation(Teacher(turned), student, "kind")(Step(student, records))["kind_distilled"].total
    assert torch.isclose(again, totals[0], rtol=1e-5) and not torch.isclose(totals[1], totals[0], rtol=1e-2)


def test_the_state_of_a_training_holds_no_teacher(tmp_path):
    """It is in its own folder; two objectives share it, which a file of weights could not say."""
    teacher, student = Teacher(model(("photo", "caption"), seed=1)), model(("caption",), seed=2)
    inner = [Distillation(teacher, student, "kind"), FeatureDistillation(teacher, student, "caption")]
    learner = Learner(student, [Uncertainty([*inner, FeatureDistillation(teacher, student)])])
    kept = trained(learner)
    assert not any("teacher" in name for name in kept)
    for name in ("log_variance", "objectives.1.mapping.weight", "objectives.2.mapping.weight"):
        assert f"objectives.0.{name}" in kept
    assert {f"model.{name}" for name in student.state_dict()} <= kept.keys()
    save_state(tmp_path / "state", learner, kept, {}, TrainingState(fingerprint="one"))


def test_mistakes_are_sentences():
    student, records = model(("caption",), labels=("no", "yes")), batch()
    teacher = Teacher(model(("photo",), labels=("no", "perhaps")))
    with pytest.raises(UserError, match=r"other classes than the teacher's \('(yes|perhaps)' is of one alone"):
        Distillation(teacher, student, "kind")
    with pytest.raises(UserError, match="is of kind class, but the teacher's is of kind number"):
        Distillation(Teacher(model(("photo",), "number")), student, "kind")
    with pytest.raises(UserError, match="The teacher has no input 'caption'"):
        FeatureDistillation(teacher, student, "caption")
    lone = Batch({"caption": records.inputs["caption"]}, {}, {}, records.keys)
    with pytest.raises(UserError, match="The teacher reads the input 'photo', but the records do not have it"):
        Teacher(model(("photo",))).step(lone)
