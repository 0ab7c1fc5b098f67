"""A column whose values repeat like a source is named with the score that holds them apart."""

import numpy as np
import pandas as pd
import pytest

from sensorium.data.near_copies import source_sentences
from sensorium.data.read import read
from sensorium.evaluation.held_apart import held_apart_sentence


def writers(kind: str) -> pd.DataFrame:
    """24 writers, each with words of their own and one label or level for all of their texts."""
    chance, words = np.random.default_rng(0), [f"word{number}" for number in range(400)]
    records = []
    for writer in range(24):
        own = chance.choice(words, 12)
        target = "ab"[writer % 2] if kind == "class" else writer % 2 + chance.random()
        records += [{"text": " ".join(chance.choice(own, 8)), "writer": f"w{writer}", "y": target} for _ in range(30)]
    return pd.DataFrame(records)


@pytest.mark.parametrize(("kind", "name"), [("class", "accuracy"), ("number", "R²")])
def test_the_score_is_said_with_writers_mixed_and_held_apart(kind, name):
    table = read(writers(kind), target={"y": kind}, quiet=True)
    assert list(source_sentences(table)) == ["writer"]
    sentence = held_apart_sentence(table, "writer")
    mixed, apart = (float(word.rstrip(".,")) for word in sentence.split() if word.lstrip("-")[0].isdigit())
    assert f"reaches {name} " in sentence and mixed > 0.9 and apart < mixed - 0.3


def test_nothing_is_said_of_a_table_without_a_target_or_with_few_sources():
    frame = writers("class")
    assert held_apart_sentence(read(frame, quiet=True), "writer") is None
    few = frame.assign(writer=frame["writer"].where(frame["writer"].isin(["w1", "w2"]), "w3"))
    assert held_apart_sentence(read(few, target="y", quiet=True), "writer") is None
