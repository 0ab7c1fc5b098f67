"""How experts learn each kind of target: what a linear model and boosted trees fit, and scores as its head has them.

Raw outputs, float64 [N, K], are what the models add up: of a class a score for each label (softmax gives the
probabilities), of labels the log-odds of each, of a number its standardised value (K = 1).
"""

import warnings
from typing import Any, ClassVar, Protocol

import numpy as np
from scipy.linalg import solve
from scipy.sparse import csr_array
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor, nn

Matrix = np.ndarray | csr_array  # float [N, F]
STEPS = 100  # of the optimiser
NEVER = -20.0  # raw output of a class that a fold has no record of
MANY_CLASSES = 100
SCALES = (1.0, 3.0, 10.0, 30.0, 100.0)  # of the outputs of ridge regressions of indicators
LEAST_VARIANCE, MOST_VARIANCE = 1e-4, 1.0


class ExpertKind(Protocol):
    """A kind of target, `kind`, as experts learn it."""

    kind: ClassVar[str]

    @staticmethod
    def truth(decision: nn.Module, target: dict[str, Tensor]) -> np.ndarray:
        """What is learned, of the head's Decision and a target's tensors: [N] or [N, K]."""

    @staticmethod
    def outputs(decision: nn.Module) -> int:
        """K, the number of raw outputs."""

    @staticmethod
    def fit_linear(features: Matrix, truth: np.ndarray, outputs: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """The weights [F, K] and biases [K] of a linear model; the larger the `strength`, the freer its weights."""

    @staticmethod
    def tree_targets(truth: np.ndarray, outputs: int) -> list[tuple[np.ndarray, dict[str, Any]]]:
        """What each of the boosters learns, [N], with its LightGBM parameters; their raw outputs together are the K."""

    @staticmethod
    def tree_outputs(raw: list[np.ndarray]) -> np.ndarray:
        """The raw outputs, [N, K], of what the boosters add up, [N] or [N, K] each."""

    @staticmethod
    def loss(raw: np.ndarray, truth: np.ndarray) -> float:
        """The mean loss, by which settings are chosen."""

    @staticmethod
    def spread(raw: np.ndarray, truth: np.ndarray) -> float:
        """How far honest outputs are from the truth, as the head's scores have it: a number's variance."""

    @staticmethod
    def scores(raw: np.ndarray, spread: float) -> np.ndarray:
        """The head's scores [N, S] of raw outputs."""


class ClassExperts:
    """One class of several."""

    kind = "class"

    @staticmethod
    def truth(decision: nn.Module, target: dict[str, Tensor]) -> np.ndarray:
        """int64 [N]."""
        return target["label"].numpy()

    @staticmethod
    def outputs(decision: nn.Module) -> int:
        """One a class."""
        return decision.config.classes

    @staticmethod
    def fit_linear(features: Matrix, truth: np.ndarray, outputs: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """Multinomial logistic regression; a class without a record is never decided. Of many classes ridge regression
        of each, which costs little more than of one, scaled for the least log loss."""
        if outputs > MANY_CLASSES:
            return _ridge_classes(features, truth, outputs, strength)
        weight, bias = np.zeros((features.shape[1], outputs)), np.full(outputs, NEVER)
        classes = np.unique(truth)
        if len(classes) == 1:
            bias[classes] = 0.0
            return weight, bias
        model = LogisticRegression(C=strength, max_iter=STEPS)
        with warnings.catch_warnings(category=ConvergenceWarning, action="ignore"):
            model.fit(features, truth)
        if len(classes) == 2:
            weight[:, classes[1]], bias[classes] = model.coef_[0], [0.0, model.intercept_[0]]
        else:
            weight[:, classes], bias[classes] = model.coef_.T, model.intercept_
        return weight, bias

    @staticmethod
    def tree_targets(truth: np.ndarray, outputs: int) -> list[tuple[np.ndarray, dict[str, Any]]]:
        """One booster for all classes."""
        if outputs == 2:
            return [(truth, {"objective": "binary"})]
        return [(truth, {"objective": "multiclass", "num_class": outputs})]

    @staticmethod
    def tree_outputs(raw: list[np.ndarray]) -> np.ndarray:
        """Of two classes the log-odds of the second beside zero."""
        return raw[0] if raw[0].ndim == 2 else np.stack([np.zeros_like(raw[0]), raw[0]], axis=1)

    @staticmethod
    def loss(raw: np.ndarray, truth: np.ndarray) -> float:
        """Cross-entropy."""
        return float(-log_softmax(raw, axis=1)[np.arange(len(truth)), truth].mean())

    @staticmethod
    def spread(raw: np.ndarray, truth: np.ndarray) -> float:
        """None beside the probabilities."""
        return 0.0

    @staticmethod
    def scores(raw: np.ndarray, spread: float) -> np.ndarray:
        """Log-probabilities."""
        return log_softmax(raw, axis=1)


class LabelsExperts:
    """Several labels, each there or not."""

    kind = "labels"

    @staticmethod
    def truth(decision: nn.Module, target: dict[str, Tensor]) -> np.ndarray:
        """int64 [N, K]."""
        return (target["labels"].numpy() > 0.5).astype(np.int64)

    outputs = ClassExperts.outputs

    @staticmethod
    def fit_linear(features: Matrix, truth: np.ndarray, outputs: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """A logistic regression each."""
        fitted = [ClassExperts.fit_linear(features, truth[:, label], 2, strength) for label in range(outputs)]
        return (
            np.stack([weight[:, 1] - weight[:, 0] for weight, _ in fitted], axis=1),
            np.array([bias[1] - bias[0] for _, bias in fitted]),
        )

    @staticmethod
    def tree_targets(truth: np.ndarray, outputs: int) -> list[tuple[np.ndarray, dict[str, Any]]]:
        """A booster for each label."""
        return [(truth[:, label], {"objective": "binary"}) for label in range(outputs)]

    @staticmethod
    def tree_outputs(raw: list[np.ndarray]) -> np.ndarray:
        """The log-odds."""
        return np.stack(raw, axis=1)

    @staticmethod
    def loss(raw: np.ndarray, truth: np.ndarray) -> float:
        """Binary cross-entropy."""
        return float(np.logaddexp(0.0, np.where(truth > 0, -raw, raw)).mean())

    @staticmethod
    def spread(raw: np.ndarray, truth: np.ndarray) -> float:
        """None beside the probabilities."""
        return 0.0

    @staticmethod
    def scores(raw: np.ndarray, spread: float) -> np.ndarray:
        """The log-odds."""
        return raw.clip(NEVER, -NEVER)


class NumberExperts:
    """A number, standardised as its head has it."""

    kind = "number"

    @staticmethod
    def truth(decision: nn.Module, target: dict[str, Tensor]) -> np.ndarray:
        """float64 [N]."""
        return ((target["value"] - decision.config.mean) / decision.config.scale).double().numpy()

    @staticmethod
    def outputs(decision: nn.Module) -> int:
        """The value."""
        return 1

    @staticmethod
    def fit_linear(features: Matrix, truth: np.ndarray, outputs: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """Ridge regression."""
        model = Ridge(alpha=1 / strength).fit(features, truth)
        return model.coef_[:, None], np.array([model.intercept_])

    @staticmethod
    def tree_targets(truth: np.ndarray, outputs: int) -> list[tuple[np.ndarray, dict[str, Any]]]:
        """One booster of the squared error."""
        return [(truth, {"objective": "regression"})]

    @staticmethod
    def tree_outputs(raw: list[np.ndarray]) -> np.ndarray:
        """The value."""
        return raw[0][:, None]

    @staticmethod
    def loss(raw: np.ndarray, truth: np.ndarray) -> float:
        """Squared error."""
        return float(np.square(raw[:, 0] - truth).mean())

    @staticmethod
    def spread(raw: np.ndarray, truth: np.ndarray) -> float:
        """The mean squared error, within the bounds of a head's variance."""
        return float(np.clip(NumberExperts.loss(raw, truth), LEAST_VARIANCE, MOST_VARIANCE))

    @staticmethod
    def scores(raw: np.ndarray, spread: float) -> np.ndarray:
        """Mean and variance."""
        return np.stack([raw[:, 0], np.full(len(raw), spread)], axis=1)


def _ridge_classes(features: Matrix, truth: np.ndarray, outputs: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights [F, K] and biases [K] of ridge regressions of the K indicators."""
    indicators = csr_array((np.ones(len(truth)), (np.arange(len(truth)), truth)), shape=(len(truth), outputs))
    mean, share = np.asarray(features.mean(axis=0)).ravel(), np.bincount(truth, minlength=outputs) / len(truth)
    gram = features.T @ features
    gram = (gram if isinstance(gram, np.ndarray) else gram.toarray()) - len(truth) * np.outer(mean, mean)
    products = np.asarray((indicators.T @ features).T if isinstance(features, np.ndarray)
                          else (features.T @ indicators).toarray())  # fmt: skip
    products = products - len(truth) * np.outer(mean, share)
    weight = solve(gram + np.eye(len(mean)) / strength, products, assume_a="pos")
    raw = features @ weight - mean @ weight + share
    losses = {scale: ClassExperts.loss(scale * raw, truth) for scale in SCALES}
    scale = min(losses, key=losses.get)
    return scale * weight, scale * (share - mean @ weight)


EXPERT_KINDS: dict[str, type[ExpertKind]] = {
    learned.kind: learned for learned in (ClassExperts, LabelsExperts, NumberExperts)
}
