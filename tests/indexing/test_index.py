"""An index finds what comparing all vectors finds, of the records that it should hold, by any input of its model."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

import sensorium
from sensorium.errors import RecordError, UserError
from sensorium.indexing import Index
from sensorium.indexing import embedding as embedding_room
from sensorium.indexing.building import Work
from sensorium.model import Model
from tests import reviews
from tests.indexing import shop

PICTURES = [f"{'shoes/' if index % 3 == 0 else ''}{index:02}.png" for index in range(30)]


@pytest.fixture
def pairs(here: Path) -> Model:
    return sensorium.load("runs/pairs")


def rows(index: Index) -> dict[str, dict]:
    """The table's rows by key."""
    found = index.store.table.to_arrow().to_pylist()
    assert len({row["key"] for row in found}) == len(found)
    return {row.pop("key"): row for row in found}


def said(command: str) -> reviews.Said:
    done = reviews.sensorium(command)
    assert done.code == 0, done.err
    return done


@pytest.mark.parametrize("query", [{"text": "a red shoe"}, {"image": "pictures/04.png"}])
def test_an_index_of_a_folder_agrees_with_numpy(pairs, query):
    index = Index.build(pairs, "pictures", "shop.lance")
    vectors = pairs.embed([{"image": f"pictures/{path}"} for path in PICTURES], "image")
    (asked,) = (pairs.embed([query], name)[0] for name in query)
    scores = vectors @ asked
    best = np.argsort(-scores)[:10]
    hits = index.search(query)
    assert [hit.key for hit in hits] == [PICTURES[place] for place in best]
    assert np.allclose([hit.score for hit in hits], scores[best], atol=1e-5)
    assert [hit.columns["folder"] for hit in hits] == [("." if place % 3 else "shoes") for place in best]
    assert [hit.key for hit in index.search(asked * 7, top=3)] == [hit.key for hit in hits[:3]]


def test_an_index_says_in_a_line_what_it_is(pairs):
    index = Index.build(pairs, shop.WARES, "shop.lance", key="sku")
    text = repr(index)
    assert text.startswith(f"Index of {len(index)} records: in shop.lance; input image; ") and "search exact" in text
    assert "price" in text and len(text) < 300
    assert "<td" in index._repr_html_() and "shop.lance" in index._repr_html_()


def test_a_tables_columns_are_kept_and_filtered_by(pairs):
    index = Index.build(pairs, shop.WARES, "shop.lance", key="sku")
    row = rows(index)["W-4"]
    assert np.linalg.norm(row.pop("vector")) == pytest.approx(1, abs=1e-6)
    assert row == {"image": "pictures/04.png", "price": 9.0, "stock": 4, "code": "004", "colour": "green"}
    hits = index.search({"text": "a red shoe"}, top=4, where="price < 20 AND colour = 'red'")
    assert {hit.key for hit in hits} == {"W-0", "W-3", "W-6", "W-9"}
    everything = index.search({"text": "a red shoe"}, top=100)
    assert [hit for hit in everything if hit.key in {one.key for one in hits}] == hits
    assert index.search({"text": "a red shoe"}, where="price < 0") == []


def test_records_that_lack_the_input_are_left_out_and_counted(pairs):
    records = [{"text": name} for name in shop.NAMES] + [{"text": None}, {"image": "pictures/01.png"}]
    index = Index.build(pairs, records, "texts.lance", input="text")
    assert len(index) == len(shop.NAMES)
    assert index.filled == (len(shop.NAMES), 2, 0, [], [])
    assert index.search({"text": "a green chair"}, top=1)[0].key == "4"


def test_unreadable_files_stop_it_or_are_set_aside(here):
    reviews.put("pictures/04.png", "no picture")
    stopped = reviews.sensorium("index runs/pairs pictures --out shop.lance")
    assert stopped.code == 2
    assert "04.png" in stopped.err
    done = said("index runs/pairs pictures --out shop.lance --bad-records skip")
    assert "1 record set aside; bad_records.csv says why." in done.out
    assert reviews.cells("bad_records.csv")[0]["value"] == "04.png"
    assert rows(Index.open("shop.lance")).keys() == set(PICTURES) - {"04.png"}


def test_equal_contents_are_embedded_once_and_found_twice(pairs, monkeypatch):
    records = [{"text": name, "shelf": shelf} for shelf in "ab" for name in shop.NAMES]
    sizes, real = [], pairs.encode
    monkeypatch.setattr(pairs, "encode", lambda inputs: (sizes.append(len(inputs["text"]["mask"])), real(inputs))[1])
    index = Index.build(pairs, records, "texts.lance")
    assert sizes == [len(shop.NAMES)]
    first, second = index.search({"text": "a green chair"}, top=2)
    assert {first.columns["shelf"], second.columns["shelf"]} == {"a", "b"}
    assert first.score == second.score


def test_workers_change_nothing(here):
    for workers in (0, 2):
        said(f"index runs/pairs pictures --out of{workers}.lance --workers {workers}")
    one, two = (rows(Index.open(f"of{workers}.lance")) for workers in (0, 2))
    assert one == two


def test_another_model_is_refused(pairs):
    Index.build(pairs, "pictures", "shop.lance", run="runs/pairs")
    with pytest.raises(UserError, match=r"was made with another model .* use that one, or index again"):
        Index.open("shop.lance", sensorium.load("runs/other"))
    Path("runs/other").rename("runs/kept")
    Path("runs/pairs").rename("runs/moved")
    Path("runs/kept").rename("runs/pairs")
    with pytest.raises(UserError, match="was made with another model"):
        Index.open("shop.lance").search({"text": "a red shoe"})
    found = json.loads(said('search shop.lance "a red shoe" --run runs/moved --json').out)
    assert len(found["hits"]) == 10


def test_the_fingerprint_follows_weights_processors_and_projections(pairs):
    from sensorium.indexing.fingerprint import fingerprint

    plain = fingerprint(pairs)
    assert fingerprint(shop.model()) == plain
    changed = shop.model()
    changed.logit_scale.data += 1  # no embedding depends on it
    assert fingerprint(changed) == plain
    changed.projections["text"].linear.weight.data[0, 0] += 1e-3
    assert fingerprint(changed) != plain
    other = shop.model()
    other.encoders["text"].processor.max_tokens = 5
    other.encoders["text"].processor.tokenizer.enable_truncation(5)
    assert fingerprint(other) != plain


def test_records_are_added_replaced_and_removed(here):
    said(f"index runs/pairs {shop.WARES} --out shop.lance --key sku")
    before = rows(Index.open("shop.lance"))
    more = [
        {"image": "pictures/05.png", "sku": "W-4", "price": 1, "colour": "white"},
        {"image": "pictures/shoes/06.png", "sku": "W-99", "price": "", "colour": ""},
    ]
    shop.write(Path("more.csv"), more)
    said("index runs/pairs more.csv --out shop.lance --add")
    after = rows(Index.open("shop.lance"))
    assert after.keys() == before.keys() | {"W-99"}
    for new, old in (("W-4", "W-5"), ("W-99", "W-6")):  # the same picture, though in another batch
        assert np.allclose(after[new].pop("vector"), before[old].pop("vector"), atol=1e-6)
    assert after["W-4"] == before["W-5"] | {"image": "pictures/05.png", "price": 1, "stock": None, "code": None} | {
        "colour": "white"
    }
    assert after["W-99"] == before["W-6"] | dict.fromkeys(("price", "stock", "code", "colour"))
    same = before.keys() - {"W-4", "W-5", "W-6"}
    assert {key: after[key] for key in same} == {key: before[key] for key in same}
    assert said("unindex shop.lance --key W-99 --key W-4 --key none").out == (
        "2 records removed; 29 records left in shop.lance.\n"
    )
    assert json.loads(said("unindex shop.lance --where \"colour = 'red'\" --json").out)["removed"] == 10
    assert rows(Index.open("shop.lance")).keys() == {f"W-{n}" for n in range(30) if n % 3 and n != 4}


def test_a_key_with_quotes_is_removed_and_no_other(pairs):
    records = [{"text": name, "id": key} for name, key in zip(shop.NAMES, ["it's", "a, b", "c) OR (1=1"], strict=False)]
    index = Index.build(pairs, records, "texts.lance", key="id")
    assert index.delete(["c) OR (1=1"]) == 1
    assert index.delete(["it's"]) == 1
    assert rows(index).keys() == {"a, b"}


def test_odd_columns(pairs):
    odd = {"a.b": 1.5, "vector": "mine", "key": True, "Größe in cm": 3, "day": date(2026, 11, 22), "sizes": [1, 2]}
    index = Index.build(pairs, [{"text": name} | odd for name in shop.NAMES], "texts.lance")
    assert index.filled.left_out == ["sizes"]
    assert index.search({"text": "a green chair"}, top=1, where="`Größe in cm` = 3 AND a_b > 1")[0].columns == {
        "text": "a green chair", "a_b": 1.5, "vector 2": "mine", "key 2": True, "Größe in cm": 3,
        "day": "2026-11-22",
    }  # fmt: skip


def test_an_added_cell_of_another_kind_is_an_error_and_changes_nothing(pairs):
    index = Index.build(pairs, shop.WARES, "shop.lance", key="sku")
    before = rows(index)
    with pytest.raises(UserError, match="Row 1, column 'price' of the table: 'cheap' is not a number"):
        index.add([{"image": "pictures/05.png", "sku": "W-4", "price": "cheap"}])
    assert rows(index) == before


def test_bad_records_do_not_undo_what_was_done(pairs, monkeypatch):
    monkeypatch.setattr(embedding_room, "BATCH", 4)
    reviews.put("pictures/shoes/09.png", "no picture")  # the order is by path: 00.png ... 29.png, shoes/00.png ...
    with pytest.raises(RecordError):
        Index.build(pairs, "pictures", "shop.lance")
    with pytest.raises(UserError, match="is not finished; give the 'sensorium index' command"):
        Index.open("shop.lance")
    index = Index.build(pairs, "pictures", "shop.lance", work=Work("skip"))
    assert index.filled.known >= 20
    assert rows(index).keys() == set(PICTURES) - {"shoes/09.png"}


def test_without_the_package_the_sentence_names_the_extra(pairs, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(UserError, match=r"pip install 'sensorium\[search\]'"):
        Index.build(pairs, "pictures", "shop.lance")
