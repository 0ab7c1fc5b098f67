"""Gradient caching (Gao et al. 2021, arXiv:2101.06983): the gradient of a loss over all rows of a batch, with the
activations of one micro-batch of them at a time.

The encoders run over the micro-batches without gradient, the loss is computed once over all embeddings, and each
micro-batch runs once more, with the same randomness, to take the embeddings' gradients to the weights. All is exact:
it is the chain rule, cut at the embeddings."""

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


def needs_caching(learner: Learner, micro_batches: int) -> bool:
    """Whether the gradient of a batch in so many micro-batches needs caching: its objectives compare rows with each
    other, by their embeddings. Losses of other objectives add up over micro-batches. Raises UserError when only some of
    them do."""
    across = [objective for objective in learner.objectives if objective.reads == "embeddings"]
    if micro_batches == 1 or not across:
        return False
    if len(across) < len(learner.objectives):
        additive = next(objective for objective in learner.objectives if objective.reads != "embeddings")
        raise UserError(
            f"With the setting pieces ({micro_batches}) the objective '{_name(additive)}' does not go together with "
            f"'{_name(across[0])}', which compares all records of a batch and needs their embeddings alone; set pieces "
            "to 1, or train them one after the other."
        )
    return True


class Embedded(NamedTuple):
    """What the encoders give for a micro-batch.

    embeddings: by view, float [B, E].
    fixed:      Features, pooled alone, of the views whose encoder is not trained: they need not be computed again."""

    embeddings: dict[str, Tensor]
    fixed: dict[str, Features]


def embed(learner: Learner, batch: Batch) -> Embedded:
    """The embeddings of every view that an objective reads."""
    step = Step(learner.model, batch)
    views = list(dict.fromkeys(view for objective in learner.objectives for view in objective.views))
    embeddings = {view: step.embedding(view) for view in views}
    fixed = [view for view in views if _is_fixed(learner, batch, view)]
    return Embedded(
        embeddings, {view: Features.one(step.features(view).pooled, step.features(view).present) for view in fixed}
    )


def losses_of_embeddings(learner: Learner, batch: Batch, embeddings: dict[str, Tensor]) -> dict[str, Loss]:
    """Every objective's losses, computed from `embeddings`."""
    return {
        name: loss
        for objective in learner.objectives
        for name, loss in objective(CachedStep(learner.model, batch, embeddings, _name(objective))).items()
    }


def surrogate(learner: Learner, batch: Batch, gradients: dict[str, Tensor], own_gradients: list[Tensor]) -> Tensor:
    """[]: a sum whose gradient is the loss's: of embeddings times their `gradients`, by view float [B, E], and of the
    losses' own parameters times `own_gradients`, for as many as there are."""
    step = Step(learner.model, batch)
    products = [(step.embedding(view) * gradient).sum() for view, gradient in gradients.items()]
    products += [
        (parameter * gradient).sum() for parameter, gradient in zip(learner.own_parameters, own_gradients, strict=False)
    ]
    return torch.stack(products).sum()


def cached_gradient(
    processes: Processes, micro_batches: list[Batch], weigh: Callable[[dict[str, Loss]], Tensor]
) -> dict[str, Loss]:
    """Adds to each parameter's `grad` the gradient of `weigh(losses)` over the rows of all `micro_batches`; gives the
    losses. A micro-batch is on the accelerator's device only while it runs."""
    device, wrapped = processes.accelerator.device, processes.wrapped
    states, embedded = [], []
    with processes.no_sync():
        # The embeddings of all rows, without gradient.
        with torch.no_grad():
            for batch in micro_batches:
                states.append(get_rng_state(device))
                embedded.append(wrapped(batch.to(device), embed))
        # The losses of all rows at once, and their gradients by the embeddings and the losses' own parameters.
        leaves = {
            view: torch.cat([embedded_batch.embeddings[view] for embedded_batch in embedded]).requires_grad_()
            for view in embedded[0].embeddings
        }
        losses = wrapped(_joined(micro_batches, leaves, device), partial(losses_of_embeddings, embeddings=leaves))
        inputs = [*leaves.values(), *processes.sharded_learner.own_parameters]
        gradients = torch.autograd.grad(weigh(losses), inputs, materialize_grads=True)
    # Each micro-batch again, with the randomness that it had, to take those gradients to the weights.
    rows = [len(batch.keys) for batch in micro_batches]
    gradients_by_batch = {view: gradient.split(rows) for view, gradient in zip(leaves, gradients, strict=False)}
    for index, (batch, embedded_batch, state) in enumerate(zip(micro_batches, embedded, states, strict=True)):
        last = index + 1 == len(micro_batches)
        batch = batch._replace(inputs=batch.inputs | embedded_batch.fixed).to(device)
        backward_work = partial(
            surrogate,
            gradients={view: by_batch[index] for view, by_batch in gradients_by_batch.items()},
            own_gradients=gradients[len(leaves) :] if last else [],
        )
        set_rng_state(device, state)
        with nullcontext() if last else processes.no_sync():
            total = wrapped(batch, backward_work)
            if total.requires_grad:
                total.backward()
    return losses


def _joined(micro_batches: list[Batch], embeddings: dict[str, Tensor], device: torch.device) -> Batch:
    """The rows of all micro-batches as one batch, whose inputs say only which rows have them."""
    inputs = {}
    for view, embedding in embeddings.items():
        present = torch.cat([batch.present(view) for batch in micro_batches]).to(device)
        inputs[view] = Features.one(embedding.detach(), present)
    first = micro_batches[0]
    targets = {
        name: {key: torch.cat([batch.targets[name][key] for batch in micro_batches]) for key in target}
        for name, target in first.targets.items()
    }
    ids = {name: torch.cat([batch.ids[name] for batch in micro_batches]) for name in first.ids}
    return Batch(inputs, targets, ids, [key for batch in micro_batches for key in batch.keys]).to(device)


def _is_fixed(learner: Learner, batch: Batch, view: str) -> bool:
    model = learner.model
    return isinstance(batch.inputs[view], Features) or is_frozen(model.encoders[model.input_of(view)])


def _name(objective: nn.Module) -> str:
    return next(iter(objective.weights))
