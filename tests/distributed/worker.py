"""One process of the test of two: the gradient of an uneven step, then five steps of training; saved by the first
process.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import save_file

from sensorium.data.loading import deal
from tests.training.worlds import table, training


def main(folder: Path) -> None:
    """Writes gradient.safetensors and trained.safetensors into `folder`."""
    accelerator = Accelerator(cpu=True)
    rows = table(33)
    # With two processes the second gets the odd places: all of its first rows lack the input b.
    has = rows.frame["b"].notna().to_numpy()
    order = np.arange(33)
    order[0:14:2], order[1:14:2] = np.flatnonzero(has)[:7], np.flatnonzero(~has)[:7]
    order[14:] = np.setdiff1d(np.arange(33), order[:14])
    torch.manual_seed(0)
    run = training(folder / "last", accelerator, rows, order, epochs=1, batch_size=8, pieces=2)
    run.learner.train()
    world, rank = accelerator.num_processes, accelerator.process_index
    for name, step in (("gradient", 0), ("uneven", 4)):
        pieces = deal(33, 8, 0, 0, rank, world, 2, order)[step]
        run.gradient([run.records.batch(part) for part in pieces])
        gradients = {key: parameter.grad.clone() for key, parameter in run.learner.named_parameters()}
        run.learner.zero_grad()
        if accelerator.is_main_process:
            save_file(gradients, folder / f"{name}.safetensors")
    run.run()
    if accelerator.is_main_process:
        save_file(
            {key: value.contiguous() for key, value in run.learner.state_dict().items()}, folder / "trained.safetensors"
        )
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
