"""What an objective offers so that a recipe can name it: one that brings two inputs together, or learns from a teacher.

A class says which it is by `aligns = True` or `distills = True`; one with neither is trained by a family or a Learner,
and no recipe names it.
"""

from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel
from torch import nn

from sensorium.data.schema import Schema
from sensorium.model import Model
from sensorium.objectives.teacher import Teacher


class AligningObjective(Protocol):
    """Brings two inputs together; built as `(a, b, weight=..., **options)`, `a` and `b` the names of the inputs.

    Config: what a recipe may set. needs_temperature: it reads the model's `logit_scale`. shares_space: both embeddings
    have to be of one width.
    """

    Config: type[BaseModel]
    aligns: ClassVar[Literal[True]]
    needs_temperature: ClassVar[bool]
    shares_space: ClassVar[bool]

    @staticmethod
    def model_options(model: Model, dims: tuple[int, int]) -> dict[str, Any]:
        """The options that follow from the model and the widths of both embeddings, beside those of `Config`."""


class DistillingObjective(Protocol):
    """Learns from a trained model. Config: what a recipe may set. most_inputs: how many inputs a recipe may name."""

    Config: type[BaseModel]
    distills: ClassVar[Literal[True]]
    most_inputs: ClassVar[int]

    @staticmethod
    def check_schemas(student: Schema, teacher: Schema) -> None:
        """Raises UserError when the student's targets cannot be learned from the teacher's."""

    @classmethod
    def build_all(
        cls, teacher: Teacher, model: Model, inputs: list[str], target: str | None, weight: float, **options: Any
    ) -> list[nn.Module]:
        """The objectives that one entry of a recipe makes: of its `inputs` and its `target`, or of all where it names
        none. Raises UserError when there are none.
        """


def no_model_options(model: Model, dims: tuple[int, int]) -> dict[str, Any]:
    """No option follows from the model: `model_options` of an objective that has its Config's alone."""
    return {}
