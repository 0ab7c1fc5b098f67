"""A filter is read to its end or refused, and an empty answer says why it is empty."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from sensorium.errors import UserError
from sensorium.indexing import Index
from sensorium.indexing.printing import hits_table


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Ten records with a price and a colour that has a semicolon and a comment's sign in it."""
    rows = pa.table(
        {
            "key": list("abcdefghij"),
            "vector": pa.array(np.eye(10, 4, dtype=np.float32).clip(0.1).tolist(), pa.list_(pa.float32())),
            "price": np.arange(10.0),
            "colour": ["red; -- it's", "blue"] * 5,
        }
    )
    columns = {"price": pa.float64(), "colour": pa.string()}
    return Index.of_vectors([rows], tmp_path / "x.lance", dim=4, columns=columns)


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("price > 5; DELETE", "has ';'"),
        ("price > 5;", "has ';'"),
        ("price > 5 -- AND price < 7", "has '--'"),
        ("price > 5 /* AND price < 7 */", "has '/\\*'"),
        ("price > 5 price < 7", "not understood: Expected"),
        ("price > 5 LIMIT 1", "not understood: Expected"),
        ("price > 5, price < 7", "not understood"),
        ("price > 5) OR (price < 7", "closes a bracket"),
        ("price > 5)", "closes a bracket"),
        ("colour = 'red", "Unterminated string"),
        ("`price > 5", "close delimiter"),
        ("prize > 5", "no column 'prize'; did you mean 'price'"),
    ],
)
def test_what_follows_a_condition_is_refused(index: Index, where: str, sentence: str):
    with pytest.raises(UserError, match=sentence):
        index.search(np.ones(4), where=where)
    with pytest.raises(UserError, match=sentence):
        index.delete(where=where)
    assert len(index) == 10


def test_signs_within_quotes_are_text(index: Index):
    assert len(index.search(np.ones(4), where="colour = 'red; -- it''s' AND (`price` > 2 OR \"price\" < 1)")) == 4


def test_an_empty_answer_says_why(index: Index):
    hits = index.search(np.ones(4), where="price > 99")
    assert hits_table(hits, len(index)).caption == "No record is left by the filter."
    index.delete(where="true")
    assert "no records" in str(hits_table(index.search(np.ones(4)), len(index)).caption)
    assert "no records" in str(hits_table(index.search(np.ones(4), where="price > 1"), len(index)).caption)
