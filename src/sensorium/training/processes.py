"""A learner as several processes train it: each a whole one (DDP), or each a part of its weights (FSDP2)."""

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

    learner: with whole weights, for looking at and for saving; when the weights are shared out, those of the last
             `gather`.
    live:    the learner whose parameters the optimiser moves: the same one, or a copy with a part of each trained
             weight, its gradient and the optimiser's state on each process (FSDP2; Zhao et al. 2023, arXiv:2304.11277).
    wrapped: what training calls; nothing calls a part of it.

    Raises UserError for the first FSDP.
    """

    def __init__(self, learner: Learner, accelerator: Accelerator):
        self.learner, self.accelerator = learner, accelerator
        self.sharded = _shards(accelerator)
        if self.sharded:
            self.live = self.wrapped = _shard(learner.to(accelerator.device))
        else:
            # Objectives' buffers, a teacher and a queue, are the same on every process, and stay so: DDP, which sends
            # buffers around at every step, leaves those alone.
            own = {name: one for name, one in learner.named_buffers() if name.startswith("objectives.")}
            DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(learner, list(own))
            if accelerator.num_processes > 1:
                learner.to(accelerator.device)
                for _, buffer in learner.objectives.named_buffers():
                    dist.broadcast(buffer, 0)
            self.live, self.wrapped = learner, accelerator.prepare_model(learner)

    def whole(self, what: str) -> Learner:
        """The learner, for `what` needs whole weights in training. Raises UserError when they are shared out."""
        if self.sharded:
            raise UserError(f"FSDP does not go together with {what}; leave one of the two out.")
        return self.learner

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While entered, gradients stay within each process: those of a later backward pass take them along."""
        if not self.sharded:
            with self.accelerator.no_sync(self.wrapped):
                yield
            return
        self.live.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            self.live.set_requires_gradient_sync(True)

    @torch.no_grad()
    def settle(self) -> None:
        """Makes the gradients of scalars the mean over the processes, once the last backward pass of a step is done:
        FSDP2 does not share scalars out, and so leaves theirs alone.
        """
        if self.sharded:
            for one in self.live.parameters():
                if one.grad is not None and not isinstance(one.grad, DTensor):
                    dist.all_reduce(one.grad)
                    one.grad /= self.accelerator.num_processes

    @torch.no_grad()
    def clip(self, parameters: list[nn.Parameter], most: float) -> None:
        """Scales the gradients down to a norm of `most`, over all `parameters` together."""
        if not self.sharded:
            torch.nn.utils.clip_grad_norm_(parameters, most)
            return
        gradients = [one.grad for one in parameters if one.grad is not None]
        mine = [gradient.to_local() for gradient in gradients if isinstance(gradient, DTensor)]
        everyones = [gradient for gradient in gradients if not isinstance(gradient, DTensor)]
        squares = _squares(mine, self.accelerator.device)
        dist.all_reduce(squares)
        norm = (squares + _squares(everyones, self.accelerator.device)).sqrt()
        factor = (most / (norm + 1e-6)).clamp(max=1.0)
        for gradient in mine + everyones:
            gradient *= factor.to(gradient)

    @torch.no_grad()
    def gather(self) -> None:
        """Brings `learner` up to the weights now; every process has to call it."""
        if self.sharded:
            for whole, part in zip(self.learner.parameters(), self.live.parameters(), strict=True):
                if part.requires_grad:
                    whole.copy_(full(part))

    @torch.no_grad()
    def scatter(self) -> None:
        """Brings the weights in training to those of `learner`, which are the same on every process."""
        if self.sharded:
            for whole, part in zip(self.learner.parameters(), self.live.parameters(), strict=True):
                if part.requires_grad:
                    part.copy_(as_shared(whole, part))


def full(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be shared out; every process has to call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def as_shared(whole: Tensor, like: Tensor) -> Tensor:
    """`whole`, which every process has, shared out as `like` is, unless it is a scalar."""
    if not isinstance(like, DTensor) or whole.ndim == 0:
        return whole
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _shards(accelerator: Accelerator) -> bool:
    """Whether Accelerate's launcher, or who sets its variables, asked for weights that are shared out."""
    if accelerator.num_processes == 1 or os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return False
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise UserError("Of FSDP the second version is supported; add --fsdp_version 2 to accelerate launch.")
    return True


def _shard(learner: Learner) -> Learner:
    """A copy of the learner, an encoder at a time whole while it is run.

    Scalars cannot be shared out; frozen encoders are not, for a process that has no row for one does not run it.
    """
    for tensor in learner.state_dict().values():
        first = tensor.contiguous()
        dist.broadcast(first, 0)  # as DDP does
        tensor.copy_(first)
    live = deepcopy(learner)
    # Features hold views of an encoder's output, and nothing here changes a tensor of them in place.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    kept = {one for one in live.parameters() if one.ndim == 0}
    frozen = [encoder for encoder in live.model.encoders.modules_once if is_frozen(encoder)]
    kept |= {parameter for encoder in frozen for parameter in encoder.parameters()}
    for encoder in live.model.encoders.modules_once:
        if encoder not in frozen:
            fully_shard(encoder, ignored_params=kept)
    return fully_shard(live, ignored_params=kept)


def _squares(gradients: Iterable[Tensor], device: torch.device) -> Tensor:
    return sum((gradient.float().square().sum() for gradient in gradients), torch.zeros((), device=device))
