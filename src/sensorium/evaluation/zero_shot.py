"""Zero-shot classification: a record belongs to the label whose text lies nearest to it in the shared space."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sensorium.data.table import Table
from sensorium.errors import UserError, counted, unknown
from sensorium.evaluation.embedding import embed, narrowed, workers_for
from sensorium.evaluation.templates import PLACE, labels_of, templates_of
from sensorium.heads.calibration import best_threshold, fit_temperature
from sensorium.metrics.kinds.class_ import calibration_error
from sensorium.metrics.resampling import point
from sensorium.model import Model
from sensorium.training.precision import choose_precision

TEXTS_AT_ONCE = 256


class ZeroShot:
    """A classifier of one input of `model` by texts: K `labels`, each put into the templates.

    labels:    names, or "cat,dog,bird", or a file with one a line.
    templates: "plain", "simple" or "imagenet", a file with one a line, or the templates; {} is the label's place. A
               label's vector is the mean of its texts' embeddings, brought to unit length again.
    input, text: the input that is classified and the one that the labels are, where the model leaves a choice.
    precision: "auto" (bf16 where the hardware has it), "bf16" or "fp32", of the records; labels are encoded in fp32.

    `vectors`, float32 [K, E], are computed here, each different text once. `temperature` divides what the softmax
    (sigmoid, in a model trained so) sees, 1 until `calibrate` fits it; `none_below` is the probability below which
    nothing is decided, None for always deciding.
    Raises UserError for labels or templates that cannot be, and for a model that does not align the input with a text.
    """

    def __init__(
        self,
        model: Model,
        labels: str | Path | Sequence[str],
        templates: str | Path | Sequence[str] = "plain",
        input: str | None = None,
        text: str | None = None,
        precision: str = "auto",
        none_below: float | None = None,
    ):
        self.model, self.labels, self.templates = model, labels_of(labels), templates_of(templates)
        self.text, self.input = inputs_of(model, input, text)
        self.precision = choose_precision(precision, model.device)[0]
        if none_below is not None and not 0 < none_below < 1:
            raise UserError(f"The threshold for none of the labels lies between 0 and 1, and {none_below} does not.")
        self.temperature, self.none_below = 1.0, none_below
        self.vectors = self._vectors()
        if self.precision == "bf16":
            self.model = model.for_inference()

    def _vectors(self) -> np.ndarray:
        prompts = [template.replace(PLACE, label) for label in self.labels for template in self.templates]
        different = {prompt: index for index, prompt in enumerate(dict.fromkeys(prompts))}
        (column,) = next(spec.columns for spec in self.model.schema.inputs if spec.name == self.text)
        table = self.model.read([{column: prompt} for prompt in different])
        texts = embed(self.model, table, self.text, TEXTS_AT_ONCE)  # [texts, E]
        by_label = texts[[different[prompt] for prompt in prompts]].reshape(len(self.labels), len(self.templates), -1)
        return functional.normalize(torch.from_numpy(by_label).mean(dim=1), dim=-1).numpy()  # [K, E]

    @property
    def independent(self) -> bool:
        """Whether each label is judged alone, as by a model trained with the sigmoid loss; else one of them is true."""
        return hasattr(self.model, "logit_bias")

    @torch.no_grad()
    def logits(self, embeddings: np.ndarray) -> Tensor:
        """float64 [N, K] of embeddings, float32 [N, E]: what the model's loss saw, before the temperature."""
        similarity = torch.from_numpy(embeddings @ self.vectors.T).double()
        scaled = similarity * self.model.logit_scale.double().exp().cpu()
        return scaled + self.model.logit_bias.double().cpu() if self.independent else scaled

    def probabilities(self, embeddings: np.ndarray) -> np.ndarray:
        """float32 [N, K] of embeddings, float32 [N, E]; the rows add up to 1 unless labels are independent."""
        logits = self.logits(embeddings) / self.temperature
        return (logits.sigmoid() if self.independent else logits.softmax(dim=1)).float().numpy()

    def scores(self, records: Table | Iterable[dict], batch_size: int = 64) -> np.ndarray:
        """float32 [N, K]: the probability of each label; NaN in the row of a record that lacks the input.

        Raises RecordError for a value that cannot be decoded.
        """
        embeddings = self.embed(records, batch_size)
        scores = self.probabilities(embeddings)
        scores[~embeddings.any(axis=1)] = np.nan
        return scores

    def embed(self, records: Table | Iterable[dict], batch_size: int = 64) -> np.ndarray:
        """float32 [N, E], unit length; zeros where a record lacks the input."""
        table = records if isinstance(records, Table) else self.model.read(records)
        workers = workers_for(narrowed(table, [self.input]))
        return embed(self.model, table, self.input, batch_size, workers, self.precision)

    def classify(self, records: Table | Iterable[dict], top: int = 5, batch_size: int = 64) -> list[dict[str, Any]]:
        """For each record `label` and its `probability`, `top` (labels with probabilities, the best first), `absent`.

        The label is None where all are below `none_below`, or the record lacks the input.
        """
        return [self._describe(row, top) for row in self.scores(records, batch_size)]

    def _describe(self, row: np.ndarray, top: int) -> dict[str, Any]:
        if np.isnan(row).any():
            return {"label": None, "probability": None, "top": [], "absent": True}
        order = np.argsort(-row, kind="stable")[:top]
        best = [{"label": self.labels[index], "probability": float(row[index])} for index in order]
        decided = self.none_below is None or best[0]["probability"] >= self.none_below
        return {
            "label": best[0]["label"] if decided else None,
            "probability": best[0]["probability"],
            "top": best,
            "absent": False,
        }

    def calibrate(self, embeddings: np.ndarray, truth: Sequence[str | None], threshold: bool = False) -> dict[str, Any]:
        """Fits `temperature` on labelled records, and with `threshold` also `none_below`.

        embeddings: float32 [N, E]; truth: each one's label, None where it is not known. A label that is not among
        `labels` is none of these, which only the threshold learns from: it is the one with the best mean of the share
        of known records that are decided rightly and the share of the others that are not decided.
        Returns {"records", "none", "temperature", "none_below", "calibration_error": {"before", "after"}}. Raises
        UserError when no record has one of the labels, or all have where a threshold is asked for.
        """
        is_labelled = np.array([name is not None for name in truth], bool) & embeddings.any(axis=1)
        embeddings = embeddings[is_labelled]
        truth = [name for name, labelled in zip(truth, is_labelled, strict=True) if labelled]
        index_of = {label: index for index, label in enumerate(self.labels)}
        label = np.array([index_of.get(name, -1) for name in truth], np.int64)
        has_label = label >= 0
        if not has_label.any():
            raise UserError(
                f"None of the {counted(len(label), 'labelled record')} has one of the labels"
                f" {', '.join(self.labels[:8])}; there is nothing to calibrate by: are they spelled alike?"
            )
        before = self._calibration_error(embeddings[has_label], label[has_label])
        logits, right = self.logits(embeddings[has_label]), torch.from_numpy(label[has_label])
        self.temperature = fit_temperature(
            lambda temperature: self._loss(logits / temperature, right), int(has_label.sum())
        )
        if threshold:
            self.none_below = self._threshold(embeddings, label)
        return {
            "records": int(has_label.sum()),
            "none": int((~has_label).sum()),
            "temperature": self.temperature,
            "none_below": self.none_below,
            "calibration_error": {
                "before": before, "after": self._calibration_error(embeddings[has_label], label[has_label])
            },
        }  # fmt: skip

    def _loss(self, logits: Tensor, right: Tensor) -> Tensor:
        if not self.independent:
            return functional.cross_entropy(logits, right)
        one_hot = functional.one_hot(right, logits.shape[1]).to(logits)
        return functional.binary_cross_entropy_with_logits(logits, one_hot, reduction="sum") / len(logits)

    def _calibration_error(self, embeddings: np.ndarray, label: np.ndarray) -> float:
        return point(calibration_error(label, self.probabilities(embeddings)), len(label))

    def _threshold(self, embeddings: np.ndarray, label: np.ndarray) -> float:
        if (label >= 0).all():
            raise UserError(
                "All labelled records have one of the labels, so they do not say when it is none of them; add records"
                " with other labels, or state --none-below."
            )
        probabilities = self.probabilities(embeddings)
        counts = (label < 0) | (probabilities.argmax(axis=1) == label)  # whatever the threshold, the others are wrong
        highest, has_label = torch.from_numpy(probabilities.max(axis=1)), torch.from_numpy(label >= 0)
        return best_threshold(highest[counts], has_label[counts], "balanced_accuracy")


def inputs_of(model: Model, name: str | None, text: str | None) -> tuple[str, str]:
    """The text input that labels are, and the input that is classified, of a model that aligns the two.

    Raises UserError when the model has none, and when it has several and none is stated.
    """
    specs = {spec.name: spec.modality for spec in model.schema.inputs} if model.schema else {}
    for input_name in (name, text):
        if input_name is not None and input_name not in specs:
            raise unknown("input", input_name, specs)
    if not hasattr(model, "logit_scale"):
        raise UserError("This model does not align its inputs with texts, so labels mean nothing to it; pretrain one.")
    texts = [input_name for input_name, modality in specs.items() if modality == "text" and input_name != name]
    text = text or _only_name(texts, "text", "--text")
    if specs[text] != "text":
        raise UserError(f"The labels are texts, and the input '{text}' is not: it is of the kind {specs[text]}.")
    candidates = [input_name for input_name in specs if input_name != text]
    name = name or _only_name(candidates, "other", "--input")
    if name == text:
        raise UserError(f"The input '{name}' cannot be classified by itself; the labels have to be another one.")
    return text, name


def _only_name(names: list[str], role: str, option: str) -> str:
    if len(names) == 1:
        return names[0]
    if names:
        raise UserError(f"The model has {len(names)} {role} inputs ({', '.join(names)}); say which with {option}.")
    raise UserError(
        f"The model has no {role} input, so it cannot classify by the names of labels; pretrain one that has."
    )
