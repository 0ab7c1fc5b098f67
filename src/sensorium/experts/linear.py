"""A linear model of frozen features, the words of texts and the cells of columns: logistic or ridge regression."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import BaseModel
from safetensors.torch import load_file, save_file
from scipy.sparse import csr_array, diags_array, hstack

from sensorium.experts.base import Material, present_rows
from sensorium.experts.kinds import EXPERT_KINDS, Matrix
from sensorium.experts.views import CELLS, WORDS, Columns, Source

STRENGTHS = tuple(10 ** (exponent / 2) for exponent in range(-7, 8))  # the larger, the freer the weights
SEARCHED = 500  # records left out, by which the strength is chosen: of as many folds as have them
FARTHEST = 8.0  # spreads from the mean
FACTORS = (10**-0.5, 10**0.5)  # of a source that counts less, or more, than the others
MOST_WEIGHED = 5_000  # records, beyond which sources count alike: much is learned of each anyway


class LinearConfig(BaseModel, frozen=True, extra="forbid"):
    """A linear expert. strength: inverse of the penalty on the weights, one of STRENGTHS; None: the best over the
    folds. factors: of each source what its columns are multiplied by, so how free its weights are beside the others';
    [] stands for 1. categories: by source of cells, how many categories each of its columns has (0: a number). spread:
    as ExpertKind says."""

    kind: str
    outputs: int
    sources: list[Source]
    required: list[str] = []
    earlier: list[int] = []
    categories: dict[str, list[int]] = {}
    strength: float | None = None
    factors: list[float] = []
    spread: float = 0.0


class Linear:
    """Rows of each source have about unit length before the weights: features of equal spread, words by TF-IDF.

    What a record lacks counts as the mean, so that it pulls nowhere; of a column it is told by an indicator.
    """

    Config = LinearConfig

    def __init__(self, config: LinearConfig, tensors: dict[str, torch.Tensor]):
        self.config = config
        self.tensors = tensors
        self._arrays = {name: tensor.numpy().astype(np.float64) for name, tensor in tensors.items()}

    @classmethod
    def fit(cls, config: LinearConfig, material: Material) -> tuple["Linear", np.ndarray]:
        """As Expert says."""
        kind, rows = EXPERT_KINDS[config.kind], np.flatnonzero(present_rows(config, material.columns))
        columns = {source.name: material.columns[source.name].take(rows) for source in config.sources}
        truth, honest = material.truth[rows], np.full((len(material.truth), config.outputs), np.nan)
        folds = [_Fold.of(config, columns, truth, np.isin(rows, left_out)) for _, left_out in material.folds]
        folds = [fold for fold in folds if fold.left_out.any() and not fold.left_out.all()]
        expert = cls(config, _statistics_of(config, columns))
        if config.strength is None:
            config = _chosen(config, folds, expert.widths)
            expert = cls(config, expert.tensors)
            if config.factors:
                folds = [fold.weighed(np.repeat(config.factors, expert.widths)) for fold in folds]
        for fold in folds:
            honest[rows[fold.left_out]] = fold.raw(config, config.strength)
        weight, bias = kind.fit_linear(expert.matrix(columns), truth, config.outputs, config.strength)
        tensors = expert.tensors | {"weight": torch.from_numpy(weight).float(), "bias": torch.from_numpy(bias).float()}
        spread = kind.spread(honest[rows], truth)
        return cls(config.model_copy(update={"spread": spread}), tensors), honest

    def raw(self, columns: Mapping[str, Columns], earlier: Sequence[np.ndarray]) -> np.ndarray:
        """As Expert says."""
        return np.asarray(self.matrix(columns) @ self._arrays["weight"] + self._arrays["bias"])

    def matrix(self, columns: Mapping[str, Columns]) -> Matrix:
        """The sources of B records side by side, float64 [B, F]."""
        blocks = []
        for number, source in enumerate(self.config.sources):
            values, present = columns[source.name]
            mean_or_rarity = self._arrays[f"{number}.centre"]
            if source.view == WORDS:
                blocks.append(_weigh_words(values, mean_or_rarity))
                continue
            scale = self._arrays[f"{number}.scale"]
            if source.view == CELLS:
                values = _indicators(values, self.config.categories[source.name])
            block = ((values - mean_or_rarity) / scale).clip(-FARTHEST, FARTHEST)
            if source.view != CELLS:
                block /= np.sqrt(block.shape[1])
            blocks.append(np.where(present[:, None], block, 0.0))
        if self.config.factors:
            blocks = [block * factor for block, factor in zip(blocks, self.config.factors, strict=True)]
        if any(not isinstance(block, np.ndarray) for block in blocks):
            return csr_array(hstack([csr_array(block) for block in blocks], format="csr"))
        return np.concatenate(blocks, axis=1)

    @property
    def widths(self) -> list[int]:
        """How many columns of the matrix each source has."""
        return [len(self.tensors[f"{number}.centre"]) for number in range(len(self.config.sources))]

    def save(self, folder: Path) -> None:
        """As Expert says."""
        save_file(self.tensors, folder / "linear.safetensors")

    @classmethod
    def load(cls, config: LinearConfig, folder: Path) -> "Linear":
        """As Expert says."""
        return cls(config, load_file(folder / "linear.safetensors"))


class _Fold(NamedTuple):
    """Which records a fold leaves out, bool [N], and the matrices and the truth of both sides; what brings the columns
    to one scale is learned from the records that it has."""

    left_out: np.ndarray
    learned: Matrix
    learned_truth: np.ndarray
    scored: Matrix
    scored_truth: np.ndarray

    @classmethod
    def of(
        cls, config: LinearConfig, columns: Mapping[str, Columns], truth: np.ndarray, left_out: np.ndarray
    ) -> "_Fold":
        """The fold of `truth` and `columns`."""
        sides = [{name: values.take(np.flatnonzero(side)) for name, values in columns.items()}
                 for side in (~left_out, left_out)]  # fmt: skip
        expert = Linear(config, _statistics_of(config, sides[0]))
        learned, scored = (expert.matrix(side) for side in sides)
        return cls(left_out, learned, truth[~left_out], scored, truth[left_out])

    def weighed(self, factors: np.ndarray) -> "_Fold":
        """This fold with the columns of its matrices multiplied by `factors`, [F]."""
        by_column = diags_array(factors)
        return self._replace(learned=self.learned @ by_column, scored=self.scored @ by_column)

    def raw(self, config: LinearConfig, strength: float) -> np.ndarray:
        """Raw outputs for the records left out."""
        weight, bias = EXPERT_KINDS[config.kind].fit_linear(self.learned, self.learned_truth, config.outputs, strength)
        return self.scored @ weight + bias


def _statistics_of(config: LinearConfig, columns: Mapping[str, Columns]) -> dict[str, torch.Tensor]:
    """What the columns of each source are brought to one scale by."""
    return {
        f"{number}.{name}": torch.from_numpy(values.astype(np.float32))
        for number, source in enumerate(config.sources)
        for name, values in _statistics(source, columns[source.name], config.categories.get(source.name)).items()
    }


def _statistics(source: Source, columns: Columns, categories: list[int] | None) -> dict[str, np.ndarray]:
    """What the columns of a source are brought to one scale by: of words how rare each is, of all else mean and
    spread."""
    values, present = columns
    if source.view == WORDS:
        records = np.bincount(values.indices, minlength=values.shape[1])
        rarity = np.log((1 + present.sum()) / (1 + records)) + 1
        return {"centre": np.where(records > 0, rarity, 0.0)}  # a word of no record must not change a row's length
    values = (values if categories is None else _indicators(values, categories))[present].astype(np.float64)
    spread = values.std(axis=0)
    if categories is not None:  # 0 or 1 is a scale of its own, on which a rare category does not grow
        is_number = [flag for count in categories for flag in ([False] * count or [True, False])]
        spread = np.where(is_number, spread, 1.0)
    return {"centre": values.mean(axis=0), "scale": np.where(spread > 0, spread, 1.0)}


def _weigh_words(counts: csr_array, rarity: np.ndarray) -> csr_array:
    """TF-IDF: 1 + log of how often a word stands in a text, times its rarity, rows of length one."""
    weighted = csr_array((counts.data, counts.indices, counts.indptr), shape=counts.shape, dtype=np.float64)
    weighted.data = (1 + np.log(weighted.data)) * rarity[weighted.indices]
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)))
    weighted.data /= np.repeat(np.where(length > 0, length, 1.0), np.diff(weighted.indptr))
    return weighted


def _indicators(cells: np.ndarray, categories: list[int]) -> np.ndarray:
    """Cells [B, C], NaN where absent: numbers beside whether they are absent, categories as 0 and 1: float64 [B, F]."""
    blocks = []
    for column, count in enumerate(categories):
        values = cells[:, column].astype(np.float64)
        absent = np.isnan(values)
        if count:
            blocks.append((values[:, None] == np.arange(count)).astype(np.float64))
        else:
            blocks.append(np.stack([np.where(absent, 0.0, values), absent], axis=1))
    return np.concatenate(blocks, axis=1)


def _searched(folds: list[_Fold]) -> list[_Fold]:
    """As many folds as leave out SEARCHED records."""
    scored = np.cumsum([len(fold.scored_truth) for fold in folds])
    return folds[: 1 + int(np.searchsorted(scored, SEARCHED))]


def _loss(config: LinearConfig, folds: list[_Fold], strength: float) -> float:
    kind = EXPERT_KINDS[config.kind]
    return float(np.mean([kind.loss(fold.raw(config, strength), fold.scored_truth) for fold in folds]))


def _chosen(config: LinearConfig, folds: list[_Fold], widths: list[int]) -> LinearConfig:
    """The config with its strength, and of several sources and not too many records their factors."""
    config = config.model_copy(update={"strength": _best_strength(config, folds)})
    if len(widths) == 1 or not folds or len(folds[0].left_out) > MOST_WEIGHED:
        return config
    return config.model_copy(update={"factors": _best_factors(config, folds, widths)})


def _best_strength(config: LinearConfig, folds: list[_Fold]) -> float:
    """Of STRENGTHS the best over the folds, sought from the middle to where it gets worse."""
    searched, best = _searched(folds), len(STRENGTHS) // 2
    losses = {best: _loss(config, searched, STRENGTHS[best])}
    for step in (-1, 1):
        position = best + step
        while 0 <= position < len(STRENGTHS):
            losses[position] = _loss(config, searched, STRENGTHS[position])
            if losses[position] > losses[position - step]:
                break
            position += step
    return STRENGTHS[min(losses, key=losses.get)]


def _best_factors(config: LinearConfig, folds: list[_Fold], widths: list[int]) -> list[float]:
    """Of each source in turn whether it had better count less or more, one of FACTORS, than 1: where one source says
    much and another nothing, one penalty for both hides the first or lets the noise of the second in."""
    searched = _searched(folds)
    best, least = [1.0] * len(widths), _loss(config, searched, config.strength)
    for source in range(len(widths)):
        for factor in FACTORS:
            factors = [*best[:source], factor, *best[source + 1 :]]
            weighed = [fold.weighed(np.repeat(factors, widths)) for fold in searched]
            loss = _loss(config, weighed, config.strength)
            if loss < least:
                best, least = factors, loss
    return best
