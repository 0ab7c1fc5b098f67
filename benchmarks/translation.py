"""Translation as text to text: a made language pair with another order of words, and the captions of stamps.

    python benchmarks/translation.py [--sentences 5000] [--seed 0] [FIT OPTIONS ...]
    python benchmarks/translation.py --stamps SHARED/data/stamps/stamps.csv [--languages fr es] [FIT OPTIONS ...]

The made pair: the source has adjective, noun, verb, object, place; the target has place, subject, object and verb, its
adjectives follow their nouns and take the noun's gender, the verb takes the subject's number, and a question ends in a
particle. A fifth of the sentences, all different, is kept for the test: the share that is right to the letter.

Stamps: the English caption and the name of a language -> the caption in it, split by the English caption: chrF, beside
that of copying the English. Further options go to `sensorium fit`.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import sacrebleu

import sensorium

NOUNS = {"dog": ("kelu", 0), "bird": ("mira", 1), "child": ("dano", 0), "farmer": ("sirel", 1), "robot": ("botu", 0),
         "queen": ("lamia", 1), "fish": ("pesu", 0), "horse": ("tarma", 1)}  # fmt: skip
OBJECTS = {"apple": ("omi", 1), "book": ("liru", 0), "stone": ("goro", 0), "letter": ("sema", 1), "drum": ("bando", 0),
           "lamp": ("fira", 1)}  # fmt: skip
ADJECTIVES = {"old": "vek", "small": "min", "red": "rud", "happy": "joli", "heavy": "pond", "quiet": "tish"}
VERBS = {"sees": "vid", "takes": "pren", "likes": "lub", "carries": "port", "finds": "trov", "hides": "kash"}
PLACES = {"in the garden": "hortil", "at the river": "flumil", "on the hill": "montil", "in the house": "domil"}


def sentence(chance: random.Random) -> tuple[str, str]:
    """A sentence of the source language and of the target language."""
    many, asked = chance.random() < 0.4, chance.random() < 0.3
    noun, verb, thing = chance.choice(list(NOUNS)), chance.choice(list(VERBS)), chance.choice(list(OBJECTS))
    qualities = [chance.choice([*ADJECTIVES, None, None]) for _ in range(2)]
    place = chance.choice([*PLACES, None])
    # The source.
    plural = {"child": "children", "fish": "fish"}.get(noun, f"{noun}s")
    subject = " ".join(word for word in ("the", qualities[0], plural if many else noun) if word)
    patient = " ".join(word for word in ("the", qualities[1], thing) if word)
    stem = {"carries": "carry"}.get(verb, verb.removesuffix("s"))
    if asked:
        words = ["do" if many else "does", subject, stem, patient, place]
    else:
        words = [subject, stem if many else verb, patient, place]
    source = " ".join(word for word in words if word) + ("?" if asked else ".")
    # The target.
    subject_word, gender = NOUNS[noun]
    object_word, object_gender = OBJECTS[thing]
    phrase = [PLACES.get(place), subject_word + ("n" if many else "")]
    phrase.append(qualities[0] and ADJECTIVES[qualities[0]] + "oa"[gender] + ("n" if many else ""))
    phrase += [object_word + "m", qualities[1] and ADJECTIVES[qualities[1]] + "oa"[object_gender]]
    phrase += [VERBS[verb] + ("ent" if many else "it"), "ka" if asked else None]
    return source, " ".join(word for word in phrase if word) + ("?" if asked else ".")


def made_pairs(count: int, seed: int) -> pd.DataFrame:
    """`count` different sentences, in both languages."""
    chance, pairs = random.Random(seed), {}
    while len(pairs) < count:
        pairs.setdefault(*sentence(chance))
    return pd.DataFrame({"source": list(pairs), "target": list(pairs.values())})


def stamp_pairs(path: Path, languages: list[str]) -> pd.DataFrame:
    """The captions of the stamps in each language, with the English one."""
    stamps = pd.read_csv(path)
    frames = [
        pd.DataFrame({"source": stamps["en"], "language": language, "target": stamps[language]})
        for language in languages
    ]
    return pd.concat(frames).dropna().drop_duplicates().reset_index(drop=True)


def fit(train: pd.DataFrame, folder: Path, options: list[str]) -> Path:
    """A run that has learned to write `target`, and how long that took, printed."""
    train.to_csv(folder / "train.csv", index=False)
    kinds = {"source": "text", "language": "category"}
    columns = [argument for name in train if name in kinds for argument in ("--column", f"{name}={kinds[name]}")]
    command = [sys.executable, "-m", "sensorium.cli", "fit", folder / "train.csv", "--target", "target=text"]
    began = time.monotonic()
    subprocess.run(list(map(str, [*command, *columns, "--out", folder / "run", *options])), check=True)
    print(f"fitted in {time.monotonic() - began:.0f} s")
    return folder / "run"


def main() -> None:
    """Fits, writes, and prints the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=5000)
    parser.add_argument("--stamps", type=Path)
    parser.add_argument("--languages", nargs="+", default=["fr", "es"])
    parser.add_argument("--seed", type=int, default=0)
    arguments, options = parser.parse_known_args()
    options += ["--seed", str(arguments.seed)]
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.stamps is None:
            pairs = made_pairs(arguments.sentences, arguments.seed)
            units = np.arange(len(pairs))
        else:
            pairs = stamp_pairs(arguments.stamps, arguments.languages)
            units = pairs["source"].factorize()[0]
        drawn = np.random.default_rng(arguments.seed).permutation(units.max() + 1)
        test = drawn[units] < len(drawn) // 5
        if arguments.stamps is not None:
            pairs["source"] = pairs["source"].astype(str)
        run = fit(pairs[~test], Path(scratch), options)
        inputs = pairs[test].drop(columns="target").to_dict("records")
        texts = [record["target"]["decision"] for record in sensorium.load(run).predict(inputs)]
    truth = pairs["target"][test].tolist()
    right = np.mean([text == reference for text, reference in zip(texts, truth, strict=True)])
    print(f"right to the letter: {right:.3f} of {len(truth)}")
    for language in sorted(set(pairs.get("language", []))):
        rows = np.flatnonzero((pairs["language"][test] == language).to_numpy())
        references = [[truth[row] for row in rows]]
        ours, copied = (
            sacrebleu.corpus_chrf([written[row] for row in rows], references).score
            for written in (texts, pairs["source"][test].tolist())
        )
        print(f"{language}: chrF {ours:.1f}, of the English copied {copied:.1f} ({len(rows)} captions)")


if __name__ == "__main__":
    main()
