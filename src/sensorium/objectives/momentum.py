"""A teacher that follows its student."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from sensorium.features import Batch
from sensorium.model import Model
from sensorium.objectives.step import Step


class Momentum(nn.Module):
    """A copy of the model whose weights are a running mean of the model's: after each step of the optimiser, `momentum`
    of themselves and the rest of the model's (MoCo, He et al. 2019, arXiv:1911.05722, as in ALBEF, Li et al. 2021,
    arXiv:2107.07651).

    Its predictions are the share `alpha` of a target, which rises linearly over the first `ramp` steps of the
    optimiser, and is constant when that is 0. Its weights are buffers: no optimiser moves them, and they are saved with
    the objective. Objectives that share it share its step of a batch."""

    def __init__(self, model: Model, momentum: float = 0.995, alpha: float = 0.4, ramp: int = 0):
        super().__init__()
        self.momentum, self.ramp, self._alpha = momentum, ramp, alpha
        self.model = _frozen_copy(model)
        self.register_buffer("steps", torch.tensor(0))
        self._last: Step | None = None

    def train(self, mode: bool = True) -> "Momentum":
        """The copy stays in evaluation mode."""
        self.training = mode
        return self

    @property
    def alpha(self) -> float:
        """The share of a target that is the teacher's, now."""
        return self._alpha * min(1.0, self.steps.item() / self.ramp) if self.ramp else self._alpha

    def step(self, batch: Batch, views: Iterable[str] = ()) -> Step:
        """The teacher's step of a batch, without gradient; with `views` of inputs too, where `alpha` is above 0."""
        if self._last is None or self._last.batch is not batch:
            self._last = Step(self.model, batch, views=views if self.alpha else ())
        return self._last

    @torch.no_grad()
    def update_state(self, model: Model) -> None:
        """Moves the teacher's weights towards the model's, after an optimiser step."""
        self._last = None
        student, teacher = dict(model.named_parameters()), dict(self.model.named_buffers())
        torch._foreach_lerp_([teacher[name] for name in student], list(student.values()), 1 - self.momentum)
        for name, buffer in model.named_buffers():
            teacher[name].copy_(buffer)
        self.steps += 1


def _frozen_copy(model: Model) -> Model:
    """A copy in evaluation mode whose parameters are buffers, under the same names."""
    copied = copy.deepcopy(model).eval()
    for module in copied.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach())
    return copied


class Queue(nn.Module):
    """The last `size` pairs of a teacher's embeddings, and the ids of their contents; new pairs replace the oldest. a,
    b: float32 [size, E]. ids_a, ids_b: int64 [size]."""

    def __init__(self, size: int, dim: int):
        super().__init__()
        self.size = size
        for name in ("a", "b"):
            self.register_buffer(name, torch.zeros(size, dim))
            self.register_buffer(f"ids_{name}", torch.zeros(size, dtype=torch.long))
        self.register_buffer("pointer", torch.tensor(0))
        self.register_buffer("filled", torch.tensor(0))

    def pairs(self) -> list[Tensor]:
        """a, b, ids_a and ids_b of the pairs that the queue holds."""
        return [column[: int(self.filled)] for column in (self.a, self.b, self.ids_a, self.ids_b)]

    def in_order(self) -> list[Tensor]:
        """As `pairs`, the oldest first."""
        oldest = int(self.pointer) if int(self.filled) == self.size else 0
        return [column.roll(-oldest, dims=0) for column in self.pairs()]

    @torch.no_grad()
    def push(self, a: Tensor, b: Tensor, ids_a: Tensor, ids_b: Tensor) -> None:
        """Adds pairs, [N, E] twice and [N] twice; of more than `size`, the last."""
        count = len(a)
        positions = (int(self.pointer) + torch.arange(count, device=a.device))[-self.size :] % self.size
        for column, new in zip((self.a, self.b, self.ids_a, self.ids_b), (a, b, ids_a, ids_b), strict=True):
            column.index_copy_(0, positions, new[-self.size :].to(column.dtype))
        self.pointer.copy_((self.pointer + count) % self.size)
        self.filled.copy_((self.filled + count).clamp(max=self.size))
