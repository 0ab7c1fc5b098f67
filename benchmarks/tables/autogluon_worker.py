"""AutoGluon on one fold, run by the Python of an environment that has it: fit SPECIFICATION.json, or predict.

    pip install 'autogluon.tabular[lightgbm,catboost,xgboost,fastai]' autogluon.multimodal

The specification is what `systems.specification` writes. Nothing here reads Sensorium.
"""

import json
import sys
from pathlib import Path

import pandas as pd


def read_rows(specification: dict, name: str) -> pd.DataFrame:
    """The fold's file without group and the columns that this predictor cannot read; picture paths absolute."""
    folder = Path(specification["folder"])
    rows = pd.read_csv(folder / f"{name}-{specification['fold']}.csv")
    unread = specification["sounds"] + ["group"]
    if not specification["multimodal"]:
        unread += specification["pictures"]
    for column in specification["pictures"]:
        rows[column] = [str(folder / path) if isinstance(path, str) else None for path in rows[column]]
    return rows.drop(columns=unread, errors="ignore")


def fit_multimodal(specification: dict, rows: pd.DataFrame, problem: str) -> None:
    """MultiModalPredictor with the weights that Sensorium and the baselines have, or those its presets name."""
    from autogluon.multimodal import MultiModalPredictor

    weights = specification["weights"]
    settings = {}
    if weights.get("minilm"):
        settings["model.hf_text.checkpoint_name"] = weights["minilm"]
    if weights.get("efficientnet") and specification["pictures"]:
        settings["model.timm_image.checkpoint_name"] = weights["efficientnet"]
    predictor = MultiModalPredictor(
        label=specification["target"],
        problem_type=problem,
        eval_metric=specification["measure"],
        path=str(Path(specification["run"]) / "model"),
        presets="medium_quality",
    )
    kinds = dict.fromkeys(specification["pictures"], "image_path")
    predictor.fit(rows, time_limit=specification["limit"], hyperparameters=settings, column_types=kinds)


def fit_tabular(specification: dict, rows: pd.DataFrame, problem: str) -> None:
    """TabularPredictor with its medium quality."""
    from autogluon.tabular import TabularPredictor

    predictor = TabularPredictor(
        label=specification["target"],
        problem_type=problem,
        eval_metric=specification["measure"],
        path=str(Path(specification["run"]) / "model"),
    )
    predictor.fit(rows, presets="medium_quality", time_limit=specification["limit"])


def fit(specification: dict) -> None:
    """Fits to the fold's training rows."""
    rows = read_rows(specification, "train")
    problem = "regression"
    if specification["classes"]:
        problem = "binary" if rows[specification["target"]].nunique() == 2 else "multiclass"
    (fit_multimodal if specification["multimodal"] else fit_tabular)(specification, rows, problem)


def predict(specification: dict) -> None:
    """Writes predictions of the fold's test rows in the form that `scores` reads."""
    path = str(Path(specification["run"]) / "model")
    if specification["multimodal"]:
        from autogluon.multimodal import MultiModalPredictor as Predictor
    else:
        from autogluon.tabular import TabularPredictor as Predictor
    predictor, rows = Predictor.load(path), read_rows(specification, "test")
    if specification["classes"]:
        predictions = predictor.predict_proba(rows, as_pandas=True)
    else:
        predictions = pd.DataFrame({"prediction": predictor.predict(rows)})
    predictions.to_csv(specification["out"], index=False)


if __name__ == "__main__":
    {"fit": fit, "predict": predict}[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))
