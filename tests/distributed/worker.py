"""One process of the test of two: gradients of uneven steps, then five steps of training; saved by the first process.

Once for losses that add up over the rows, and once for each contrastive loss and for the others that align,
whole and in three pieces.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import save_file

from sensorium.data.records import epoch_batches
from sensorium.data.table import Table
from sensorium.training.learner import Learner
from sensorium.training.loop import Training, Validation
from sensorium.training.processes import full
from tests.training.worlds import aligning, pairs, table, training

ROWS = 33
CASES: dict[str, tuple[Callable[..., Training], Callable[[int], Table], int]] = {
    "supervised 2": (training, table, 2),
    "softmax 1": (aligning, pairs, 1),
    "softmax 3": (aligning, pairs, 3),
    "sigmoid 1": (partial(aligning, kind="sigmoid"), pairs, 1),
    "sigmoid 3": (partial(aligning, kind="sigmoid"), pairs, 3),
    "others 1": (partial(aligning, kind="others"), pairs, 1),
    "others 3": (partial(aligning, kind="others"), pairs, 3),
}


def ordered(rows: Table) -> np.ndarray:
    """The rows in such an order that with two processes, when the second gets the odd places, all of its first rows
    lack the input b.
    """
    has = rows.frame["b"].notna().to_numpy()
    order = np.arange(ROWS)
    order[0:14:2], order[1:14:2] = np.flatnonzero(has)[:7], np.flatnonzero(~has)[:7]
    order[14:] = np.setdiff1d(np.arange(ROWS), order[:14])
    return order


class Stop(Exception):
    """Ends a training where it stands."""


def resumed(folder: Path, accelerator: Accelerator) -> dict[str, dict[str, torch.Tensor]]:
    """The weights after two epochs with dropout: of a training that was left alone, and of one that was stopped before
    its last step was saved and went on in another object.
    """

    def make(name: str, stop: bool) -> Training:
        torch.manual_seed(0)
        settings = {"epochs": 2, "batch_size": 8, "pieces": 3, "checkpoint_seconds": 0}
        run = aligning(folder / name / "last", accelerator, pairs(ROWS), kind="sigmoid", dropout=0.3, **settings)

        def validate(_: Learner) -> Validation:
            if stop and run.position.epoch == 1:
                raise Stop
            return Validation([float(run.position.epoch)], {})

        run.hooks.validate = validate
        return run

    found = {}
    for name in ("undisturbed", "resumed"):
        (folder / name).mkdir(exist_ok=True)
        run = make(name, stop=False)
        if name == "resumed":
            with suppress(Stop):
                make(name, stop=True).run()
            assert run.resume() and (run.position.epoch, run.position.step) == (1, 4)
        run.run()
        found[name] = {key: value.clone() for key, value in run.learner.state_dict().items()}
    return found


def main(folder: Path) -> None:
    """Writes `CASE gradient`, `CASE uneven`, `CASE alone` and `CASE trained`, `undisturbed` and `resumed` into
    `folder`.
    """
    accelerator = Accelerator(cpu=True)
    world, rank = accelerator.num_processes, accelerator.process_index
    for case, (make, rows, pieces) in CASES.items():
        order = ordered(rows(ROWS))
        torch.manual_seed(0)
        folders = folder / case / "last"
        run = make(folders, accelerator, rows(ROWS), order, epochs=1, batch_size=8, pieces=pieces)
        live = run.processes.sharded_learner
        live.train()
        found = {}
        steps = epoch_batches(ROWS, 8, 0, 0, rank, world, pieces, order)
        alone = np.array_split(order[: 8 if rank == 0 else 0], pieces)
        for name, dealt in (("gradient", steps[0]), ("uneven", steps[4]), ("alone", alone)):
            run.gradient([run.records.batch(part) for part in dealt])
            found[name] = {key: full(parameter.grad).clone() for key, parameter in live.named_parameters()}
            live.zero_grad()
        run.run()
        found["trained"] = {key: value.contiguous() for key, value in run.learner.state_dict().items()}
        if accelerator.is_main_process:
            for name, tensors in found.items():
                save_file(tensors, folder / f"{case} {name}.safetensors")
    for name, tensors in resumed(folder, accelerator).items():
        if accelerator.is_main_process:
            save_file(tensors, folder / f"{name}.safetensors")
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
