"""One process of the test of several: its rows' alignment, and the queue after the step, as `RANK.safetensors`.

torchrun --nproc-per-node 2 --module tests.objectives.albef_worker FOLDER
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch import distributed as dist

from sensorium.features import Batch
from sensorium.objectives.step import Step
from tests.objectives.test_albef import batch_of, objectives, taught

SIZES = {"uneven": (4, 1), "empty": (0, 5)}


def part(batch: Batch, rows: slice) -> Batch:
    """Some rows of a batch."""
    inputs = {name: {key: value[rows] for key, value in one.items()} for name, one in batch.inputs.items()}
    return Batch(inputs, {}, {name: ids[rows] for name, ids in batch.ids.items()}, batch.keys[rows])


def run(batch: Batch) -> dict[str, Tensor]:
    """Total, count and the gradient by the temperature of the alignment, and the queue that it leaves."""
    model, teacher, queue = taught()
    aligned = objectives(teacher, queue)[0].train()
    loss = aligned(Step(model.train(), batch))["image_text"]
    (grad,) = torch.autograd.grad(loss.total, [model.logit_scale])
    aligned.update_state(model)
    held = {f"queue_{name}": value for name, value in queue.state_dict().items()}
    return {"total": loss.total.detach(), "count": loss.count, "grad": grad} | held


def main(folder: Path) -> None:
    """Every way of dealing out the rows."""
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    for case, sizes in SIZES.items():
        start = sum(sizes[:rank])
        found = run(part(batch_of(), slice(start, start + sizes[rank])))
        save_file({name: value.contiguous() for name, value in found.items()}, folder / f"{case}-{rank}.safetensors")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
