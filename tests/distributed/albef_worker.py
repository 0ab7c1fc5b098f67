"""One process of the test of two: four steps of ALBEF's three losses, then all that it has learned, with teacher and
queue, as `learned.safetensors`, and the losses of every step as `losses.json`, both by the first process.

torchrun --nproc-per-node 2 --module tests.distributed.albef_worker FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import save_file

from sensorium.build.objectives import with_views
from sensorium.data.read import read
from sensorium.data.records import Records
from sensorium.data.scan import scan
from sensorium.data.table import Table
from sensorium.encoders.bert_text import BertText, BertTextConfig
from sensorium.encoders.clip_image import ClipImage, ClipImageConfig
from sensorium.families.albef import around, objectives
from sensorium.objectives.momentum import Momentum, Queue
from sensorium.training.learner import Learner
from sensorium.training.loop import Hooks, Training, Validation
from sensorium.training.settings import TrainingSettings
from sensorium.training.state import trained

STEPS, ROWS = 4, 4


def squares(folder: Path) -> Table:
    """Pairs in steps of four: two pictures and two texts, each with each, in such an order that of the others of its
    step the only one without its picture and its text is the one which comes two places from it, in the same process.

    So the pair that matching draws is always the same, on one process as on two.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chance, rows = np.random.default_rng(0), []
    for step in range(STEPS):
        pictures = [f"{step}{name}.png" for name in "ab"]
        for name in pictures:
            Image.fromarray(chance.integers(256, size=(16, 16, 3), dtype=np.uint8)).save(folder / name)
        texts = [" ".join(chance.choice(["red", "blue", "mug", "lamp", "on", "by"], 5)) + f" {step}{x}" for x in "xy"]
        (a, b), (x, y) = pictures, texts
        rows += [(a, x), (a, y), (b, y), (b, x)]
    frame = pd.DataFrame(rows, columns=["photo", "caption"])
    return read(frame, columns={"photo": "image", "caption": "text"}, root=folder, quiet=True)


def main(folder: Path) -> None:
    """Trains, and writes what came of it."""
    accelerator = Accelerator(cpu=True)
    table = squares(folder / f"pictures-{accelerator.process_index}")
    torch.manual_seed(0)
    picture = ClipImageConfig(size=16, patch=8, width=16, depth=1, heads=2, augmentation=None, pre_norm=False)
    text = BertTextConfig(width=16, depth=1, heads=2, dropout=0.0)
    encoders = {"photo": ClipImage(picture), "caption": BertText.build(text, list(table.frame["caption"]), {})}
    model = around(encoders, 1, 8, 0.07, table.schema)
    parts = objectives(Momentum(model, momentum=0.9, ramp=STEPS), Queue(STEPS * ROWS, 8))
    processors = {name: encoder.processor for name, encoder in encoders.items()}
    records = with_views(Records(table, processors, scan(table).ids), model, parts)
    losses = []
    hooks = Hooks(lambda _: Validation([0.0], {}), lambda _: np.arange(len(table)), losses.append)
    settings = TrainingSettings(epochs=1, batch_size=ROWS, modality_dropout=0.0, warmup=0.0, learning_rate=0.01)
    run = Training(Learner(model, parts), records, settings, folder / "last", hooks, "mark", accelerator)
    run.run()
    if accelerator.is_main_process:
        save_file(
            {name: value.contiguous() for name, value in trained(run.learner).items()}, folder / "learned.safetensors"
        )
        (folder / "losses.json").write_text(json.dumps([one for one in losses if "loss" in one]))
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
