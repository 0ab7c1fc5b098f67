"""Validation of a model that aligns inputs: how well each input finds what belongs to it."""

from collections.abc import Callable

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from sensorium.data.records import Records
from sensorium.metrics.retrieval import retrieval, retrieval_figures
from sensorium.training.learner import Learner
from sensorium.training.loop import Validation

MOST_RECORDS = 5000  # records that are searched; more take longer and say little more
BATCH = 256
LOGGED_METRICS = ("recall@1", "recall@10", "median_rank")


def retrieval_validator(
    records: Records, pairs: list[tuple[str, str]], chance: float | None, accelerator: Accelerator
) -> Callable[[Learner], Validation]:
    """Gives the function that scores a learner on `records`, or 5,000 of them: the mean over all `pairs` of inputs, in
    both directions, of one over the rank at which a query finds what belongs to it.

    Figures beside it: recall and rank of every direction, the temperature, for each input how far its embeddings spread
    (one less the squared length of their mean; 0 when all are the same), and `chance`, the loss of a model that cannot
    tell records apart, where that is known. Each process embeds its share of the records; all get the same result."""
    sample = np.sort(np.random.default_rng(records.seed).permutation(len(records))[:MOST_RECORDS])
    ids = {name: values.numpy()[sample] for name, values in records.ids.items()}

    def validate(learner: Learner) -> Validation:
        share = np.arange(accelerator.process_index, len(sample), accelerator.num_processes)
        shares = gather_object([(share, _embed(learner, records, sample[share]))])
        order = np.argsort(np.concatenate([rows for rows, _ in shares]))
        embeddings = {
            name: np.concatenate([embedded[name] for _, embedded in shares])[order]
            for name in learner.model.encoders.names
        }
        figures, scores = {}, []
        for a, b in pairs:
            both = (ids[a] != 0) & (ids[b] != 0)
            directions = retrieval(embeddings[a][both], embeddings[b][both], ids[a][both], ids[b][both])
            for name, direction in zip((f"{a}→{b}", f"{b}→{a}"), directions, strict=True):
                values = retrieval_figures(direction)
                figures |= {f"validation_{metric}_{name}": values[metric] for metric in LOGGED_METRICS}
                scores.append(float((1 / direction.found.rank).mean()))
        score = float(np.mean(scores))
        spread = {f"spread_{name}": _spread(embeddings[name][ids[name] != 0]) for name in embeddings}
        temperature = float((-learner.model.logit_scale.detach()).exp())
        summary = {"validation": score} | ({} if chance is None else {"chance": chance})
        return Validation([score], summary | {"temperature": temperature} | spread | figures)

    return validate


def _spread(embeddings: np.ndarray) -> float:
    """One less the squared length of the mean of unit vectors [N, E]; 0 without any."""
    return 1 - float(np.square(embeddings.mean(axis=0)).sum()) if len(embeddings) else 0.0


@torch.no_grad()
def _embed(learner: Learner, records: Records, rows: np.ndarray) -> dict[str, np.ndarray]:
    """By input: float32 [rows, E], the embeddings of the records `rows`, zero where absent."""
    model = learner.model
    embeddings = {name: [np.zeros((0, model.embedding_width(name)), np.float32)] for name in model.encoders.names}
    for start in range(0, len(rows), BATCH):
        batch = records.batch(rows[start : start + BATCH]).to(model.device)
        with torch.autocast(model.device.type, torch.bfloat16, enabled=learner.precision == "bf16"):
            for name, features in model.encode(batch.inputs).items():
                embeddings[name].append(model.embedding(name, features).float().cpu().numpy())
    return {name: np.concatenate(batches) for name, batches in embeddings.items()}
