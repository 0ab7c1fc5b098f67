"""The records of a run: looked at once, then by split, with the features of frozen encoders from the cache."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sensorium.config.schema import InputSettings
from sensorium.data.near_copies import find_families, source_sentences
from sensorium.data.records import Records
from sensorium.data.scan import drop_bad_records, scan, write_bad_records
from sensorium.data.table import Table
from sensorium.errors import counted
from sensorium.evaluation.held_apart import held_apart_sentence
from sensorium.model import Model
from sensorium.tasks.base import Facts, RunContext
from sensorium.tasks.splits import Split
from sensorium.training.views import Views, ViewsJob


class ScannedRecords(NamedTuple):
    """The records that can be used, their content ids and facts by input, and which are near-copies: `families`, int64
    [N], equal for those that a split keeps together, or None.
    """

    table: Table
    ids: dict[str, np.ndarray]
    facts: Facts
    families: np.ndarray | None


def scan_records(table: Table, context: RunContext) -> ScannedRecords:
    """Looks at every file once, and says what was set aside and what is kept together."""
    workers, data = context.recipe.training.workers, context.recipe.data
    with context.console.spinner("Reading every record once"):
        scanned = scan(table, 2 if workers is None else workers, data.near_copies)
    usable, scanned = drop_bad_records(table, scanned, context.recipe.data.bad_records)
    for name, sounds in ((name, facts["cut_off"]) for name, facts in scanned.facts.items() if "cut_off" in facts):
        context.console.print(
            f"{counted(sounds, 'sound')} of '{name}' lie far beyond full scale and are cut off there; divide the"
            " samples by full scale (32,768 where they are in units of 16 bits)."
        )
    path = context.run_folder / "bad_records.csv"
    if context.accelerator.is_main_process:
        path.unlink(missing_ok=True)  # of an earlier try, which may have been of other records
    if scanned.bad and context.accelerator.is_main_process:
        write_bad_records(scanned.bad, path)
        context.console.print(f"{counted(len(table) - len(usable), 'record')} set aside; {path} says why.")
    families = None
    if data.near_copies:
        with context.console.spinner("Looking for near-copies"):
            families, sentences = find_families(usable, scanned.ids, scanned.fingerprints, data.split)
        for sentence in sentences:
            context.console.print(sentence)
    for name, sentence in source_sentences(usable).items():
        score = held_apart_sentence(usable, name, context.recipe.seed)
        context.console.print(f"! {sentence}{f' {score}' if score else ''}")
    return ScannedRecords(usable, scanned.ids, scanned.facts, families)


def load_splits(
    model: Model, splits: dict[str, Split], cached: list[str], context: RunContext, with_test: bool
) -> dict[str, Records]:
    """The records of every split; of the test only where it is scored. cached: the inputs of frozen encoders."""
    names = [name for name in ("train_val", "test") if name in splits and (with_test or name != "test")]
    records = {name: load_records(model, splits[name], cached, context) for name in names}
    return records | {name: select_records(records["train_val"], splits[name]) for name in ("train", "validation")}


def load_records(model: Model, split: Split, cached: list[str], context: RunContext) -> Records:
    """The records of one split; the `cached` inputs come as features from the cache, which is filled first."""
    stores: dict[str, Views] = {}
    for name in cached:
        job = _cache_job(model, split, name, context)
        size = job.bytes()
        if size > context.recipe.cache_gigabytes * 1e9:
            context.console.print(
                f"Features of '{name}' would take {size / 1e9:.1f} GB, more than the setting cache_gigabytes: "
                "they are computed anew each epoch."
            )
            continue
        records = "test" if split.name == "test" else "training and validation"
        context.console.print_detail(
            f"Features of '{name}', {records} records: {size / 1e6:.1f} MB in {context.features}."
        )
        # One process fills the cache while the others wait, then all read it.
        if context.accelerator.is_main_process:
            with context.console.progress(f"Features of '{name}'", job.rows) as advance:
                job.fill(context.recipe.training.workers or 0, advance)
        context.accelerator.wait_for_everyone()
        stores[name] = job.fill(0)
    return Records(split.table, model.processors, split.ids, stores, context.recipe.seed)


def select_records(records: Records, split: Split) -> Records:
    """The records of `split`, which are some of `records`, with the same caches."""
    index = pd.Index(records.table.rows).get_indexer(split.table.rows)
    stores = {name: store.take(index) for name, store in records.stores.items()}
    return Records(split.table, records.processors, split.ids, stores, records.seed)


def _cache_job(model: Model, split: Split, name: str, context: RunContext) -> ViewsJob:
    # Training alone draws of the views, and no record of the test is trained on.
    views = 1 if split.name == "test" else context.recipe.inputs.get(name, InputSettings()).views
    encoder, seed = model.encoders[name], context.recipe.seed
    records = Records(split.table, {name: encoder.processor}, split.ids, seed=seed)
    tokens = model.fusion is not None and model.fusion.reads == "tokens"
    return ViewsJob(context.features, name, encoder, records, tokens, context.precision, views)
