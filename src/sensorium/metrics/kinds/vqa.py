"""How good answers are, when several people gave theirs."""

import numpy as np

from sensorium.metrics.kinds.base import Columns

ENOUGH = 3  # annotators who say the same make an answer wholly right


def vqa_accuracy(truth: Columns, decision: np.ndarray) -> np.ndarray:
    """Each row's accuracy as VQA counts it (Antol et al. 2015, arXiv:1505.00468), float64 [N] in [0, 1].

    Each annotator is left out once; an answer that m of the others gave counts min(1, m / 3); the accuracy is the mean
    over who is left out. Of fewer than four annotators, all others make it wholly right; of one, that one does.
    truth: `answers` int [N, A], `weight` float [N, A], `annotators` int [N]. decision: int [N], a position
    among the labels.
    """
    count = truth["annotators"].astype(np.float64)
    votes = np.rint(_share(truth, decision) * count)  # [N], how many gave the answer
    enough = np.clip(count - 1, 1, ENOUGH)
    one_of_them_left_out = votes * np.minimum(1, np.maximum(votes - 1, 0) / enough)
    another_left_out = (count - votes) * np.minimum(1, votes / enough)
    accuracy = (one_of_them_left_out + another_left_out) / np.maximum(count, 1)
    return np.where(count == 1, votes, accuracy)


def exact_match(truth: Columns, decision: np.ndarray) -> np.ndarray:
    """float64 [N]: 1 where the decision is the answer that most annotators gave, or one of those, else 0."""
    return (_share(truth, decision) >= truth["weight"].max(axis=1) - 1e-6).astype(np.float64)


def _share(truth: Columns, decision: np.ndarray) -> np.ndarray:
    """float64 [N]: how large a share of a row's annotators gave the decision."""
    same = (truth["answers"] == decision[:, None]) & (truth["answers"] >= 0)
    return np.where(same, truth["weight"], 0.0).sum(axis=1, dtype=np.float64)
