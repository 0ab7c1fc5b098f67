"""A learner as several processes train it: each all of it (DDP), or each a part of its weights (FSDP2)."""

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from sensorium.errors import UserError
from sensorium.model import is_frozen
from sensorium.training.learner import Learner


class Processes:
    """How the processes of `accelerator` train `learner` together.

    learner:         with whole weights, for validation and saving; of sharded weights, those of the last `gather`.
    sharded_learner: the learner whose parameters the optimiser moves: the same one, or a copy with a part of each
                     trained weight, its gradient and the optimiser's state on each process (FSDP2; Zhao et al. 2023,
                     arXiv:2304.11277).
    wrapped:         what training calls; nothing calls a part of it.

    Raises UserError for the first FSDP."""

    def __init__(self, learner: Learner, accelerator: Accelerator):
        self.learner, self.accelerator = learner, accelerator
        self.sharded = _shards(accelerator)
        if self.sharded:
            self.sharded_learner = self.wrapped = _shard(learner.to(accelerator.device))
        else:
            # Objectives' buffers, a teacher and a queue, are the same on every process, and stay so: DDP, which sends
            # buffers around at every step, leaves those alone.
            ignored = [name for name, _ in learner.named_buffers() if name.startswith("objectives.")]
            DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(learner, ignored)
            if accelerator.num_processes > 1:
                learner.to(accelerator.device)
                for _, buffer in learner.objectives.named_buffers():
                    dist.broadcast(buffer, 0)
            self.sharded_learner, self.wrapped = learner, accelerator.prepare_model(learner)

    def whole_learner(self, purpose: str) -> Learner:
        """The learner, whose whole weights `purpose` needs in training. Raises UserError when they are sharded."""
        if self.sharded:
            raise UserError(f"FSDP does not go together with {purpose}; leave one of the two out.")
        return self.learner

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """While entered, gradients stay within each process; the next backward pass outside reduces them too."""
        if not self.sharded:
            with self.accelerator.no_sync(self.wrapped):
                yield
            return
        self.sharded_learner.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            self.sharded_learner.set_requires_gradient_sync(True)

    @torch.no_grad()
    def reduce_scalar_grads(self) -> None:
        """Makes the gradients of scalars the mean over the processes, once the last backward pass of a step is done:
        FSDP2 does not shard scalars, and so does not reduce their gradients."""
        if self.sharded:
            for parameter in self.sharded_learner.parameters():
                if parameter.grad is not None and not isinstance(parameter.grad, DTensor):
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= self.accelerator.num_processes

    @torch.no_grad()
    def clip(self, parameters: list[nn.Parameter], max_norm: float) -> None:
        """Scales the gradients down to a norm of `max_norm`, over all `parameters` together."""
        if not self.sharded:
            torch.nn.utils.clip_grad_norm_(parameters, max_norm)
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        sharded = [gradient.to_local() for gradient in gradients if isinstance(gradient, DTensor)]
        replicated = [gradient for gradient in gradients if not isinstance(gradient, DTensor)]
        squares = _squares(sharded, self.accelerator.device)
        dist.all_reduce(squares)
        norm = (squares + _squares(replicated, self.accelerator.device)).sqrt()
        factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
        for gradient in sharded + replicated:
            gradient *= factor.to(gradient)

    @torch.no_grad()
    def gather(self) -> None:
        """Copies the current weights into `learner`; every process has to call it."""
        if self.sharded:
            for parameter, shard in zip(self.learner.parameters(), self.sharded_learner.parameters(), strict=True):
                if shard.requires_grad:
                    parameter.copy_(full(shard))

    @torch.no_grad()
    def load_whole_weights(self) -> None:
        """Copies the weights of `learner`, which are the same on every process, into those that are trained."""
        if self.sharded:
            for parameter, shard in zip(self.learner.parameters(), self.sharded_learner.parameters(), strict=True):
                if shard.requires_grad:
                    shard.copy_(as_shared(parameter, shard))


def full(tensor: Tensor) -> Tensor:
    """All of a tensor that may be sharded; every process has to call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def as_shared(tensor: Tensor, like: Tensor) -> Tensor:
    """`tensor`, which every process has all of, sharded as `like` is, unless it is a scalar."""
    if not isinstance(like, DTensor) or tensor.ndim == 0:
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _shards(accelerator: Accelerator) -> bool:
    """Whether Accelerate's launcher, or its environment variables, asked for sharded weights."""
    if accelerator.num_processes == 1 or os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return False
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise UserError("Of FSDP the second version is supported; add --fsdp_version 2 to accelerate launch.")
    return True


def _shard(learner: Learner) -> Learner:
    """A sharded copy of the learner, of which an encoder at a time is gathered while it runs. Scalars cannot be
    sharded; frozen encoders are not, for a process that has no row for one does not run it."""
    for tensor in learner.state_dict().values():
        first = tensor.contiguous()
        dist.broadcast(first, 0)  # as DDP does
        tensor.copy_(first)
    sharded = deepcopy(learner)
    # Features hold views of an encoder's output, and nothing here changes a tensor of them in place.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    unsharded = {parameter for parameter in sharded.parameters() if parameter.ndim == 0}
    frozen = [encoder for encoder in sharded.model.encoders.modules_once if is_frozen(encoder)]
    unsharded |= {parameter for encoder in frozen for parameter in encoder.parameters()}
    for encoder in sharded.model.encoders.modules_once:
        if encoder not in frozen:
            fully_shard(encoder, ignored_params=unsharded)
    return fully_shard(sharded, ignored_params=unsharded)


def _squares(gradients: Iterable[Tensor], device: torch.device) -> Tensor:
    return sum((gradient.float().square().sum() for gradient in gradients), torch.zeros((), device=device))
