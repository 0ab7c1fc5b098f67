"""Plain `sensorium fit` on tables of unusual sizes: time, memory, and the score beside the best baseline and chance.

    python -m benchmarks.sizes [TABLE ...] [--folder FOLDER] [--test 0.2]

Made-up records, each table with what an expert would find in it:
    few       5 classes of 20 records: a text, a picture and numbers
    classes   1,000 classes of 20 records: a text and numbers
    columns   5,000 records of 300 numbers and 200 categories
    half, large  50,000 and 100,000 records of numbers, categories, a date and a short text: twice the records must not
              take much more than twice the time
    rare      20,000 records, one in 200 of the rare class: numbers, a category and a text

Each fit is a process of its own, on the threads that OMP_NUM_THREADS allows. Needs pip install 'sensorium[test]'.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.tables.measuring import measure_command
from PIL import Image

LONGEST = 7_200  # seconds of a fit

WORDS = [f"{first}{last}" for first in ("ba", "do", "ki", "lu", "me", "no", "ra", "su", "ti", "ve")
         for last in ("lan", "mer", "nos", "pin", "rak", "sel", "tor", "vus", "wen", "zad")]  # fmt: skip


def few(folder: Path) -> pd.DataFrame:
    """5 classes of 20 records."""
    chance, rows = np.random.default_rng(0), []
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for row in range(100):
        label = row % 5
        pixels = chance.integers(0, 120, (48, 48, 3), dtype=np.uint8)
        pixels[8 * label : 8 * label + 12, :, label % 3] += 90
        Image.fromarray(pixels).save(folder / f"pictures/{row}.png")
        text = " ".join([*chance.choice(WORDS, 6), WORDS[label if chance.random() < 0.5 else chance.integers(5)]])
        numbers = {f"size_{number}": chance.normal() + 0.5 * (label == number) for number in range(4)}
        rows.append({"picture": f"pictures/{row}.png", "text": text, **numbers, "target": f"class {label}"})
    return pd.DataFrame(rows)


def classes(folder: Path, count: int = 1_000, each: int = 20) -> pd.DataFrame:
    """`count` classes, of which a text of two telling words and noise, and two numbers say most."""
    chance = np.random.default_rng(1)
    labels = chance.permutation(np.repeat(np.arange(count), each))
    noise = chance.choice(WORDS, (len(labels), 4))
    telling = [[WORDS[label % 100] + "a", WORDS[label // 10] + "o"] for label in labels]
    return pd.DataFrame(
        {
            "text": [" ".join([*words, *more]) for words, more in zip(telling, noise, strict=True)],
            "width": labels % 10 + chance.normal(0, 0.5, len(labels)),
            "height": labels // 100 + chance.normal(0, 0.5, len(labels)),
            "target": [f"class {label}" for label in labels],
        }
    )


def columns(folder: Path, count: int = 5_000) -> pd.DataFrame:
    """300 numbers and 200 categories, of which four say what the class is; a tenth of the cells is empty."""
    chance = np.random.default_rng(2)
    numbers = chance.normal(size=(count, 300))
    categories = chance.integers(0, 8, (count, 200))
    score = numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + (categories[:, 0] > 3) + chance.normal(0, 0.5, count)
    numbers[chance.random(numbers.shape) < 0.1] = np.nan
    table = pd.DataFrame(numbers, columns=[f"number_{column}" for column in range(300)])
    names = pd.DataFrame(np.array(list("abcdefgh"))[categories], columns=[f"kind_{column}" for column in range(200)])
    return pd.concat([table, names, pd.DataFrame({"target": np.where(score > 0.5, "yes", "no")})], axis=1)


def large(folder: Path, count: int = 100_000) -> pd.DataFrame:
    """Numbers, categories, a date and a short text, each of which says something of a number."""
    chance = np.random.default_rng(3)
    table = pd.DataFrame(chance.normal(size=(count, 6)).round(4), columns=[f"number_{column}" for column in range(6)])
    shop, colour, day = (chance.integers(0, most, count) for most in (40, 6, 1_000))
    table["shop"], table["colour"] = [f"shop {number}" for number in shop], np.array(WORDS[:6])[colour]
    table["day"] = (pd.Timestamp("2021-01-01") + pd.to_timedelta(day, "D")).strftime("%Y-%m-%d")
    words = chance.integers(0, len(WORDS), (count, 5))
    table["remark"] = [" ".join(WORDS[word] for word in row) for row in words]
    table["target"] = (
        table["number_0"] + table["number_1"] * table["number_2"] + 0.1 * (shop % 7) + 0.3 * (colour == 2)
        + np.sin(day / 58) + 0.5 * (words % 9 == 0).sum(axis=1) + chance.normal(0, 0.5, count)
    ).round(4)  # fmt: skip
    return table


def half(folder: Path) -> pd.DataFrame:
    """Half of `large`."""
    return large(folder, 50_000)


def rare(folder: Path, count: int = 20_000) -> pd.DataFrame:
    """One record in 200 is of the rare class, which the numbers and a word tell in part."""
    chance = np.random.default_rng(4)
    is_rare = np.arange(count) % 200 == 0
    table = pd.DataFrame(chance.normal(size=(count, 5)) + 1.2 * is_rare[:, None] * (np.arange(5) < 2))
    table.columns = [f"number_{column}" for column in range(5)]
    table["kind"] = np.array(list("abcd"))[chance.integers(0, 4, count)]
    telling = np.where(is_rare & (chance.random(count) < 0.6), "alarm", "")
    table["text"] = [" ".join([*chance.choice(WORDS, 4), word]).strip() for word in telling]
    table["target"] = np.where(is_rare, "rare", "usual")
    return table


TABLES: dict[str, Callable[[Path], pd.DataFrame]] = {
    "few": few, "classes": classes, "columns": columns, "half": half, "large": large, "rare": rare,
}  # fmt: skip


def measure(name: str, folder: Path, test: float) -> str:
    """Makes a table, fits it, and gives its line."""
    folder.mkdir(parents=True, exist_ok=True)
    table, run = folder / "table.csv", folder / "run"
    TABLES[name](folder).to_csv(table, index=False)
    command = [str(Path(sys.executable).with_name("sensorium")), "fit", str(table), "--target", "target"]
    command += ["--test", str(test), "--out", str(run), "--overwrite"]
    usage = measure_command(command, folder / "output.txt", LONGEST)
    cost = f"{usage.processor_seconds:7.0f} s processor {usage.seconds:7.0f} s wall {usage.megabytes / 1e3:6.2f} GB"
    if usage.status:
        return f"{name:8} {cost}  failed: {(folder / 'output.txt').read_text()[-400:]}"
    metrics = json.loads((run / "metrics.json").read_text())
    baselines = metrics["baselines"]["target"]
    metric = baselines["metric"]
    figures = metrics["targets"]["target"][metric]
    scores = [baseline["value"] for key, baseline in baselines.items() if key != "metric"]
    return (
        f"{name:8} {cost}  {metric} {figures['value']:.3f}, best baseline {max(scores, default=float('nan')):.3f},"
        f" chance {figures['chance']:.3f}"
    )


def main() -> None:
    """Prints a line a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", help=f"of {', '.join(TABLES)}; all without")
    parser.add_argument("--folder", type=Path, help="where tables and runs stay; a temporary one without")
    parser.add_argument("--test", type=float, default=0.2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.tables or TABLES:
            print(measure(name, (options.folder or Path(temporary)) / name, options.test), flush=True)


if __name__ == "__main__":
    main()
