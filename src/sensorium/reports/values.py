"""Figures as a reader sees them; the templates use these functions as filters."""

from typing import Any

from sensorium.evaluation.inputs import format_number
from sensorium.metrics import Value

METRIC_NAMES = {
    "neg_log_loss": "log loss (negative)",
    "neg_mean_absolute_error": "mean absolute error (negative)",
    "neg_root_mean_squared_error": "root mean squared error (negative)",
    "r2": "R²",
    "roc_auc": "ROC AUC",
    "roc_auc_ovr": "ROC AUC (one against the rest)",
    "precision_macro": "precision, macro",
    "recall_macro": "recall, macro",
    "f1_macro": "F1, macro",
    "f1_micro": "F1, micro",
    "vqa_accuracy": "VQA accuracy",
    "spearman": "Spearman's correlation",
    "neg_loss": "loss of a token (negative)",
    "neg_place_loss": "loss of a token (negative)",
    "map_50": "mAP at an IoU of .5",
    "map": "mAP at .5 to .95",
    "chrf": "chrF",
    "bleu": "BLEU",
    "cider": "CIDEr",
    "rouge_l": "ROUGE-L",
}


def metric_name(metric: str) -> str:
    """A metric's name for a reader."""
    return METRIC_NAMES.get(metric, metric.replace("_", " "))


def value_of(figures: dict[str, Any]) -> Value:
    """A value of metrics.json."""
    return Value(figures["value"], figures["low"], figures["high"], figures.get("chance"))


def p_value(p: float) -> str:
    """A p-value; below a thousandth only that."""
    return "< .001" if p < 0.001 else format_number(p)


def large(number: int) -> str:
    """A count in millions, billions or trillions."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.2f} {word}"
    return f"{number:,}"


def duration(seconds: float) -> str:
    """A time in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
