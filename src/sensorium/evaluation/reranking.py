"""What embeddings find, ordered anew by the head that says whether two inputs belong together."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from sensorium.data.table import Table
from sensorium.errors import UserError
from sensorium.evaluation.embedding import Checked, narrowed, workers_for
from sensorium.features import Features
from sensorium.metrics.reranking import best, reranked
from sensorium.metrics.retrieval import Directions, contents
from sensorium.model import Model

BEST = 16  # of a query's items that are ordered anew, where nothing else is said
ENCODED, FUSED = 64, 256  # contents encoded at a time, pairs fused at a time


def matcher(model: Model) -> nn.Module | None:
    """The head of `model` that says whether its two inputs belong together; None when it has none."""
    heads = [head for _, head in model.heads.items() if getattr(head, "kind", None) == "match"]
    return heads[0] if heads and len(model.encoders) == 2 and hasattr(model.fusion, "asked") else None


def check_rerank(model: Model, count: int) -> None:
    """Sees to it that `model` can order `count` items anew. Raises UserError."""
    if matcher(model) is None:
        raise UserError(
            "This model has no head that says whether two inputs belong together, so nothing can be ranked anew; leave"
            " --rerank out, or take a model of sensorium pretrain albef."
        )
    if count < 2:
        raise UserError(f"--rerank is {count}, and of fewer than 2 items there is no other order; give 2 or more.")


def rerank_pair(
    model: Model,
    known: Checked,
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
    vectors: by input float32 [N, E], of the N records that are `known`; rows: int64 [R], those that have both inputs.
    Each content is encoded once more, and what the text asks of a picture is made once for all of its texts.
    """
    a, b = pair
    found = contents(known.ids[a][rows], known.ids[b][rows])
    places = {a: rows[found.first_a], b: rows[found.first_b]}
    ours, theirs = vectors[a][places[a]], vectors[b][places[b]]
    there, back = best(ours, theirs, count), best(theirs, ours, count)  # [A, K], [B, K]
    size, first, second = len(theirs), np.arange(len(ours))[:, None], np.arange(len(theirs))[:, None]
    asked = [first * size + there.items, back.items * size + second]  # a pair's place in a times B plus that in b
    pairs = np.unique(np.concatenate([one.ravel() for one in asked]))  # [P]
    index = dict(zip(pair, np.divmod(pairs, size), strict=True))
    odds, scale = _odds(model, known.table, places, index, precision), model.logit_scale.double().exp().item()
    forward, backward = (
        odds[np.searchsorted(pairs, one)] + scale * one_best.similar
        for one, one_best in zip(asked, (there, back), strict=True)
    )
    return found.directions(
        reranked(ours, theirs, found.forward, there.items, forward),
        reranked(theirs, ours, found.backward, back.items, backward),
    )


@torch.no_grad()
def _odds(
    model: Model, table: Table, places: dict[str, np.ndarray], index: dict[str, np.ndarray], precision: str
) -> np.ndarray:
    """float64 [P]: of P pairs of contents the logarithm of the odds that they belong together, which orders as their
    probability does, and does not saturate.

    places: by input, the record of each content; index: by input int64 [P], which contents make a pair.
    """
    fusion, head, mode = model.fusion, matcher(model), model.training
    (context,), lead = fusion.context, fusion.query
    order = np.argsort(index[context], kind="stable")
    odds, sorted_by = np.empty(len(order)), index[context][order]
    model.eval()
    try:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16"):
            leading = Features.joined(list(_encoded(model, table, lead, places[lead])))
            for number, features in enumerate(_encoded(model, table, context, places[context])):
                asked, start = fusion.asked({context: features}), number * ENCODED
                begin, end = np.searchsorted(sorted_by, [start, start + ENCODED])
                for at in range(begin, end, FUSED):
                    some = order[at : min(at + FUSED, end)]
                    ours, theirs = (torch.from_numpy(index[name][some]).to(model.device) for name in (lead, context))
                    ask = [one.take(theirs - start) for one in asked]
                    fused = fusion({lead: _trimmed(leading.take(ours))}, ask, summary_only=True)
                    no, yes = head.predict(fused)["probabilities"].double().log().unbind(dim=1)
                    odds[some] = (yes - no).cpu().numpy()
    finally:
        model.train(mode)
    return odds


def _encoded(model: Model, table: Table, name: str, rows: np.ndarray) -> Iterator[Features]:
    """Features of the input `name` of the records `rows`, a few at a time, in that order."""
    some = narrowed(table.take(rows), [name])
    for batch in model.batches(some, ENCODED, workers_for(some)):
        yield model.encode(batch.inputs)[name]


def _trimmed(features: Features) -> Features:
    """The same, with no more tokens than its longest row has."""
    longest = max(1, int(features.mask.sum(dim=1).max()))
    return Features(features.tokens[:, :longest], features.mask[:, :longest], features.pooled)
