"""The state of a run in the middle of training, in a folder that is written completely or not at all: tensors as
safetensors, all else as JSON."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from sensorium.errors import UserError
from sensorium.files import recover, whole_folder
from sensorium.model import is_frozen
from sensorium.training.averaging import Average
from sensorium.training.learner import Learner
from sensorium.training.processes import as_shared, full

_OBJECTIVE_STATE = re.compile(r"objectives\..*?\b(teacher|queue)\.(.+)")


class TrainingState(BaseModel, extra="forbid", ser_json_inf_nan="constants"):
    """The position of a run: after `step` optimiser steps of `epoch`. `cut`: a deadline ended it."""

    # A metric may be undefined, and a resumed run has to log the same.
    fingerprint: str
    epoch: int = 0
    step: int = 0
    finished: bool = False
    cut: bool = False
    totals: dict[str, float] = {}
    counts: dict[str, float] = {}
    best_score: list[float] | None = None
    best_epoch: int = 0
    seconds: float = 0.0
    log: list[dict[str, Any]] = []


def run_mismatch_error(folder: Path) -> UserError:
    """The error for resuming the run in `folder` with other records or settings."""
    return UserError(
        f"The records or settings are not those that the run in {folder} began with; bring the same ones, or start anew"
        " in another folder."
    )


def trained(learner: Learner) -> dict[str, Tensor]:
    """The learner's state without what training never changes: frozen encoders, weights beside adapters, teachers."""
    encoders = enumerate(learner.model.encoders.modules_once)
    frozen = [f"model.encoders.parts.{index}." for index, encoder in encoders if is_frozen(encoder)]
    modules = learner.objectives.named_modules(remove_duplicate=False)
    frozen += [f"objectives.{name}." for name, module in modules if name and is_frozen(module)]
    # What objectives share, such as a teacher, has one name here and several in the state.
    moving = {key for key, parameter in learner.named_parameters() if parameter.requires_grad}
    saved_names = moving | {key for key, _ in learner.named_buffers()}
    state = {key: value for key, value in learner.state_dict().items() if not key.startswith(tuple(frozen))}
    return {key: value for key, value in state.items() if key in saved_names}


def put_weights(learner: Learner, weights: dict[str, Tensor]) -> None:
    """Loads `weights`, a copy of `trained(learner)`. Raises UserError when they are of another model."""
    expected = trained(learner)
    if weights.keys() != expected.keys():
        raise UserError("The saved state does not fit this model; start the run anew in another folder.")
    with torch.no_grad():
        for key, value in expected.items():
            value.copy_(weights[key])


def objective_state(folder: Path) -> dict[str, Tensor]:
    """The weights of the teacher and the queue among the best weights of the state in `folder`: `teacher.NAME` and
    `queue.NAME`, or nothing where it has neither. Raises UserError when the state is damaged or missing."""
    with _readable(folder), safe_open(folder / "best.safetensors", "pt") as weights:
        matches = [_OBJECTIVE_STATE.fullmatch(name) for name in weights.keys()]  # noqa: SIM118 (it is no dictionary)
        return {f"{name[1]}.{name[2]}": weights.get_tensor(name[0]) for name in matches if name is not None}


def optimizer_state(optimizer: torch.optim.Optimizer, keep: bool) -> dict[str, Tensor]:
    """The optimiser's state, by parameter index and name, on the CPU. What is sharded is gathered, so every process has
    to call this; one that does not `keep` it gets an empty dictionary."""
    tensors = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            full_value = full(value)
            if keep:
                tensors[f"{index}.{name}"] = full_value.cpu()
    return tensors


def save_state(
    folder: Path,
    learner: Learner,
    best: dict[str, Tensor],
    state: dict[str, Tensor],
    position: TrainingState,
    average: Average | None = None,
) -> None:
    """Writes the current weights, their average if there is one, the `best` ones, the optimiser's `state` (its moments)
    and the position into the folder `folder`, completely or not at all. Raises UserError when the disk refuses."""
    with whole_folder(folder) as new:
        _write(trained(learner), new / "weights.safetensors")
        _write(best, new / "best.safetensors")
        if average is not None:
            _write(average.weights, new / "average.safetensors")
        _write(state, new / "optimizer.safetensors")
        (new / "position.json").write_text(position.model_dump_json(indent=1))


def load_training_state(folder: Path) -> TrainingState | None:
    """The position saved in `folder`, or None when nothing was saved. Raises UserError when it cannot be read."""
    recover(folder)
    path = folder / "position.json"
    with _readable(folder):
        return TrainingState(**json.loads(path.read_text())) if path.exists() else None


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """While entered, errors of reading the state in `folder` become a UserError."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise UserError(
            f"The state saved in {folder} is damaged; bring a whole copy of that folder, or remove it to train from the"
            " start of the run."
        ) from error


def load_state(
    folder: Path, learner: Learner, optimizer: torch.optim.Optimizer, average: Average | None = None
) -> dict[str, Tensor]:
    """Restores what `save_state` wrote; gives the best weights. Raises UserError when a file is damaged or missing."""
    with _readable(folder):
        best = load_file(folder / "best.safetensors")
        put_weights(learner, load_file(folder / "weights.safetensors"))
        if average is not None:
            average.load(load_file(folder / "average.safetensors"))
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in load_file(folder / "optimizer.safetensors").items():
            index, name = key.split(".")
            state.setdefault(int(index), {})[name] = as_shared(value, parameters[int(index)])
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return best


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, path)
