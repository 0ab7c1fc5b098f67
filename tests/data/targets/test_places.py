import math

import pytest

from sensorium.data.targets.places import (
    Place,
    location_tokens,
    pixel_points,
    place_record,
    read_places,
    relative_points,
    spell_places,
)

FROG = ["frog", "<loc_1>", "<loc_2>", "<loc_5>", "<loc_6>"]


def read(pieces, **options):
    return read_places(pieces, [0.0] * len(pieces), 10, **options)


def test_a_box_is_its_label_then_the_bins_of_its_corners_clamped_to_the_picture():
    places = [Place("frog", (0.0, 0.19, 0.5, 1.0)), Place("big cat", (-0.1, 0.2, 0.3, 1.7))]
    spelled = "frog<loc_0><loc_1><loc_5><loc_9>big cat<loc_0><loc_2><loc_3><loc_9>"
    assert spell_places(places, 10) == spelled
    assert location_tokens(3) == ["<loc_0>", "<loc_1>", "<loc_2>"]


@pytest.mark.parametrize("bins", [7, 100, 1000])
@pytest.mark.parametrize("points", [(0.11, 0.2, 0.7, 0.93), (0.1, 0.2, 0.7, 0.2, 0.8, 0.4, 0.1, 0.3), (0.5,) * 6])
def test_what_is_spelled_is_read_within_half_a_bin(bins, points):
    spelled = spell_places([Place("猫", points)], bins)
    pieces = ["猫", *(f"<{piece}" for piece in spelled.split("<")[1:])]
    (place,), malformed = read_places(pieces, [0.0] * len(pieces), bins)
    assert malformed == 0 and place.label == "猫"
    assert place.points == pytest.approx(points, abs=0.501 / bins)


def test_scores_are_the_geometric_means_of_the_right_tokens():
    logprobs = [math.log(p) for p in (0.5, 0.125, 0.9, 0.4, 0.9, 0.4)]
    (place,), _ = read_places(["fr", "og", *FROG[1:]], logprobs, 10)
    assert place.label == "frog"
    assert place.label_score == pytest.approx(0.25)
    assert place.score == pytest.approx(0.6)


@pytest.mark.parametrize(
    "wrong",
    [
        ["cat", "<loc_1>", "<loc_2>", "<loc_3>"],  # too few
        ["cat", "<loc_1>", "<loc_2>", "<loc_3>", "<loc_4>", "<loc_5>"],
        ["cat", "<loc_5>", "<loc_2>", "<loc_3>", "<loc_4>"],  # inverted
        ["cat", "<loc_1>", "<loc_2>", "<loc_3>", "<loc_10>"],  # no such bin
        ["cat", "<loc_1>", "<loc_2>", "<loc_3>", "<loc_4>", "<loc_5>", "<loc_6>", "<loc_7>"],
    ],
)
def test_a_malformed_stretch_is_counted_and_leaves_its_neighbours(wrong):
    places, malformed = read([*FROG, *wrong, *FROG])
    assert [place.label for place in places] == ["frog", "frog"] and malformed == 1


def test_a_label_that_nothing_follows_is_malformed_and_nothing_is_not():
    assert read(["cat"]) == ([], 1)
    assert read([*FROG, "cat"])[1] == 1
    assert read([]) == ([], 0)


def test_with_a_length_several_places_share_a_label():
    places, malformed = read([*FROG, *FROG[1:], "<loc_1>"], length=4)
    assert [place.label for place in places] == ["frog", "frog"] and malformed == 1


def test_shapes_and_the_box_around_them():
    polygon = Place("x", (0.1, 0.5, 0.7, 0.2, 0.8, 0.4))
    assert polygon.shape == "polygon" and polygon.box == (0.1, 0.2, 0.8, 0.5)
    assert Place("x", (0.0,) * 8).shape == "quad"
    assert Place("x", (0.0,) * 4).shape == "box"


def test_pixels_of_a_picture_of_any_shape_and_back():
    assert relative_points([32, 50, 64, 100], (64, 200)) == (0.5, 0.25, 1.0, 0.5)
    assert pixel_points((0.5, 0.25, 1.0, 0.5), (64, 200)) == [32, 50, 64, 100]
    record = place_record(Place("frog", (0.5, 0.25, 1.0, 0.5), 0.123456, 0.5), (64, 200))
    assert record == {"label": "frog", "box": [32, 50, 64, 100], "score": 0.1235, "label_score": 0.5}
