"""Gradient caching (Gao et al. 2021, arXiv:2101.06983): the gradient of a loss over all rows of a batch, with the
activations of one piece of them at a time.

The encoders run over the pieces without gradient, the loss is computed once over all embeddings, and each piece runs
once more, with the same randomness, to take the embeddings' gradients to the weights. All is exact: it is the chain
rule, cut at the embeddings.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sensorium.errors import UserError
from sensorium.features import Batch, Features, Loss
from sensorium.model import is_frozen
from sensorium.objectives.step import CachedStep, Step
from sensorium.training.learner import Learner
from sensorium.training.processes import Processes
from sensorium.training.rng_state import get_rng_state, set_rng_state


def caches(learner: Learner, pieces: int) -> bool:
    """Whether the gradient of a batch in so many pieces needs caching: its objectives tell rows from each other, by
    their embeddings. Others add up piece by piece.

    Raises UserError when only some of them do.
    """
    across = [one for one in learner.objectives if one.reads == "embeddings"]
    if pieces == 1 or not across:
        return False
    if len(across) < len(learner.objectives):
        other = next(one for one in learner.objectives if one.reads != "embeddings")
        raise UserError(
            f"With the setting pieces ({pieces}) the objective '{_name(other)}' does not go together with "
            f"'{_name(across[0])}', which compares all records of a batch and needs their embeddings alone; set pieces "
            "to 1, or train them one after the other."
        )
    return True


class Embedded(NamedTuple):
    """What the encoders say of a piece.

    embeddings: by view, float [B, E].
    settled:    Features, pooled alone, of the views whose encoder is not trained: they need not be computed again.
    """

    embeddings: dict[str, Tensor]
    settled: dict[str, Features]


def embed(learner: Learner, batch: Batch) -> Embedded:
    """The embeddings of every view that an objective reads."""
    step = Step(learner.model, batch)
    views = list(dict.fromkeys(view for objective in learner.objectives for view in objective.views))
    embeddings = {view: step.embedding(view) for view in views}
    settled = [view for view in views if _settled(learner, batch, view)]
    return Embedded(
        embeddings,
        {view: Features.one(step.features(view).pooled, step.features(view).present) for view in settled},
    )


def losses_of(learner: Learner, batch: Batch, embeddings: dict[str, Tensor]) -> dict[str, Loss]:
    """Every objective's losses, of `embeddings` that are known."""
    return {
        name: loss
        for objective in learner.objectives
        for name, loss in objective(CachedStep(learner.model, batch, embeddings, _name(objective))).items()
    }


def surrogate(learner: Learner, batch: Batch, gradients: dict[str, Tensor], own: list[Tensor]) -> Tensor:
    """[]: a sum whose gradient is the loss's: of embeddings times their `gradients`, by view float [B, E], and of the
    losses' own parameters times theirs, for as many as are given.
    """
    step = Step(learner.model, batch)
    parts = [(step.embedding(view) * gradient).sum() for view, gradient in gradients.items()]
    parts += [(parameter * gradient).sum() for parameter, gradient in zip(learner.own, own, strict=False)]
    return torch.stack(parts).sum()


def cached(processes: Processes, pieces: list[Batch], weigh: Callable[[dict[str, Loss]], Tensor]) -> dict[str, Loss]:
    """Adds to each parameter's `grad` the gradient of `weigh(losses)` over the rows of all `pieces`; gives the losses.

    A piece is on the accelerator's device only while it is run.
    """
    device, wrapped = processes.accelerator.device, processes.wrapped
    states, found = [], []
    with processes.alone():
        with torch.no_grad():
            for batch in pieces:
                states.append(get_rng_state(device))
                found.append(wrapped(batch.to(device), embed))
        leaves = {
            view: torch.cat([one.embeddings[view] for one in found]).requires_grad_() for view in found[0].embeddings
        }
        losses = wrapped(_whole(pieces, leaves, device), partial(losses_of, embeddings=leaves))
        asked = [*leaves.values(), *processes.live.own]
        gradients = torch.autograd.grad(weigh(losses), asked, materialize_grads=True)
    rows = [len(batch.keys) for batch in pieces]
    cut = {view: gradient.split(rows) for view, gradient in zip(leaves, gradients, strict=False)}
    for index, (batch, one, state) in enumerate(zip(pieces, found, states, strict=True)):
        last = index + 1 == len(pieces)
        batch = batch._replace(inputs=batch.inputs | one.settled).to(device)
        back = partial(
            surrogate,
            gradients={view: parts[index] for view, parts in cut.items()},
            own=gradients[len(leaves) :] if last else [],
        )
        set_rng_state(device, state)
        with nullcontext() if last else processes.alone():
            total = wrapped(batch, back)
            if total.requires_grad:
                total.backward()
    return losses


def _whole(pieces: list[Batch], embeddings: dict[str, Tensor], device: torch.device) -> Batch:
    """The rows of all pieces as one batch, whose inputs say no more than who has them."""
    inputs = {}
    for view, embedding in embeddings.items():
        present = torch.cat([batch.present(view) for batch in pieces]).to(device)
        inputs[view] = Features.one(embedding.detach(), present)
    first = pieces[0]
    targets = {
        name: {key: torch.cat([batch.targets[name][key] for batch in pieces]) for key in target}
        for name, target in first.targets.items()
    }
    ids = {name: torch.cat([batch.ids[name] for batch in pieces]) for name in first.ids}
    return Batch(inputs, targets, ids, [key for batch in pieces for key in batch.keys]).to(device)


def _settled(learner: Learner, batch: Batch, view: str) -> bool:
    model = learner.model
    return isinstance(batch.inputs[view], Features) or is_frozen(model.encoders[model.input_of(view)])


def _name(objective: nn.Module) -> str:
    return next(iter(objective.weights))
