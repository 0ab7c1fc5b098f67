import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tokenizers import AddedToken

from sensorium import read
from sensorium.data.columns.parse import objects
from sensorium.data.schema import TargetSpec
from sensorium.data.targets.boxes import BoxesColumn, BoxesTarget, dump_places, load_places, move_places, parse_places
from sensorium.data.targets.places import Place, location_tokens
from sensorium.data.targets.text import hash_texts
from sensorium.data.targets.tokens import Tokens
from sensorium.errors import UserError

FROG = {"label": "frog", "box": [1, 2, 5, 6]}


def tokens(bins: int = 10) -> Tokens:
    processor = Tokens.train(["frog"] * 3, 64)
    processor.tokenizer.add_tokens(
        [AddedToken(token, normalized=False, special=False) for token in location_tokens(bins)]
    )
    return processor


@pytest.mark.parametrize("cell", [[FROG], json.dumps([FROG]), np.array([FROG])])
def test_a_cell_is_a_list_or_json(cell):
    assert parse_places(cell) == [Place("frog", (1, 2, 5, 6))]
    assert parse_places([]) == parse_places("[]") == []


def test_quads_and_polygons_may_be_pairs():
    quad, polygon = (
        {"label": "a", "quad": [[0, 0], [4, 0], [4, 3], [0, 3]]},
        {"label": "b", "polygon": [0, 0, 4, 0, 4, 3]},
    )
    assert [place.shape for place in parse_places([quad, polygon])] == ["quad", "polygon"]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("frog", "it is no JSON list"),
        (3, "it is no list"),
        ([{"box": [0, 0, 1, 1]}], 'has no "label"'),
        ([{"label": "frog"}], 'has no "box"'),
        ([{"label": "frog", "box": [0, 0, 1]}], "not 4 numbers"),
        ([{"label": "frog", "box": [0, 0, 1, None]}], "not 4 numbers"),
        ([{"label": "frog", "polygon": [0, 0, 1, 1]}], "not 6 or more"),
        ([{"label": "frog", "box": [5, 0, 1, 1]}], "empty or inverted"),
        ([{"label": "frog", "box": [1, 0, 1, 1]}], "empty or inverted"),
        ([{"label": "<loc_3>", "box": [0, 0, 1, 1]}], "spells a location"),
        ([{"label": "frog", "box": [10**400, 0, 1, 1]}], "not 4 numbers"),
        ("[" * 100_000, "it is no JSON list"),
    ],
)
def test_a_cell_that_is_none_says_why(cell, reason):
    with pytest.raises(ValueError, match=reason):
        parse_places(cell)


def test_json_round_trip_keeps_points_and_scores():
    places = [Place("猫", (0.1, 1 / 3, 0.7, 0.9), 0.25, 0.5), Place("b", (0.1, 0.2, 0.3, 0.4, 0.5, 0.1))]
    assert load_places(dump_places(places, scores=True)) == places


def table(folder, cells, sizes=((64, 32),)):
    pictures = []
    for number, _ in enumerate(cells):
        Image.new("RGB", sizes[number % len(sizes)]).save(folder / f"{number}.png")
        pictures.append(f"{number}.png")
    frame = pd.DataFrame({"picture": pictures, "things": [json.dumps(cell) for cell in cells]})
    read_table = read(frame, {"things": "boxes"}, root=folder, quiet=True)
    spec = TargetSpec(name="things", kind="boxes", picture="picture")
    return read_table.under(read_table.schema.model_copy(update={"targets": [spec]}))


def test_pixels_become_shares_of_each_record_s_own_picture(tmp_path):
    lists = [[{"label": label, "box": [16, 8, 32, 16]}] for label in "ab"]
    cells = table(tmp_path, lists, sizes=((64, 32), (32, 16))).cells("things", "boxes")
    assert cells[0] == [Place("a", (0.25, 0.25, 0.5, 0.5))]
    assert cells[1] == [Place("b", (0.5, 0.5, 1.0, 1.0))]


def test_without_a_picture_places_stay_in_pixels(tmp_path):
    records = table(tmp_path, [[FROG], []])
    bare = records.schema.targets[0].model_copy(update={"picture": None})
    cells = records.under(records.schema.model_copy(update={"targets": [bare]})).cells("things", "boxes")
    assert cells[0] == [Place("frog", (1, 2, 5, 6))]


def test_a_place_partly_outside_is_cut_with_a_warning_and_one_outside_names_its_row(tmp_path):
    reaching = [{"label": "a", "box": [-8, 8, 32, 40]}]
    with pytest.warns(UserWarning, match="cut at the edge of the picture: 1 place\\."):
        cells = table(tmp_path, [reaching, [FROG]]).cells("things", "boxes")
    assert cells[0][0].points == (0.0, 0.25, 0.5, 1.0)
    outside = [{"label": "a", "box": [70, 8, 90, 20]}]
    with pytest.raises(UserError, match="Row 2, column 'things'.*lies outside its picture of 64 x 32"):
        table(tmp_path, [[FROG], outside]).cells("things", "boxes")


def test_a_column_of_lists_of_places_is_guessed():
    values = objects([json.dumps([FROG]), "[]", None])
    assert BoxesTarget.infer(values).kind == "boxes"
    assert BoxesTarget.infer(objects(["[1, 2]"])) is None
    assert BoxesTarget.infer(objects(["[]"])) is None


def test_tensors_are_the_tokens_of_the_spelled_places_and_nothing_here_is_an_end():
    processor = tokens()
    right, left = Place("frog", (0.5, 0.1, 0.9, 0.4)), Place("frog", (0.1, 0.5, 0.3, 0.9))
    batch = BoxesColumn(objects([[right, left], [], None]), processor)(np.arange(3))
    assert batch["mask"].tolist() == [True, True, False]
    first = [processor.tokenizer.id_to_token(token) for token in batch["tokens"][0, 0].tolist()]
    assert first[1:5] == ["<loc_1>", "<loc_5>", "<loc_3>", "<loc_9>"]  # the left one first
    assert batch["tokens"][1, 0, 0] == processor.end[0] and batch["real"][1].sum() == 1


def test_tensors_have_the_boxes_and_which_labels_they_have():
    processor = tokens()
    right = Place("frog", (0.5, 0.1, 0.9, 0.4))
    slanted = Place("toad", (0.1, 0.5, 0.3, 0.6, 0.2, 0.9))
    batch = BoxesColumn(objects([[right, slanted], [], None]), processor)(np.arange(3))
    assert batch["boxes"][0].flatten().tolist() == pytest.approx([0.5, 0.1, 0.9, 0.4, 0.1, 0.5, 0.3, 0.9])
    assert batch["labels"].tolist() == [[hash_texts(["frog"]), hash_texts(["toad"])], [0, 0], [0, 0]]
    moved = BoxesColumn(objects([[right]]), processor).moved(
        np.arange(1), lambda row, points: [x + 0.05 for x in points]
    )
    assert moved["boxes"][0, 0].tolist() == pytest.approx([0.55, 0.15, 0.95, 0.45])


def test_boxes_move_with_their_picture_and_leave_with_it():
    places = [Place("a", (0.1, 0.2, 0.3, 0.4)), Place("b", (0.0, 0.0, 0.05, 0.1))]
    mirrored = move_places(places, lambda points: [1 - x if n % 2 == 0 else x for n, x in enumerate(points)])
    assert mirrored[0].points == pytest.approx((0.7, 0.2, 0.9, 0.4))
    shifted = move_places(places, lambda points: [x - 0.1 for x in points])
    assert [place.label for place in shifted] == ["a"]


def test_what_is_usual_is_each_label_s_median_box_with_its_share(tmp_path):
    cells = [[{"label": "a", "box": [0, 0, 16 * n, 16]}] for n in (1, 2, 3)] + [[]]
    records = table(tmp_path, cells)
    spec = BoxesTarget.fit(records.schema.targets[0], records, records, False)
    assert load_places(spec.commonest) == [Place("a", (0, 0, 0.5, 0.5), 0.75)]
