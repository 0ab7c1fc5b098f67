"""The records of a run's parts, with the features of frozen encoders from the cache."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sensorium.data.records import Records
from sensorium.features import Batch
from sensorium.model import Model
from sensorium.tasks.splits import Split
from sensorium.config.schema import InputSettings
from sensorium.training.views import Views, ViewsJob

if TYPE_CHECKING:
    from sensorium.runs.stages import RunContext

EVALUATION_BATCH = 256


def load_records(model: Model, part: Split, cached: list[str], context: "RunContext") -> Records:
    """The records of one part; the inputs of frozen encoders come as features from the cache, which is filled first."""
    stores: dict[str, Views] = {}
    for name in cached:
        processors = {name: model.encoders[name].processor}
        # Training alone draws of the views, and no record of the test is trained on.
        views = 1 if part.name == "test" else context.recipe.inputs.get(name, InputSettings()).views
        job = ViewsJob(
            context.features, name, model.encoders[name],
            Records(part.table, processors, part.ids, seed=context.recipe.seed),
            model.fusion is not None and model.fusion.reads == "tokens", context.precision, views,
        )  # fmt: skip
        size = job.bytes()
        if size > context.recipe.cache_gigabytes * 1e9:
            context.console.print(
                f"Features of '{name}' would take {size / 1e9:.1f} GB, more than the setting cache_gigabytes: "
                "they are computed anew each epoch."
            )
            continue
        whose = "test" if part.name == "test" else "training and validation"
        context.console.print(f"Features of '{name}', {whose} records: {size / 1e6:.1f} MB in {context.folder / 'features'}.")
        if context.accelerator.is_main_process:
            with context.console.progress(f"Features of '{name}'", job.rows) as advance:
                job.fill(context.recipe.training.workers or 0, advance)
        context.accelerator.wait_for_everyone()
        stores[name] = job.fill(0)
    return Records(part.table, model.processors, part.ids, stores, context.recipe.seed)


def select_records(known: Records, part: Split) -> Records:
    """The records of `part`, which are some of the `known` ones, with the same caches."""
    index = pd.Index(known.table.rows).get_indexer(part.table.rows)
    stores = {name: store.take(index) for name, store in known.stores.items()}
    return Records(part.table, known.processors, part.ids, stores, known.seed)


def evaluation_batches(records: Records, model: Model, rows: np.ndarray | None = None) -> Iterator[Batch]:
    """All of the records, or the `rows`, int64 [M] from 0, as batches on the model's device, to be scored."""
    rows = np.arange(len(records)) if rows is None else rows
    for start in range(0, len(rows), EVALUATION_BATCH):
        yield records.batch(rows[start : start + EVALUATION_BATCH]).to(model.device)
