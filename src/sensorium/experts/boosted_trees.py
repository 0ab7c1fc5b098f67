"""Gradient-boosted trees of the cells of columns, of what other experts say, and of the main directions of features
and words (LightGBM: Ke et al. 2017).
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import BaseModel
from safetensors.torch import load_file, save_file
from sklearn.utils.extmath import randomized_svd

from sensorium.errors import UserError
from sensorium.experts.base import Material, present_rows
from sensorium.experts.kinds import EXPERT_KINDS
from sensorium.experts.views import CELLS, FEATURES, NAMES, WORDS, Columns, Source, weigh_words, word_rarity

if TYPE_CHECKING:
    from lightgbm import Booster, Dataset

MOST_ROUNDS, PATIENCE = 1_000, 40
MOST_COMPARED = 2_000  # records by which principal directions are found
MANY_CATEGORIES = 100  # of a column: each has few records, which say something all the same


def _lightgbm() -> ModuleType:
    """The library, loaded when it is first used. Raises UserError where the system lacks what it is linked with."""
    try:
        import lightgbm
    except OSError as error:
        raise UserError(
            f"LightGBM cannot be loaded ({error}); install the library that it names, on Debian the package libgomp1."
        ) from error
    return lightgbm


class BoostedTreesConfig(BaseModel, frozen=True, extra="forbid"):
    """Boosted trees. rounds: of boosting; None: the best over the folds. categories: by source of cells, how many
    categories each of its columns has (0: a number). components: of each source of features, the directions in which
    training records differ most, along which trees read it; word_components: of the words of a text whose features are
    not read, those of its TF-IDF (Deerwester et al. 1990). extra: thresholds are drawn at random (Geurts et al. 2006).
    spread: as ExpertKind says."""

    kind: str
    outputs: int
    sources: list[Source]
    required: list[str] = []
    earlier: list[int] = []
    categories: dict[str, list[int]] = {}
    components: int = 4
    word_components: int = 16
    extra: bool = False
    seed: int = 0
    rounds: list[int] | None = None
    digests: list[str] = []
    spread: float = 0.0


class BoostedTrees:
    """A booster, or of several labels one each."""

    Config = BoostedTreesConfig

    def __init__(self, config: BoostedTreesConfig, texts: list[str], tensors: dict[str, torch.Tensor]):
        self.config, self.texts, self.tensors = config, texts, tensors
        self.boosters: list[Booster] = [_lightgbm().Booster(model_str=text) for text in texts]
        self._arrays = {name: tensor.numpy().astype(np.float64) for name, tensor in tensors.items()}

    @classmethod
    def fit(cls, config: BoostedTreesConfig, material: Material) -> tuple["BoostedTrees", np.ndarray]:
        """As Expert says."""
        kind, rows = EXPERT_KINDS[config.kind], np.flatnonzero(present_rows(config, material.columns))
        tensors = _components(config, material.columns, rows)
        table = cls(config, [], tensors).table(material.columns, material.earlier)[rows]
        truth, texts, rounds = material.truth[rows], [], []
        folds = [np.isin(rows, left_out) for _, left_out in material.folds]
        folds = [left_out for left_out in folds if left_out.any() and not left_out.all()]
        honest = []
        for number, (target, objective) in enumerate(kind.tree_targets(truth, config.outputs)):
            parameters = _parameters(config, len(rows)) | objective
            stated = config.rounds[number] if config.rounds else None
            by_fold = [_fold_booster(parameters, table, target, left_out, stated, config) for left_out in folds]
            count = stated or max(1, round(float(np.mean([booster.best_iteration for booster in by_fold]))))
            outputs = np.zeros((len(rows), *((config.outputs,) if "num_class" in objective else ())))
            for booster, left_out in zip(by_fold, folds, strict=True):
                outputs[left_out] = _predict(booster, table[left_out], count)
            honest.append(outputs)
            texts.append(_lightgbm().train(parameters, _dataset(table, target, config), count).model_to_string())
            rounds.append(count)
        raw = np.full((len(material.truth), config.outputs), np.nan)
        raw[rows] = kind.tree_outputs(honest)
        update = {"rounds": rounds, "digests": _digests(texts), "spread": kind.spread(raw[rows], truth)}
        return cls(config.model_copy(update=update), texts, tensors), raw

    def raw(self, columns: Mapping[str, Columns], earlier: Sequence[np.ndarray]) -> np.ndarray:
        """As Expert says."""
        table = self.table(columns, earlier)
        return EXPERT_KINDS[self.config.kind].tree_outputs([_predict(booster, table) for booster in self.boosters])

    def table(self, columns: Mapping[str, Columns], earlier: Sequence[np.ndarray]) -> np.ndarray:
        """The columns of B records side by side, float64 [B, F], NaN where absent: cells and names, main directions of
        features and words, outputs of earlier experts."""
        cells, directions = [], []
        for source in self.config.sources:
            values, present = columns[source.name]
            if source.view in (CELLS, NAMES):
                cells.append(np.where(present[:, None], values, np.nan))
            elif f"{source.name}.directions" in self._arrays:
                mean_or_rarity = self._arrays[f"{source.name}.mean"]
                scaled = weigh_words(values, mean_or_rarity) if source.view == WORDS else values - mean_or_rarity
                along = scaled @ self._arrays[f"{source.name}.directions"]
                directions.append(np.where(present[:, None], along, np.nan))
        outputs = [earlier[number] for number in self.config.earlier]
        return np.concatenate([*cells, *directions, *outputs], axis=1, dtype=np.float64)

    def save(self, folder: Path) -> None:
        """As Expert says; each booster in LightGBM's text format."""
        for number, text in enumerate(self.texts):
            (folder / f"trees-{number}.txt").write_text(text, "utf-8")
        save_file(self.tensors, folder / "components.safetensors")

    @classmethod
    def load(cls, config: BoostedTreesConfig, folder: Path) -> "BoostedTrees":
        """As Expert says. Raises ValueError for a damaged file."""
        texts = [(folder / f"trees-{number}.txt").read_text("utf-8") for number in range(len(config.rounds or []))]
        if _digests(texts) != config.digests:
            raise ValueError("the text of the trees is not the one that was saved")
        return cls(config, texts, load_file(folder / "components.safetensors"))


def _digests(texts: list[str]) -> list[str]:
    return [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in texts]


def _components(
    config: BoostedTreesConfig, columns: Mapping[str, Columns], rows: np.ndarray
) -> dict[str, torch.Tensor]:
    """By source of features their mean [D], and the principal directions [D, P] of at most MOST_COMPARED records; of
    words that are read alone how rare each is [V], and their main directions [V, P]."""
    tensors = {}
    dense = {source.input for source in config.sources if source.view == FEATURES}
    for source in config.sources:
        if source.view in (CELLS, NAMES) or (source.view == WORDS and source.input in dense):
            continue
        learned = columns[source.name].take(rows)
        compared = np.flatnonzero(learned.present)[:: max(1, int(learned.present.sum()) // MOST_COMPARED)]
        if source.view == WORDS:
            mean = word_rarity(learned)
            weighted = weigh_words(learned.values[compared], mean)
            count = min(config.word_components, *weighted.shape)
            axes = (
                randomized_svd(weighted, count, random_state=config.seed % 2**31)[2]
                if count
                else weighted[:0].toarray()
            )
            directions = axes.T
        else:
            values = learned.values[compared].astype(np.float64)
            mean = values.mean(axis=0)
            directions = np.linalg.svd(values - mean, full_matrices=False)[2][: config.components].T
        tensors[f"{source.name}.mean"] = torch.from_numpy(mean).float()
        tensors[f"{source.name}.directions"] = torch.from_numpy(directions).float().contiguous()
    return tensors


def _parameters(config: BoostedTreesConfig, rows: int) -> dict[str, Any]:
    few = rows < 2_000
    most = max((count for counts in config.categories.values() for count in counts), default=0)
    fine = {"min_data_per_group": 5, "cat_smooth": 2.0, "cat_l2": 3.0, "max_cat_threshold": 64}
    return {
        "learning_rate": 0.05 if rows < 20_000 else 0.1,
        "num_leaves": 15 if few else 31,
        "min_data_in_leaf": int(np.clip(rows // 100, 3, 20)),
        "feature_fraction": 0.8,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 1.0,
        "min_data_per_group": 20,
        "extra_trees": config.extra,
        "seed": config.seed % 2**31,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": torch.get_num_threads(),
        "verbose": -1,
    } | (fine if most > MANY_CATEGORIES else {})


def _dataset(table: np.ndarray, target: np.ndarray, config: BoostedTreesConfig) -> "Dataset":
    counts = [count for source in config.sources for count in config.categories.get(source.name, [])]
    categorical = [position for position, count in enumerate(counts) if count]
    return _lightgbm().Dataset(table, target, categorical_feature=categorical, free_raw_data=False)


def _fold_booster(
    parameters: dict[str, Any],
    table: np.ndarray,
    target: np.ndarray,
    left_out: np.ndarray,
    rounds: int | None,
    config: BoostedTreesConfig,
) -> "Booster":
    """What is learned without the rows `left_out`, bool [N]: `rounds` rounds, or till the loss of those rows rises."""
    learned = _dataset(table[~left_out], target[~left_out], config)
    if rounds is not None:
        return _lightgbm().train(parameters, learned, rounds)
    watched = [learned.create_valid(table[left_out], target[left_out])]
    stop = _lightgbm().early_stopping(PATIENCE, verbose=False)
    return _lightgbm().train(parameters, learned, MOST_ROUNDS, valid_sets=watched, callbacks=[stop])


def _predict(booster: "Booster", table: np.ndarray, rounds: int | None = None) -> np.ndarray:
    """Raw outputs of the first `rounds` rounds, of all without, [B] or [B, K]."""
    count = -1 if rounds is None else rounds
    return booster.predict(table, raw_score=True, num_iteration=count, num_threads=torch.get_num_threads())
