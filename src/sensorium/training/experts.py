"""Experts that are not networks, chosen from what a model reads, learned from its records, and joined to its heads."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel
from scipy.sparse import csr_array, vstack
from sklearn.model_selection import GroupKFold

from sensorium.data.records import Processor, Records
from sensorium.data.table import Table
from sensorium.encoders.table_processor import TableProcessor, describe_columns
from sensorium.experts import EXPERTS
from sensorium.experts.base import Folds, Material, inputs_of
from sensorium.experts.kinds import EXPERT_KINDS, MANY_CLASSES
from sensorium.experts.together import Experts, Named
from sensorium.experts.views import (
    CELLS,
    FEATURES,
    NAMES,
    VIEW_PROCESSORS,
    WORDS,
    Columns,
    Source,
    WordsProcessor,
    with_views,
)  # fmt: skip
from sensorium.heads.ensemble import Ensemble, EnsembleConfig, ensemble_config
from sensorium.heads.late import Late
from sensorium.model import Model

FEWEST = 30  # training records, below which nothing is learned beside the network
FEWEST_PRESENT = 10  # of those, that have an input which an expert reads
FOLDS, MANY = 5, 20_000  # folds; three beyond so many records
MOST_RECORDS = 50_000  # that experts learn from; of more a sample
RECORDS_A_NAME = 3  # of a text on average, from which on it is a name
MOST_BOOSTERS = 30  # trees a round: classes or labels
MOST_WEIGHTS = 5_000_000  # words times outputs
MOST_RIDGE_WORDS = 4_000  # of MANY_CLASSES and more, whose ridge regression holds the square of the words in memory
USUAL = 0.95  # share of the records that have an input, from which on what reads several inputs needs it


class Learned(NamedTuple):
    """What was learned beside a network, None where no experts join, and the seconds that it took."""

    experts: Experts | None
    seconds: float

    def join(self, model: Model) -> None:
        """Makes each head of the model an ensemble of the experts and the network."""
        if self.experts is None:
            return
        model.experts = self.experts
        for name, head in list(model.heads.items()):
            _wrap(model, name, head, self.experts.experts)


def learn_experts(
    model: Model,
    records: Records,
    untrained: Collection[str],
    together: np.ndarray | None,
    seed: int,
    like: Model | None = None,
) -> Experts | None:
    """Experts learned from `records`, which read what `model` reads, but nothing that its training changes.

    untrained: the inputs whose encoder stays as it is; of others the features know the targets. together: int64 [N],
    equal for records that no fold parts. like: a model whose experts were learned from other records of the table; just
    these are learned, with their settings. None with too few records, or when no input is read by any expert.
    """
    if like is not None and like.experts is None:
        return None
    records, together = _sampled(records, together, seed)
    table = records.table
    folds = _folds(np.arange(len(table)) if together is None else together, seed)
    if like is None and (len(table) < FEWEST or not folds):
        return None
    kinds = {name: EXPERT_KINDS[head.kind] for name, head in model.heads.items()}
    outputs = {name: kinds[name].outputs(head.decision) for name, head in model.heads.items()}
    processors = _processors(table, max(outputs.values()), None if like is None else like.experts.processors)
    columns = _gather(model, with_views(records, processors), processors, untrained)
    experts: list[Named] = []
    for spec in table.schema.targets if columns else ():
        target = table.encode_target(spec)
        rows = np.flatnonzero(target["mask"].numpy())
        truth = kinds[spec.name].truth(
            model.heads[spec.name].decision, {key: value[rows] for key, value in target.items()}
        )
        known = {name: values.take(rows) for name, values in columns.items()}
        known_folds = [_among(rows, fold) for fold in folds]
        honest: list[np.ndarray] = [np.zeros((len(rows), 0))] * len(experts)  # those of other targets
        for name, config in (
            _plans(model.heads[spec.name], outputs[spec.name], known, processors, len(experts))
            if like is None
            else _same(like, spec.name, processors)
        ):
            expert, raw = EXPERTS[name].fit(config, Material(known, truth, honest, known_folds))
            honest.append(raw)
            experts.append(Named(name, spec.name, expert))
    return Experts(experts, processors) if experts else None


def _wrap(model: Model, name: str, head: Late, experts: list[Named]) -> None:
    """Replaces a head by the ensemble of it and the experts of its target."""
    read = [
        (position, inputs_of(expert.config.sources))
        for position, (_, target, expert) in enumerate(experts)
        if target == name
    ]
    kind = EXPERT_KINDS[head.kind]
    width = kind.scores(np.zeros((1, kind.outputs(head.decision))), 1.0).shape[1]
    config = EnsembleConfig(**ensemble_config(head, model.fusion.dim, width, model.encoders.names, read))
    ensemble = Ensemble(config, model.fusion.dim).to(model.device)
    ensemble.late.load_state_dict(head.state_dict())
    model.heads.replace(name, ensemble.eval())


def _same(like: Model, target: str, processors: dict[str, Processor]) -> list[tuple[str, BaseModel]]:
    """The experts of a model's target with their settings, for other records of the table."""
    return [
        (name, expert.config.model_copy(update={"categories": _categories(expert.config.sources, processors)}))
        for name, of_target, expert in like.experts.experts
        if of_target == target
    ]


def _processors(table: Table, outputs: int, known: Mapping[str, Processor] | None) -> dict[str, Processor]:
    """By view of the table's inputs, what makes tensors of their values for the experts; of the views that are
    `known`, if any are, and as these where the table has no value."""
    processors: dict[str, Processor] = {}
    most_words = MOST_RIDGE_WORDS if outputs > MANY_CLASSES else max(1_000, MOST_WEIGHTS // max(1, outputs))
    for spec in table.schema.inputs:
        values = [table.value(row, spec) for row in np.flatnonzero(table.present(spec))]
        words, names, cells = (Source(spec.name, view).name for view in (WORDS, NAMES, CELLS))
        if spec.modality == "text" and (known is None or words in known):
            processor = WordsProcessor.build(values, most_words)
            if processor.vocabulary or known is not None:
                processors[words] = processor if processor.vocabulary else known[words]
        if spec.modality == "text" and (_are_names(values) if known is None else names in known):
            processors[names] = _cells([{NAMES: value} for value in values]) if values else known[names]
        if spec.modality == "table" and (values if known is None else cells in known):
            processors[cells] = _cells(values) if values else known[cells]
    return processors


def _are_names(texts: list[str]) -> bool:
    """Whether the same texts come again and again."""
    return len(set(texts)) * RECORDS_A_NAME <= len(texts) > 0


def _cells(records: list[dict[str, float | str | None]]) -> TableProcessor:
    return TableProcessor(*describe_columns(records, bins=1), None)


@torch.no_grad()
def _gather(
    model: Model, records: Records, processors: dict[str, Processor], untrained: Collection[str]
) -> dict[str, Columns]:
    """By name of a source, what it says of all records: of each view, and the features of the `untrained` inputs."""
    frozen = [Source(name, FEATURES) for name in untrained]
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


def _plans(
    head: Late, outputs: int, columns: dict[str, Columns], processors: dict[str, Processor], first: int
) -> list[tuple[str, BaseModel]]:
    """The experts of a target, by name with their settings: a linear one for each text, picture and sound; a linear one
    for all columns of numbers, categories and dates, and trees for these and for texts that are names; and of several
    of these one that is linear in all, and trees that read the columns, names, the main directions of features, and
    what the others say.

    first: the position of the target's first expert among those of all targets.
    """
    sources = [_source(name) for name, values in columns.items() if values.present.sum() >= FEWEST_PRESENT]
    cells, names = ([source for source in sources if source.view == view] for view in (CELLS, NAMES))
    others = [source for source in sources if source.view not in (CELLS, NAMES)]
    boosts = outputs <= MOST_BOOSTERS
    plans: list[tuple[str, list[Source], dict[str, Any]]] = [("linear", [source], {}) for source in others]
    if cells:
        plans.append(("linear", cells, {}))
    if cells or names:
        plans += [("boosted_trees", [*cells, *names], {"extra": extra}) for extra in (False, True) if boosts]
    if len({source.input for source in others}) + bool(cells) > 1:
        dense = {source.input for source in others if source.view == FEATURES}
        spelled = [Source(name, WORDS) for name in dense]
        plans.append(("linear", [source for source in sources if source not in (*spelled, *names)], {}))
        if boosts:
            earlier = list(range(first, first + len(others)))
            plans.append(("boosted_trees", [*others, *cells, *names], {"earlier": earlier}))
    return [
        (
            name,
            EXPERTS[name].Config(
                kind=head.kind,
                outputs=outputs,
                sources=read,
                required=_required(name, read, columns),
                categories=_categories(read, processors),
                **settings,
            ),
        )
        for name, read, settings in plans
    ]


def _source(name: str) -> Source:
    """The source that columns of this name come from."""
    column, slash, view = name.rpartition("/")
    return Source(column, view) if slash and view in VIEW_PROCESSORS else Source(name, FEATURES)


def _required(name: str, read: list[Source], columns: dict[str, Columns]) -> list[str]:
    """Of what reads several inputs those that nearly all records have: without them it was never tried. What is linear
    in columns does without any of them."""
    inputs = inputs_of(read)
    if len(inputs) == 1 or (name == "linear" and all(source.view == CELLS for source in read)):
        return []
    usual = {source.input for source in read if columns[source.name].present.mean() >= USUAL}
    return [input_name for input_name in inputs if input_name in usual]


def _categories(read: list[Source], processors: dict[str, Processor]) -> dict[str, list[int]]:
    """By source of cells or names how many categories each column has, with the one of the unknown; 0: a number."""
    return {
        source.name: [0] * len(processors[source.name].numbers)
        + [len(column.values) + 1 for column in processors[source.name].categories]
        for source in read
        if source.view in (CELLS, NAMES)
    }


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


def _sampled(records: Records, together: np.ndarray | None, seed: int) -> tuple[Records, np.ndarray | None]:
    """At most MOST_RECORDS of the records, with the same caches, and which belong together."""
    if len(records) <= MOST_RECORDS:
        return records, together
    rows = np.sort(np.random.default_rng(seed).permutation(len(records))[:MOST_RECORDS])
    ids = {name: values.numpy()[rows] for name, values in records.ids.items()}
    stores = {name: store.take(rows) for name, store in records.stores.items()}
    sampled = Records(records.table.take(rows), records.processors, ids, stores, records.seed)
    return sampled, None if together is None else together[rows]
