"""The items that embeddings rank first, ranked again by the head that says whether two inputs belong together."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from sensorium.data.table import Table
from sensorium.errors import UserError
from sensorium.evaluation.embedding import Checked, narrowed, workers_for
from sensorium.features import Features
from sensorium.heads.match import Match
from sensorium.metrics.reranking import nearest_items, rerank_items
from sensorium.metrics.retrieval import Directions, unique_items
from sensorium.model import Model

BEST = 16  # of a query's items that are ranked again, by default
ENCODED, FUSED = 64, 256  # contents encoded at a time, pairs fused at a time


def matcher(model: Model) -> nn.Module | None:
    """The head of `model` that says whether its two inputs belong together; None when it has none."""
    heads = [head for _, head in model.heads.items() if isinstance(head, Match)]
    return heads[0] if heads and len(model.encoders) == 2 and hasattr(model.fusion, "asked") else None


def check_rerank(model: Model, count: int) -> None:
    """Checks that `model` can rank `count` items again. Raises UserError."""
    if matcher(model) is None:
        raise UserError(
            "This model has no head that says whether two inputs belong together, so nothing can be ranked anew; leave"
            " --rerank out, or take a model of sensorium pretrain albef."
        )
    if count < 2:
        raise UserError(f"--rerank is {count}, and of fewer than 2 items there is no other order; give 2 or more.")


def rerank_pair(
    model: Model,
    readable: Checked,
    vectors: dict[str, np.ndarray],
    pair: tuple[str, str],
    rows: np.ndarray,
    count: int,
    precision: str = "fp32",
) -> Directions:
    """Retrieval in both directions of `pair`, in which each query's `count` best items by embedding come in the order
    of how likely they are by embedding and matching head together.

    The head has learned to tell true pairs from others that were drawn by the softmax of their similarities, so its
    odds are those of the truth against that softmax (noise-contrastive estimation, Gutmann & Hyvärinen 2010): what is
    likeliest by both has the largest sum of log-odds and similarity, scaled as in training. ALBEF ranks by the head
    alone, BLIP (Li et al. 2022, arXiv:2201.12086) by the sum without the scale.
    vectors: by input float32 [N, E], of the N `readable` records; rows: int64 [R], those that have both inputs.
    Each content is encoded once more, and what the text asks of a picture is computed once for all of its texts.
    """
    a, b = pair
    unique = unique_items(readable.ids[a][rows], readable.ids[b][rows])
    records_of = {a: rows[unique.first_a], b: rows[unique.first_b]}
    a_vectors, b_vectors = vectors[a][records_of[a]], vectors[b][records_of[b]]
    best_of_a, best_of_b = (
        nearest_items(a_vectors, b_vectors, count),
        nearest_items(b_vectors, a_vectors, count),
    )  # [A, K], [B, K]
    size, first, second = len(b_vectors), np.arange(len(a_vectors))[:, None], np.arange(len(b_vectors))[:, None]
    pair_numbers = [
        first * size + best_of_a.items,
        best_of_b.items * size + second,
    ]  # a pair's place in a times B plus that in b
    pairs = np.unique(np.concatenate([numbers.ravel() for numbers in pair_numbers]))  # [P]
    index = dict(zip(pair, np.divmod(pairs, size), strict=True))
    odds, scale = (
        _match_log_odds(model, readable.table, records_of, index, precision),
        model.logit_scale.double().exp().item(),
    )
    forward, backward = (
        odds[np.searchsorted(pairs, numbers)] + scale * nearest.similarities
        for numbers, nearest in zip(pair_numbers, (best_of_a, best_of_b), strict=True)
    )
    return unique.directions(
        rerank_items(a_vectors, b_vectors, unique.forward, best_of_a.items, forward),
        rerank_items(b_vectors, a_vectors, unique.backward, best_of_b.items, backward),
    )


@torch.no_grad()
def _match_log_odds(
    model: Model, table: Table, records_of: dict[str, np.ndarray], index: dict[str, np.ndarray], precision: str
) -> np.ndarray:
    """float64 [P]: of P pairs of contents the logarithm of the odds that they belong together, which orders as their
    probability does, and does not saturate.

    records_of: by input, the record of each content; index: by input int64 [P], which contents make a pair.
    """
    fusion, head, mode = model.fusion, matcher(model), model.training
    (context,), lead = fusion.context, fusion.query
    order = np.argsort(index[context], kind="stable")
    odds, sorted_by = np.empty(len(order)), index[context][order]
    model.eval()
    try:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16"):
            leading = Features.joined(list(_encode(model, table, lead, records_of[lead])))
            for number, features in enumerate(_encode(model, table, context, records_of[context])):
                keys_values, start = fusion.asked({context: features}), number * ENCODED
                begin, end = np.searchsorted(sorted_by, [start, start + ENCODED])
                for first_pair in range(begin, end, FUSED):
                    pairs = order[first_pair : min(first_pair + FUSED, end)]
                    lead_rows, context_rows = (
                        torch.from_numpy(index[name][pairs]).to(model.device) for name in (lead, context)
                    )
                    ask = [question.take(context_rows - start) for question in keys_values]
                    fused = fusion({lead: _trimmed(leading.take(lead_rows))}, ask, summary_only=True)
                    no, yes = head.predict(fused)["probabilities"].double().log().unbind(dim=1)
                    odds[pairs] = (yes - no).cpu().numpy()
    finally:
        model.train(mode)
    return odds


def _encode(model: Model, table: Table, name: str, rows: np.ndarray) -> Iterator[Features]:
    """Features of the input `name` of the records `rows`, a few at a time, in that order."""
    records = narrowed(table.take(rows), [name])
    for batch in model.batches(records, ENCODED, workers_for(records)):
        yield model.encode(batch.inputs)[name]


def _trimmed(features: Features) -> Features:
    """The same, with no more tokens than its longest row has."""
    longest = max(1, int(features.mask.sum(dim=1).max()))
    return Features(features.tokens[:, :longest], features.mask[:, :longest], features.pooled)
