"""easy-VQA from scratch: questions about a picture of one shape, thirteen answers, the split of the package.

    python benchmarks/easy_vqa.py [--recipe recipes/easy_vqa.yaml] [--seeds 0 1 2] [--folder easy_vqa] [--table]

Needs the package `easy-vqa` (the extra `demo`), whose pictures and questions become FOLDER/questions.csv. For each seed
it fits the recipe and prints the accuracy on the test questions, its interval clustered by picture, the seconds from
the table to the scored run, and what the same model gives without the picture, where the commonest answer to each
question is right in about .67. `--table` makes the table and stops.
"""

import argparse
import statistics
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pandas as pd

import sensorium
from sensorium.data.sources.published import table, write
from sensorium.errors import needs

SHAPES = ("circle", "rectangle", "triangle")


def records(folder: Path) -> Path:
    """FOLDER/questions.csv: question, photo, image, answer, question_type (color, shape, yes/no) and part."""
    try:
        package = distribution("easy-vqa").locate_file("easy_vqa")  # this file has the package's name, so no import
    except PackageNotFoundError as error:
        raise needs("easy-vqa", "demo") from error
    parts = []
    for part in ("train", "test"):
        data = Path(str(package)) / "data" / part
        frame = table(data / "questions.json", data / "images")
        parts.append(frame.assign(part=part, image=[f"{part} {name}" for name in frame["image"]]))
    whole = pd.concat(parts, ignore_index=True)
    write(whole.assign(question_type=[kind(answer) for answer in whole["answer"]]), folder / "questions.csv")
    return folder / "questions.csv"


def kind(answer: str) -> str:
    """What a question with this answer asks for."""
    return "yes/no" if answer in ("yes", "no") else "shape" if answer in SHAPES else "color"


def main() -> None:
    """Prints a line a seed and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=Path(__file__).parents[1] / "recipes" / "easy_vqa.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("easy_vqa"))
    parser.add_argument("--table", action="store_true", help="make the table and stop")
    arguments = parser.parse_args()
    source = records(arguments.folder)
    if arguments.table:
        return
    found = []
    for seed in arguments.seeds:
        began = time.monotonic()
        run = sensorium.fit(
            source, arguments.folder / "run", recipe=str(arguments.recipe), seed=seed, overwrite=True, quiet=True
        )
        seconds = time.monotonic() - began
        right = run.metrics["targets"]["answer"]["accuracy"]
        without = run.metrics["inputs"]["answer"]["photo"]["without"]
        found.append((right["value"], seconds, without["value"]))
        print(
            f"seed {seed}: accuracy {right['value']:.4f} [{right['low']:.4f}, {right['high']:.4f}] in {seconds:.0f} s;"
            f" without the picture {without['value']:.3f} [{without['low']:.3f}, {without['high']:.3f}]",
            flush=True,
        )
    accuracy, seconds, without = (statistics.median(one) for one in zip(*found, strict=True))
    print(f"median: accuracy {accuracy:.4f} in {seconds:.0f} s; without the picture {without:.3f}")


if __name__ == "__main__":
    main()
