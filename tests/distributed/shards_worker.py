"""One process of the test of shards: which records its loader delivers in two epochs, written as JSON."""

import json
import sys
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import gather_object

from sensorium.data.read import read
from sensorium.data.records import Records, epoch_batches, load
from sensorium.data.scan import scan
from tests.data.made_records import Lengths


def main(folder: Path) -> None:
    """Writes by number of workers and epoch the keys, and what was read, of all processes."""
    accelerator = Accelerator(cpu=True)
    table = read(folder / "shards", target="kind", quiet=True)
    records = Records(table, {"photo": Lengths()}, scan(table).ids)
    rank, world = accelerator.process_index, accelerator.num_processes
    found = {}
    for workers in (0, 1, 3):
        for epoch in (0, 1):
            items = [(rows, None) for (rows,) in epoch_batches(len(table), 4, 0, epoch, rank, world)]
            seen = []
            for batch in load(records, items, workers):
                seen += zip(batch.keys, batch.inputs["photo"]["values"].sum(dim=1).tolist(), strict=True)
            found[f"{workers} workers, epoch {epoch}"] = gather_object(seen)
    if accelerator.is_main_process:
        (folder / "seen.json").write_text(json.dumps({"world": world, "found": found}))
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
