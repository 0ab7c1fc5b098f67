"""Targets that are texts: how cells are read, what is guessed, what a batch has."""

import json
import pickle

import numpy as np
import pytest

import sensorium
from sensorium.data.columns.infer import Ambiguous
from sensorium.data.columns.parse import objects
from sensorium.data.records import Records, load
from sensorium.data.targets import TARGETS, guess_target
from sensorium.data.targets.tokens import Tokens
from sensorium.errors import UserError

TEXTS = [f"{count} small {colour} boats on a {sea} sea" for count in "123" for colour in ("red", "blue", "old")
         for sea in ("calm", "wide", "dark")]  # fmt: skip
KIND = TARGETS["text"]


def read(cells: list, **options) -> sensorium.Table:
    records = {"about": [f"row {row % 5} of this" for row in range(len(cells))], "says": cells}
    return sensorium.read(records, **{"target": {"says": "text"}} | options)


def test_a_cell_is_one_text_or_several():
    cells, wrong = KIND.convert(
        objects([" A dog. ", ["A dog.", "One dog."], '["A dog.", "One dog."]', None, 12, "[sic]"])
    )
    assert not wrong
    assert cells.tolist() == [["A dog."], ["A dog.", "One dog."], ["A dog.", "One dog."], None, ["12"], ["[sic]"]]


@pytest.mark.parametrize("cell", [["A dog.", " "], [], "  ", '["A dog.", '])
def test_an_empty_reference_is_named_by_row_and_column(cell):
    with pytest.raises(UserError, match=r"Row 3, column 'says'.*(empty|list of texts)"):
        read(["A dog.", "Two dogs.", cell])


def test_one_text_alone_cannot_be_learned():
    with pytest.raises(
        UserError, match="'says'.* is the text 'A dog.' in every row that has it; learning needs at least two"
    ):
        read(["A dog."] * 4)


def test_sentences_are_guessed_and_nothing_that_was_guessed_before():
    guess = guess_target(objects(TEXTS))
    assert guess.kind == "text" and guess.reason == "27 different sentences in 27 values"
    assert (
        sensorium.read({"about": [str(row % 5) for row in range(27)], "says": TEXTS}, target="says")
        .schema.targets[0]
        .kind
        == "text"
    )
    assert guess_target(objects(TEXTS[:20])).kind == "class"  # few
    assert guess_target(objects([["a", "b"]] * 30)).kind == "labels"
    assert guess_target(objects([f"{text}|b" for text in TEXTS])).kind == "labels"
    for listed in ([f"word{row}" for row in range(30)], [f"red{row}, big, blue one" for row in range(30)]):
        with pytest.raises(Ambiguous):
            guess_target(objects(listed))


def test_a_text_input_beside_a_text_target_is_read_as_an_input():
    table = sensorium.read({"question": TEXTS, "says": TEXTS[::-1]}, target={"says": "text"})
    assert table.cells("question", "text")[0] == TEXTS[0] and table.cells("says", "text")[0] == [TEXTS[-1]]
    assert table.value(0, table.schema.inputs[0]) == TEXTS[0]


def test_a_batch_has_every_reference_padded_to_the_longest(tmp_path):
    cells = [*TEXTS, None, [TEXTS[0], "1 boat"]]
    table = read(cells)
    tokens = Tokens.train(TEXTS, 32)
    records = Records(table, {"says": tokens})
    column = pickle.loads(pickle.dumps(records.targets["says"]))
    rows = np.array([28, 27, 0])
    target = column(rows)
    assert target["mask"].tolist() == [True, False, True]
    assert target["weight"].tolist() == [[0.5, 0.5], [0.0, 0.0], [1.0, 0.0]]
    spelled = [[tokens.spell(text) for text in texts] for texts in target["tokens"].tolist()]
    assert spelled == [[TEXTS[0], "1 boat"], ["", ""], [TEXTS[0], ""]]
    lengths = [[len(tokens(TEXTS[0])), len(tokens("1 boat"))], [0, 0], [len(tokens(TEXTS[0])), 0]]
    assert target["real"].sum(dim=2).tolist() == lengths and target["real"].shape[2] == max(map(max, lengths))
    (batch,) = load(records, [(rows, None)], workers=0)
    assert (batch.targets["says"]["tokens"] == target["tokens"]).all()
    assert records.batch(rows[:0]).targets["says"]["tokens"].shape == (1, 1, 1)


def test_without_a_tokenizer_the_column_identifies_texts():
    table = read([TEXTS[0], None, TEXTS[1], TEXTS[0]])
    target = table.encode_target(table.schema.targets[0])
    ids = target["ids"].tolist()
    assert set(target) == {"mask", "ids"} and ids[0] == ids[3] != ids[2] and ids[1] == 0
    assert target["mask"].tolist() == [True, False, True, True]


def test_the_commonest_text_is_learned_and_saved_with_the_schema():
    table = read([TEXTS[3], TEXTS[1], TEXTS[1], [TEXTS[3], TEXTS[3]]])
    spec = KIND.fit(table.schema.targets[0], table, table, inherit=False)
    assert spec.commonest == TEXTS[3]
    assert json.loads(spec.model_dump_json())["commonest"] == TEXTS[3]
