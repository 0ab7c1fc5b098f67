"""What a fit is held against: simple models of scikit-learn and LightGBM, each on one kind of column, of one fold.

    python -m benchmarks.tables.baselines SPECIFICATION.json

The specification is what `systems.specification` writes. Predictions of each baseline go to its folder `out`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.tables.features import frozen_features
from benchmarks.tables.scores import NUMBER
from benchmarks.tables.sources import GROUP, SEED, TABLES, Table
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

RARE = 5  # a category of fewer rows counts as one of the rare
STRENGTHS = np.logspace(-1, 4, 6)  # of ridge regression, chosen by cross-validation


def linear_model(classes: bool, strength: float = 1.0) -> LogisticRegression | RidgeCV:
    """Logistic regression for classes, ridge regression for numbers."""
    return LogisticRegression(C=strength, max_iter=1000) if classes else RidgeCV(STRENGTHS, cv=3)


def tabular_columns(table: Table, rows: pd.DataFrame) -> pd.DataFrame:
    """Numbers, categories and dates: numbers and dates as floats, categories as strings."""
    columns = rows.drop(columns=[table.target, *table.media, *table.texts, GROUP], errors="ignore")
    for name in columns:
        if name in table.dates:
            dates = pd.to_datetime(columns[name], errors="coerce", utc=True)
            columns[name] = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
        elif not pd.api.types.is_numeric_dtype(columns[name]) or pd.api.types.is_bool_dtype(columns[name]):
            columns[name] = columns[name].astype(object).where(columns[name].notna(), "absent").astype(str)
    return columns.astype(dict.fromkeys(columns.select_dtypes("number"), float))


def tabular_models(classes: bool, columns: pd.DataFrame) -> dict:
    """A linear model and boosted trees on numbers and categories."""
    numbers = columns.select_dtypes("number").columns
    categories = columns.columns.difference(numbers, sort=False)
    scaled = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=RARE)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=RARE)
    linear = ColumnTransformer([("numbers", scaled, numbers), ("categories", one_hot, categories)])
    coded = ColumnTransformer([("categories", codes, categories), ("numbers", "passthrough", numbers)])
    boosted = (LGBMClassifier if classes else LGBMRegressor)(random_state=SEED, n_jobs=1, verbose=-1)
    boosted.set_params(categorical_feature=list(range(len(categories))))
    return {"linear": make_pipeline(linear, linear_model(classes)), "LightGBM": make_pipeline(coded, boosted)}


def baseline_inputs(table: Table, rows: pd.DataFrame, folder: Path, weights: dict[str, str]) -> dict[str, tuple]:
    """Each baseline's name → its unfitted model and the input of all rows."""
    classes = table.measure.classes
    dummy = DummyClassifier() if classes else DummyRegressor()
    baselines = {"majority" if classes else "mean": (dummy, np.zeros((len(rows), 1)))}
    columns = tabular_columns(table, rows)
    if len(columns.columns):
        baselines |= {name: (model, columns) for name, model in tabular_models(classes, columns).items()}
    for name in table.texts:
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        model = make_pipeline(words, linear_model(classes, 10.0))
        baselines[f"TF-IDF {name}"] = (model, rows[name].fillna("").to_numpy(str))
    features = frozen_features(table, rows, folder, weights)
    if len(features) > 1:
        features["all"] = np.concatenate(list(features.values()), axis=1)
    for name, values in features.items():
        model = make_pipeline(SimpleImputer(), StandardScaler(), linear_model(classes, 0.1))
        baselines[f"frozen {name}"] = (model, values)
    return baselines


def predict(model, train_input, train_truth: pd.Series, test_input, classes: bool) -> pd.DataFrame:
    """Predictions of the test rows in the form that `scores` reads, after fitting to the training rows."""
    model.fit(train_input, train_truth)
    if classes:
        return pd.DataFrame(model.predict_proba(test_input), columns=model.classes_)
    return pd.DataFrame({NUMBER: model.predict(test_input)})


def main() -> None:
    """Fits all baselines and writes their predictions."""
    specification = json.loads(Path(sys.argv[1]).read_text())
    sys.path.append(specification["packages"])  # of ctranslate2
    table = next(table for table in TABLES if table.name == specification["table"])
    folder, out = Path(specification["folder"]), Path(specification["out"])
    rows = pd.read_csv(folder / "table.csv")
    truth = rows[table.target].astype(str if table.measure.classes else float)
    test = np.load(folder / "folds.npy") == specification["fold"]
    out.mkdir(parents=True, exist_ok=True)
    for name, (model, values) in baseline_inputs(table, rows, folder, specification["weights"]).items():
        predictions = predict(model, values[~test], truth[~test], values[test], table.measure.classes)
        predictions.to_csv(out / f"{name}.csv", index=False)


if __name__ == "__main__":
    main()
