"""Experts that are not networks, chosen from what a model reads, learned from its records, and joined to its heads."""

from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array, vstack
from sklearn.model_selection import GroupKFold

from sensorium.data.records import Processor, Records
from sensorium.data.table import Table
from sensorium.encoders.table_processor import TableProcessor, describe_columns
from sensorium.experts import EXPERTS
from sensorium.experts.base import Folds, Material, inputs_of
from sensorium.experts.kinds import EXPERT_KINDS
from sensorium.experts.together import Experts, Named
from sensorium.experts.views import CELLS, FEATURES, WORDS, Columns, Source, WordsProcessor
from sensorium.heads.ensemble import Ensemble, EnsembleConfig, ensemble_config
from sensorium.heads.late import Late
from sensorium.model import Model, is_frozen

FEWEST = 30  # training records, below which nothing is learned beside the network
FOLDS, MANY = 5, 20_000  # folds; three beyond so many records
MOST_RECORDS = 50_000  # that experts learn from; of more a sample
MOST_BOOSTERS = 30  # trees a round: classes or labels
MOST_WEIGHTS = 5_000_000  # words times outputs
USUAL = 0.95  # share of the records that have an input, from which on what reads several inputs needs it


class Plan(NamedTuple):
    """An expert to be learned: its name among EXPERTS, what it reads, its other settings, and the positions of the
    experts of the same target whose outputs it reads."""

    name: str
    sources: list[Source]
    settings: dict
    earlier: list[int]


def join_experts(
    model: Model, records: Records, together: np.ndarray | None, seed: int, like: Model | None = None
) -> None:
    """Learns experts from `records` and makes each head an ensemble of them and the network.

    together: int64 [N], equal for records that no fold parts. like: a model whose experts were learned from fewer
    records; their settings are taken, not chosen again. Does nothing with too few records, or when no input is read by
    any expert.
    """
    table = records.table
    if len(table) < FEWEST:
        return
    if len(table) > MOST_RECORDS:
        rows = np.sort(np.random.default_rng(seed).permutation(len(table))[:MOST_RECORDS])
        records, together = _sampled(records, rows), None if together is None else together[rows]
        table = records.table
    folds = _folds(np.arange(len(table)) if together is None else together, seed)
    outputs = max(EXPERT_KINDS[head.kind].outputs(head.decision) for _, head in model.heads.items())
    processors = _processors(table, outputs)
    columns = _gather(model, Experts([], processors).viewed(records), processors)
    if not folds or not columns:
        return
    experts: list[Named] = []
    positions: dict[str, list[int]] = {}
    learned = {} if like is None else _configs(like)
    for spec in table.schema.targets:
        head, first = model.heads[spec.name], len(experts)
        kind = EXPERT_KINDS[head.kind]
        target = {key: torch.as_tensor(value) for key, value in table.encode_target(spec).items()}
        rows = np.flatnonzero(target["mask"].numpy())
        truth = kind.truth(head.decision, {key: value[rows] for key, value in target.items()})
        known = {name: values.take(rows) for name, values in columns.items()}
        known_folds = [_among(rows, fold) for fold in folds]
        honest: list[np.ndarray] = [np.zeros((len(rows), 0))] * first
        for number, plan in enumerate(_plans(known, kind.outputs(head.decision), table)):
            expert_class = EXPERTS[plan.name]
            config = learned.get((spec.name, number)) or expert_class.Config(
                kind=head.kind,
                outputs=kind.outputs(head.decision),
                sources=plan.sources,
                earlier=[first + position for position in plan.earlier],
                required=_required(plan, known),
                categories={source.name: _categories(processors[source.name]) for source in plan.sources
                            if source.view == CELLS},
                **plan.settings,
            )  # fmt: skip
            expert, raw = expert_class.fit(config, Material(known, truth, honest, known_folds))
            honest.append(raw)
            experts.append(Named(plan.name, spec.name, expert))
        positions[spec.name] = list(range(first, len(experts)))
    model.experts = Experts(experts, processors)
    for name, head in list(model.heads.items()):
        _wrap(model, name, head, experts, positions[name])


def _wrap(model: Model, name: str, head: Late, experts: list[Named], positions: list[int]) -> None:
    """Replaces a head by the ensemble of it and the experts at `positions`."""
    read = [(position, inputs_of(experts[position].expert.config.sources)) for position in positions]
    kind = EXPERT_KINDS[head.kind]
    width = kind.scores(np.zeros((1, kind.outputs(head.decision))), 1.0).shape[1]
    config = EnsembleConfig(**ensemble_config(head, model.fusion.dim, width, model.encoders.names, read))
    ensemble = Ensemble(config, model.fusion.dim).to(model.device)
    ensemble.late.load_state_dict(head.state_dict())
    model.heads.replace(name, ensemble.eval())


def _processors(table: Table, outputs: int) -> dict[str, Processor]:
    """By view of the table's inputs, what makes tensors of their values for the experts."""
    processors: dict[str, Processor] = {}
    for spec in table.schema.inputs:
        values = (table.value(row, spec) for row in range(len(table)))
        present = (value for value in values if value is not None)
        if spec.modality == "text":
            most = max(1_000, MOST_WEIGHTS // max(1, outputs))
            words = WordsProcessor.build(present, most)
            if words.vocabulary:
                processors[Source(spec.name, WORDS).name] = words
        elif spec.modality == "table" and table.present(spec).any():
            processors[Source(spec.name, CELLS).name] = TableProcessor(*describe_columns(present, bins=1), None)
    return processors


@torch.no_grad()
def _gather(model: Model, records: Records, processors: dict[str, Processor]) -> dict[str, Columns]:
    """By name of a source, what it says of all records: of each view, and the features of frozen encoders."""
    frozen = [Source(name, FEATURES) for name, encoder in model.encoders.items() if is_frozen(encoder)]
    views = [Source(*name.rsplit("/", 1)) for name in processors]
    reader = Experts([], processors)
    model.experts, was_training = reader, model.training
    model.eval()
    pieces: dict[Source, list[Columns]] = {source: [] for source in (*frozen, *views)}
    try:
        for batch in records.batches(model.device):
            wanted = {source.name: batch.inputs[source.name] for source in pieces}
            for name, features in model.encode(wanted, batch.ids).items():
                source = next(source for source in pieces if source.name == name)
                pieces[source].append(reader.column(source, features, len(batch.keys)))
    finally:
        model.experts = None
        model.train(was_training)
    return {source.name: _joined(columns) for source, columns in pieces.items()}


def _joined(pieces: list[Columns]) -> Columns:
    values = [piece.values for piece in pieces]
    stacked = (
        csr_array(vstack(values, format="csr")) if not isinstance(values[0], np.ndarray) else np.concatenate(values)
    )
    return Columns(stacked, np.concatenate([piece.present for piece in pieces]))


def _plans(columns: dict[str, Columns], outputs: int, table: Table) -> list[Plan]:
    """The experts of a target: a linear one for each text, picture and sound; linear ones and trees for all columns of
    numbers, categories and dates; and of several of these one that is linear in all, and trees that read the columns
    and what the others say."""
    sources = [Source(*name.rsplit("/", 1)) if name.endswith((f"/{WORDS}", f"/{CELLS}")) else Source(name, FEATURES)
               for name in columns]  # fmt: skip
    cells = [source for source in sources if source.view == CELLS]
    plans = [Plan("linear", [source], {}, []) for source in sources if source.view != CELLS]
    single = list(range(len(plans)))
    boosts = outputs <= MOST_BOOSTERS
    if cells:
        plans.append(Plan("linear", cells, {}, []))
        if boosts:
            plans += [Plan("boosted_trees", cells, {"extra": extra}, []) for extra in (False, True)]
    if len({source.input for source in sources if source.view != CELLS}) + bool(cells) > 1:
        dense = {source.input for source in sources if source.view == FEATURES}
        plans.append(
            Plan("linear", [source for source in sources if source.view != WORDS or source.input not in dense], {}, [])
        )
        if boosts:
            read = [*[plans[number].sources[0] for number in single], *cells]
            plans.append(Plan("boosted_trees", read, {}, single))
    return plans


def _required(plan: Plan, columns: dict[str, Columns]) -> list[str]:
    """Of a plan that reads several inputs those that nearly all records have: without them it was never tried. What is
    linear in columns does without any of them."""
    inputs = inputs_of(plan.sources)
    if len(inputs) == 1 or (plan.name == "linear" and all(source.view == CELLS for source in plan.sources)):
        return []
    usual = {source.input for source in plan.sources if columns[source.name].present.mean() >= USUAL}
    return [name for name in inputs if name in usual]


def _categories(processor: TableProcessor) -> list[int]:
    """How many categories each column has, with the one of all that are unknown; 0: a number."""
    return [0] * len(processor.numbers) + [len(column.values) + 1 for column in processor.categories]


def _configs(model: Model) -> dict[tuple[str, int], object]:
    """By target and number the settings of a model's experts."""
    if model.experts is None:
        return {}
    configs: dict[tuple[str, int], object] = {}
    counts: dict[str, int] = {}
    for _, target, expert in model.experts.experts:
        configs[target, counts.setdefault(target, 0)] = expert.config
        counts[target] += 1
    return configs


def _folds(together: np.ndarray, seed: int) -> Folds:
    """Folds of records that no group is parted by; [] when there are too few groups."""
    _, groups = np.unique(together, return_inverse=True)
    count = min(FOLDS if len(together) <= MANY else 3, int(groups.max()) + 1)
    if count < 2:
        return []
    splitter = GroupKFold(count, shuffle=True, random_state=seed % 2**31)
    return [(learned, left_out) for learned, left_out in splitter.split(together, groups=groups)]


def _among(rows: np.ndarray, fold: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A fold's records as positions among `rows`."""
    learned, left_out = fold
    return np.flatnonzero(np.isin(rows, learned)), np.flatnonzero(np.isin(rows, left_out))


def _sampled(records: Records, rows: np.ndarray) -> Records:
    """The records `rows`, with the same caches."""
    ids = {name: values.numpy()[rows] for name, values in records.ids.items()}
    stores = {name: store.take(rows) for name, store in records.stores.items()}
    return Records(records.table.take(rows), records.processors, ids, stores, records.seed)
