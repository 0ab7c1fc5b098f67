"""Figures as tables show them."""

from typing import Any

from sensorium.evaluation.inputs import format_number
from sensorium.evaluation.printing import between
from sensorium.metrics import Value
from sensorium.reports.markup import Child, Html, table

WORDS = {
    "neg_log_loss": "log loss (negative)",
    "neg_mean_absolute_error": "mean absolute error (negative)",
    "neg_root_mean_squared_error": "root mean squared error (negative)",
    "r2": "R²",
    "roc_auc": "ROC AUC",
    "roc_auc_ovr": "ROC AUC (one against the rest)",
    "f1_macro": "F1, macro",
    "f1_micro": "F1, micro",
    "vqa_accuracy": "VQA accuracy",
    "spearman": "Spearman's correlation",
}


def words(metric: str) -> str:
    """A metric's name for a reader."""
    return WORDS.get(metric, metric.replace("_", " "))


def value_of(known: dict[str, Any]) -> Value:
    """A value of metrics.json."""
    return Value(known["value"], known["low"], known["high"], known.get("chance"))


def metrics_table(metrics: dict[str, dict[str, Any]], caption: str) -> Html:
    """Every metric with its interval and its chance level."""
    rows: list[list[Child]] = []
    for name, known in metrics.items():
        value = value_of(known)
        rows.append([words(name), format_number(value.value), between(value), format_number(value.chance)])
    return table(["metric", "value", "95 % interval", "chance"], rows, caption)
