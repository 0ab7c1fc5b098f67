"""Small pictures and short sounds from scratch: milliseconds a record and epoch, and accuracy, by the default settings.

    python benchmarks/from_scratch.py FOLDER_OF_SPOKEN_DIGITS FOLDER_OF_EMOJI [--only digits] [--against SRC]
    python benchmarks/from_scratch.py --xor [--against SRC]

Data: scikit-learn's 1,797 handwritten digits as PNGs of 32 pixels, the emoji of emoji_category.py at 64 pixels, and
spoken digits, {digit}_{speaker}_{take}.wav, of half a second. Cost is the processor time of a fit of three epochs less
that of one epoch, loading and validation included, on one thread. Accuracy is that of a default fit on a quarter of the
pictures, or on a speaker who was not heard. `--xor`: 2,400 records of a short word, a number and a picture of 32
pixels, each of which says one bit, and the label is whether an odd number of them is set; prints seconds of the fit and
of its training, and the accuracy on 600 others. With `--against`, the folder `src` of another checkout, each
measurement is repeated with that.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits

from emoji_category import records

OURS = Path(__file__).resolve().parents[1] / "src"
WORDS = (("river", "lake", "ocean", "pond"), ("hammer", "chisel", "wrench", "saw"))
# One fit in a process of its own, so that its processor time is known; prints {"accuracy": ..., "train": ...}.
FIT = """
import json, sys, pandas as pd, sensorium
root, options = sys.argv[1], json.loads(sys.argv[2])
target = {"label": "class"}
run = sensorium.fit(f"{root}/train.csv", f"{root}/run", target=target, overwrite=True, quiet=True, **options)
test = pd.read_csv(f"{root}/test.csv", dtype={"label": str})
answers = run.model.predict(test.drop(columns="label").to_dict("records"))
right = [answer["label"]["decision"] == label for answer, label in zip(answers, test["label"])]
train = pd.read_csv(f"{root}/run/log.csv")["seconds"].iloc[-1]
print(json.dumps({"accuracy": sum(right) / len(right), "train": train}))
"""


def digits(arguments: argparse.Namespace, folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The table of handwritten digits, and bool [N], which of them are test records."""
    pictures, labels = load_digits(return_X_y=True)
    for index, picture in enumerate(pictures):
        small = Image.fromarray((picture.reshape(8, 8) / 16 * 255).round().astype(np.uint8))
        small.resize((32, 32), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    table = pd.DataFrame({"picture": [str(folder / f"{index}.png") for index in range(len(labels))], "label": labels})
    return table, np.random.default_rng(0).random(len(table)) < 0.25


def emoji(arguments: argparse.Namespace, folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The table of emoji, pictures alone, and bool [N], which of them are test records."""
    table = records(arguments.emoji, folder).drop(columns="name").rename(columns={"category": "label"})
    table["picture"] = [str(folder / name) for name in table["picture"]]
    return table, np.random.default_rng(0).random(len(table)) < 0.25


def spoken(arguments: argparse.Namespace, folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The table of spoken digits, and bool [N], which of them are by the last speaker."""
    paths = sorted(arguments.sounds.resolve().glob("*.wav"))
    table = pd.DataFrame({"sound": [str(path) for path in paths], "label": [path.stem[0] for path in paths]})
    speakers = np.array([path.stem.split("_")[1] for path in paths])
    return table, speakers == max(speakers)


def exclusive_or(arguments: argparse.Namespace, folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The table of three bits, and bool [N], which of them are test records."""
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2, (3_000, 3))
    paths = []
    for index, bit in enumerate(bits[:, 2]):
        picture = generator.integers(0, 90, (32, 32, 3), dtype=np.uint8)
        top, left = generator.integers(2, 18, 2)
        picture[top : top + (12 if bit else 4), left : left + (4 if bit else 12)] += 150  # a bar, upright or lying
        paths.append(str(folder / f"{index}.png"))
        Image.fromarray(picture).save(paths[-1])
    table = pd.DataFrame({
        "word": [str(generator.choice(WORDS[bit])) for bit in bits[:, 0]],
        "number": (2 * bits[:, 1] - 1 + generator.normal(0, 0.3, len(bits))).round(3),
        "picture": paths,
        "label": np.where(bits.sum(axis=1) % 2, "odd", "even"),
    })  # fmt: skip
    return table, np.arange(len(table)) >= 2_400


MAKERS = {"digits": digits, "emoji": emoji, "spoken": spoken, "xor": exclusive_or}


def fit(source: Path, root: Path, **options: object) -> dict[str, float]:
    """One fit of `root`'s table with the code in `source`: accuracy, seconds of training, processor seconds of all."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(source)}
    command = [sys.executable, "-c", FIT, str(root), json.dumps(options)]
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(answer) | {"seconds": time.monotonic() - began, "cpu": cpu}


def cost(source: Path, root: Path, records: int) -> float:
    """Milliseconds of processor time a record and epoch, in float32, as on processors without bfloat16."""
    plain = {"workers": 0, "refit": False, "precision": "fp32"}
    three, single = (fit(source, root, epochs=epochs, **plain)["cpu"] for epochs in (3, 1))
    return 1_000 * (three - single) / 2 / records


def main() -> None:
    """Prints a line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sounds", type=Path, nargs="?")
    parser.add_argument("emoji", type=Path, nargs="?")
    parser.add_argument("--only", choices=["digits", "emoji", "spoken"])
    parser.add_argument("--xor", action="store_true")
    parser.add_argument("--against", type=Path)
    parser.add_argument("--skip-accuracy", action="store_true")
    parser.add_argument("--skip-cost", action="store_true")
    arguments = parser.parse_args()
    sources = {"this": OURS} | ({"other": arguments.against.resolve()} if arguments.against else {})
    names = ["xor"] if arguments.xor else [arguments.only] if arguments.only else ["digits", "emoji", "spoken"]
    for name in names:
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            table, is_test = MAKERS[name](arguments, root)
            table[~is_test].to_csv(root / "train.csv", index=False)
            table[is_test].to_csv(root / "test.csv", index=False)
            for version, source in sources.items():
                line = f"{name}, {version}:"
                if not arguments.xor and not arguments.skip_cost:
                    line += f" {cost(source, root, int((~is_test).sum())):.2f} ms a record and epoch"
                if not arguments.skip_accuracy:
                    whole = fit(source, root)
                    line += f" accuracy {whole['accuracy']:.3f}, fit {whole['seconds']:.0f} s ({whole['cpu']:.0f} s of"
                    line += f" processor time), of which training {whole['train']:.0f} s"
                print(line, flush=True)


if __name__ == "__main__":
    main()
