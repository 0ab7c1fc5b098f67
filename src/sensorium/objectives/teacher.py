"""A trained model that another model learns from."""

import torch
from torch import Tensor, nn

from sensorium.errors import UserError, check_known
from sensorium.features import Batch
from sensorium.model import Model
from sensorium.objectives.step import Step

VIEW = "teacher"


class Teacher(nn.Module):
    """A model that does not learn: always in evaluation mode, without gradients. Of an input that its student prepares
    otherwise, or lacks, it reads the view `NAME/teacher`, which is made by its own processor; of any other the
    student's own input. Objectives that share a Teacher share its step of a batch."""

    def __init__(self, model: Model):
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self._last: tuple[Batch, Step] | None = None

    def train(self, mode: bool = True) -> "Teacher":
        """Stays as it is."""
        self.training = mode
        return self

    def step(self, batch: Batch) -> Step:
        """The teacher's step of a batch. Raises UserError for an input that it reads and the batch does not have."""
        if self._last is None or self._last[0] is not batch:
            inputs = {name: batch.inputs[self._view(name, batch)] for name in self.model.encoders.names}
            self._last = (batch, Step(self.model, Batch(inputs, batch.targets, batch.ids, batch.keys)))
        return self._last[1]

    def present(self, batch: Batch, name: str | None = None) -> Tensor:
        """bool [B]: which rows have the teacher's input `name`, or any of its inputs."""
        names = self.model.encoders.names if name is None else [name]
        return torch.stack([batch.present(self._view(input_name, batch)) for input_name in names]).any(dim=0)

    def head(self, name: str) -> nn.Module:
        """The teacher's head of a target. Raises UserError when it has none."""
        check_known(self.model.heads.names, "target of the teacher", name)
        return self.model.heads[name]

    @staticmethod
    def _view(name: str, batch: Batch) -> str:
        for view in (f"{name}/{VIEW}", name):
            if view in batch.inputs:
                return view
        raise UserError(
            f"The teacher reads the input '{name}', but the records do not have it; bring that column, or a teacher"
            " that does without it."
        )
