"""The losses that compare rows, but for the contrastive ones, as one writes them down, in NumPy and float64."""

import numpy as np
import torch

from tests.objectives import plain
from tests.objectives.plain import Pairs


def arrays(pairs: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a, b [N, E] and who belongs together [N, N], of the rows that have both sides."""
    pairs = pairs.rows(plain.present(pairs))
    return pairs.a.detach().numpy(), pairs.b.detach().numpy(), plain.positives(pairs).numpy()


def triplet(pairs: Pairs, margin: float, mining: str) -> float:
    """One anchor and one candidate at a time."""
    a, b, together = arrays(pairs)
    return (_one_way(a, b, together, margin, mining) + _one_way(b, a, together, margin, mining)) / 2


def _one_way(anchors: np.ndarray, others: np.ndarray, together: np.ndarray, margin: float, mining: str) -> float:
    total = 0.0
    for i, anchor in enumerate(anchors):
        far = [np.sum((anchor - other) ** 2) for other in others]
        like = [far[j] for j in range(len(others)) if together[i, j]]
        strangers = [far[j] for j in range(len(others)) if not together[i, j]]
        if not strangers:
            continue
        if mining == "hardest":
            positive, negative = max(like), min(strangers)
        else:
            positive = far[i]
            negative = min([one for one in strangers if one > positive], default=max(strangers))
        total += max(0.0, positive - negative + margin)
    return total


def jensen_shannon(pairs: Pairs, log_factor: float, bias: float) -> float:
    """The mean loss."""
    a, b, together = arrays(pairs)
    score = np.exp(log_factor) * a @ b.T + bias
    return np.log1p(np.exp(-score[together])).mean() + np.log1p(np.exp(score[~together])).mean()


def canonical_correlation(pairs: Pairs, directions: int | None, ridge: float) -> float:
    """By square roots of the covariances from their eigenvectors."""
    a, b, _ = arrays(pairs)
    a, b = a - a.mean(0), b - b.mean(0)
    roots = []
    for side in (a, b):
        covariance = side.T @ side / (len(side) - 1)
        values, vectors = np.linalg.eigh(
            covariance + ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        )
        roots.append(vectors @ np.diag(values**-0.5) @ vectors.T)
    found = np.linalg.svd(roots[0] @ (a.T @ b / (len(a) - 1)) @ roots[1], compute_uv=False)
    return 1 - found[:directions].mean()


def losses(pairs: Pairs) -> dict[str, torch.Tensor]:
    """The mean loss of each, by the name that `coupled_worker.run` gives it."""
    return {
        "semihard": triplet(pairs, 0.3, "semihard") / len(plain.present(pairs)),
        "hardest": triplet(pairs, 0.3, "hardest") / len(plain.present(pairs)),
        "information": jensen_shannon(pairs, np.log(5.0), -0.5),
        "correlation": canonical_correlation(pairs, 3, 1e-2),
    }
