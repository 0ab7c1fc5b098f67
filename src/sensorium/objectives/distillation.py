"""Learning the decisions or the features of a trained model: a larger one, or one with more inputs."""

from typing import Any, Self

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.data.schema import Schema
from sensorium.data.targets import TARGETS
from sensorium.errors import UserError
from sensorium.features import Batch, Loss
from sensorium.model import Model
from sensorium.objectives.losses import class_divergence, label_divergence
from sensorium.objectives.step import Step
from sensorium.objectives.teacher import Teacher


class DistillationConfig(BaseModel, frozen=True, extra="forbid"):
    """temperature: above 1 it shows more of what the teacher thinks of the less likely classes."""

    temperature: float = Field(2.0, gt=0)


class FeatureDistillationConfig(BaseModel, frozen=True, extra="forbid"):
    """It has no settings of its own."""


class Distillation(nn.Module):
    """The decision of the model's head `head` comes near the teacher's (Hinton et al. 2015, arXiv:1503.02531).

    Classes learn the teacher's probabilities at `temperature`, labels those of each label, numbers what it decides. It
    needs no true target: every record teaches that has an input of the student and one of the teacher, which may read
    inputs that the student lacks. `model`: the student. `weight`: of this loss in the sum.

    Raises UserError when the teacher has no such head, or one for other classes, and for a vote, which has no gradient.
    """

    Config = DistillationConfig
    distills = True
    most_inputs = 0
    reads = "fused"

    def __init__(self, teacher: Teacher, model: Model, head: str, temperature: float = 2.0, weight: float = 1.0):
        super().__init__()
        kind, teacher_kind = model.heads[head].kind, teacher.head(head).kind
        if kind != teacher_kind:
            raise UserError(f"The target '{head}' is of kind {kind}, but the teacher's is of kind {teacher_kind}.")
        if getattr(model.heads[head].config, "combine", None) == "vote":
            raise UserError(f"The target '{head}' is decided by vote, which learns from no teacher; combine otherwise.")
        self.teacher, self.head, self.temperature = teacher, head, temperature
        self.inputs = model.encoders.names
        self.name = f"{head}_distilled"
        self.weights = {self.name: weight}
        self.distilled_by = TARGETS[kind].distilled_by
        by_loss = self.distilled_by == "loss"
        order = None if by_loss else class_order(head, model.schema, teacher.model.schema)
        self.register_buffer("order", order, persistent=False)

    @staticmethod
    def check_schemas(student: Schema, teacher: Schema) -> None:
        """Raises UserError for a target of both that has other labels, or a kind that is learned from no teacher."""
        names = {target.name for target in teacher.targets}
        for target in student.targets:
            if target.name in names:
                class_order(target.name, student, teacher)

    @classmethod
    def build_all(
        cls, teacher: Teacher, model: Model, inputs: list[str], target: str | None, weight: float, **options: Any
    ) -> list[Self]:
        """One for the target, or for each that both models have. Raises UserError when they have none in common."""
        shared = [name for name in model.heads.names if name in teacher.model.heads]
        targets = [target] if target is not None else shared
        if not targets:
            raise UserError("The teacher has none of the targets that are learned; take one that was fitted to them.")
        return [cls(teacher, model, name, weight=weight, **options) for name in targets]

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count of the divergence over the records that both can judge."""
        counted = self._counted(step.batch)
        teacher_step = self.teacher.step(step.batch)
        teacher_decision = self.teacher.head(self.head).predict(teacher_step.fused())
        head, fused = step.model.heads[self.head], step.fused()
        if self.distilled_by == "loss":
            goal = {key: value.detach() for key, value in head.as_target(teacher_decision).items()}
            losses = head.loss(fused, goal | {"mask": counted})
        else:
            divergence = class_divergence if self.distilled_by == "softmax" else label_divergence
            goal = teacher_decision["probabilities"]  # [B, K]
            goal = goal if self.order is None else goal[:, self.order]
            losses = divergence(head.predict(fused)["probabilities"], goal, self.temperature)  # [B]
        return {self.name: Loss(torch.where(counted, losses, 0.0).sum(), counted.sum())}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many rows `forward` will count."""
        return {self.name: self._counted(batch).sum()}

    def _counted(self, batch: Batch) -> Tensor:
        student_present = torch.stack([batch.present(name) for name in self.inputs]).any(dim=0)  # [B]
        return student_present & self.teacher.present(batch)


class FeatureDistillation(nn.Module):
    """A summary of the model learns to predict the teacher's, through a learned linear map (FitNets, Romero et al.
    2015, arXiv:1412.6550): of input `view`, or of all inputs fused when that is None.

    The loss is one less the cosine of the mapped summary and the teacher's. The map is kept here. `model`: the student.
    `weight`: of this loss in the sum. Raises UserError when one of the two does not have what is compared."""

    Config = FeatureDistillationConfig
    distills = True
    most_inputs = 1
    reads = "fused"

    def __init__(self, teacher: Teacher, model: Model, view: str | None = None, weight: float = 1.0):
        super().__init__()
        self.teacher, self.view = teacher, view
        self.inputs = model.encoders.names if view is None else [view]
        self.name = "fused_features" if view is None else f"{view}_features"
        self.weights = {self.name: weight}
        self.mapping = nn.Linear(_width(model, view, "model"), _width(teacher.model, view, "teacher"))

    @staticmethod
    def check_schemas(student: Schema, teacher: Schema) -> None:
        """Features need no target in common."""

    @classmethod
    def build_all(
        cls, teacher: Teacher, model: Model, inputs: list[str], target: str | None, weight: float, **options: Any
    ) -> list[Self]:
        """One, of the input that is named, or of all inputs fused."""
        return [cls(teacher, model, inputs[0] if inputs else None, weight, **options)]

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count of the loss over the records that both can see."""
        counted = self._counted(step.batch)
        student_summary, teacher_summary = (
            (model_step.fused() if self.view is None else model_step.features(self.view)).pooled
            for model_step in (step, self.teacher.step(step.batch))
        )
        mapped, goal = self.mapping(student_summary).float(), teacher_summary.detach().float()
        losses = 1 - F.cosine_similarity(mapped, goal, dim=1)  # [B]
        return {self.name: Loss(torch.where(counted, losses, 0.0).sum(), counted.sum())}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many rows `forward` will count."""
        return {self.name: self._counted(batch).sum()}

    def _counted(self, batch: Batch) -> Tensor:
        student_present = torch.stack([batch.present(name) for name in self.inputs]).any(dim=0)  # [B]
        return student_present & self.teacher.present(batch, self.view)


def _width(model: Model, view: str | None, role: str) -> int:
    if view is not None:
        if view not in model.encoders:
            names = ", ".join(model.encoders.names)
            raise UserError(f"The {role} has no input '{view}', whose features would be compared; it has {names}.")
        return model.encoders[view].dim
    if model.fusion is None:
        raise UserError(f"The {role} fuses nothing; name the input whose features are to be compared.")
    return model.fusion.dim


def class_order(head: str, student: Schema | None, teacher: Schema | None) -> Tensor | None:
    """int64 [K]: the position among the teacher's labels of each of the student's; None where a schema is missing.
    Raises UserError when they are not the same labels, or answers."""
    if student is None or teacher is None:
        return None
    (labels, kind), (teacher_labels, teacher_kind) = (
        next((target.labels, target.kind) for target in schema.targets if target.name == head)
        for schema in (student, teacher)
    )
    if kind != teacher_kind:
        raise UserError(f"The target '{head}' is of kind {kind}, but the teacher's is of kind {teacher_kind}.")
    if TARGETS[kind].distilled_by is None:
        raise UserError(
            f"The target '{head}' is of the kind {kind}, which is learned from people and not from a teacher's"
            " decision; name another target, or learn by feature_distillation."
        )
    if set(labels) != set(teacher_labels):
        unmatched = next(iter(set(labels) ^ set(teacher_labels)))
        raise UserError(
            f"The target '{head}' has other classes than the teacher's ('{unmatched}' is of one alone); a teacher has"
            " to be fitted on the same ones."
        )
    return torch.tensor([teacher_labels.index(label) for label in labels])
