"""Places as files: JSON in the picture's own pixels, drawings, and what is left out."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import sensorium
from sensorium.data.read import read
from sensorium.data.schema import TargetSpec
from sensorium.errors import UserError
from sensorium.inference.places import PlacesOut, colour_of, draw_places, drawing_paths

FROG = {"label": "frog", "box": [30, 20, 60, 50], "score": 0.5, "label_score": 0.5}
SPEC = TargetSpec(name="things", kind="boxes", picture="picture")


def pictures(folder, count):
    """A table of small pictures."""
    names = [f"{number}.png" for number in range(count)]
    for name in names:
        Image.new("RGB", (8, 8), "white").save(folder / name)
    return read(pd.DataFrame({"picture": names}), root=folder, columns={"picture": "image"}, quiet=True)


def test_a_drawing_has_the_outline_in_the_label_s_colour_at_the_box():
    pixels = np.full((100, 300, 3), 255, dtype=np.uint8)
    drawn = np.asarray(draw_places(pixels, [FROG]))
    colour = tuple(int(colour_of("frog")[i : i + 2], 16) for i in (1, 3, 5))
    assert drawn.shape == (100, 300, 3)
    assert tuple(drawn[50, 45]) == colour and tuple(drawn[35, 45]) == (255, 255, 255)
    assert colour_of("frog") == colour_of("frog") and len({colour_of(str(n)) for n in range(40)}) > 5


def test_a_small_picture_is_enlarged_and_true_places_are_white():
    drawn = np.asarray(draw_places(np.full((64, 64, 3), 90, dtype=np.uint8), [], [FROG]))
    assert drawn.shape == (256, 256, 3) and tuple(drawn[80, 180]) == (255, 255, 255)


def test_drawings_of_several_records_are_files_of_a_folder_with_names_of_their_own(tmp_path):
    paths = drawing_paths(tmp_path / "drawn", ["a/1.png", "b/1.jpg", "c:d"])
    assert [path.name for path in paths.values()] == ["1.png", "1-2.png", "c_d.png"]
    assert drawing_paths(tmp_path / "x.jpg", ["a"]) == {"a": tmp_path / "x.jpg"}


def test_json_has_the_pictures_size_and_only_sure_places(tmp_path):
    rows = [
        {"key": "a", "things": json.dumps([FROG, FROG | {"score": 0.1}]), "things_size": (64, 32)},
        {"key": "b", "things": None, "things_size": None},
    ]
    files = PlacesOut(SPEC, tmp_path / "b.json", None, 0.4, pictures(tmp_path, 2))
    files.write([rows], None, tmp_path / "b.json", ".json")
    assert json.loads((tmp_path / "b.json").read_text()) == [
        {"key": "a", "width": 64, "height": 32, "boxes": [FROG]},
        {"key": "b", "width": None, "height": None, "boxes": []},
    ]
    files.write([], None, tmp_path / "empty.json", ".json")
    assert json.loads((tmp_path / "empty.json").read_text()) == []


@pytest.mark.parametrize(("out", "draw", "reason"), [("a.txt", None, "--out a.txt"), (None, "a.gif", "--draw a.gif")])
def test_a_file_of_another_kind_is_refused(out, draw, reason, tmp_path):
    with pytest.raises(UserError, match=reason):
        PlacesOut(SPEC, out, draw, 0, pictures(tmp_path, 1))


def test_drawings_have_room_and_take_the_place_of_no_picture(tmp_path):
    one, two = pictures(tmp_path, 1), pictures(tmp_path, 2)
    (tmp_path / "file").write_text("")
    for table, draw, reason in (
        (two, "a.png", "room for one picture"),
        (two, tmp_path, "take the place of the pictures"),
        (one, tmp_path / "0.png", "take the place of the pictures"),
        (two, tmp_path / "file", "is a file"),
    ):
        with pytest.raises(UserError, match=reason):
            PlacesOut(SPEC, None, draw, 0, table)
    PlacesOut(SPEC, None, tmp_path / "drawn.PNG", 0, one)
    with pytest.raises(UserError, match="from 0 to 1"):
        PlacesOut(SPEC, None, None, float("nan"), one)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A fit on pictures of two shapes, each with one black square."""
    folder, rows = tmp_path_factory.mktemp("places"), []
    for number in range(24):
        size = (48, 32) if number % 2 else (32, 64)
        left, top = number % 4 * 4, number % 3 * 4
        picture = Image.new("RGB", size, "white")
        picture.paste("black", (left, top, left + 12, top + 12))
        picture.save(folder / f"{number}.png")
        things = [{"label": "square", "box": [left, top, left + 12, top + 12]}]
        rows.append({"picture": f"{number}.png", "things": json.dumps(things)})
    pd.DataFrame(rows).to_csv(folder / "scenes.csv", index=False)
    head = {"bins": 16, "decoder": {"layers": 1, "context": 32}}
    return folder, sensorium.fit(
        folder / "scenes.csv", folder / "run", target={"things": "boxes"}, test=0.3, epochs=2, refit=False,
        recipe={
            "inputs": {"picture": {"encoder": "image_conv", "config": {"width": 16, "depth": 1, "size": 16}}},
            "targets": {"things": {"config": head}},
        },
        quiet=True,
    )  # fmt: skip


def test_a_run_is_judged_by_map_and_its_report_draws(run):
    folder, fitted = run
    figures = fitted.metrics["targets"]["things"]
    assert {"map_50", "map", "accuracy_50", "ap_50 square", "neg_place_loss"} <= figures.keys()
    assert figures["map_50"]["chance"] is not None
    assert "places written where there are" in fitted.metrics["written"]["things"]["sentence"]
    assert "true ones are white" in (folder / "run" / "report.html").read_text()


def test_a_run_writes_json_tables_and_drawings_and_loads(run, tmp_path):
    folder, _ = run
    out, drawn = tmp_path / "boxes.json", tmp_path / "drawn"
    sensorium.write(folder / "run", [folder / "0.png", folder / "1.png"], out, draw=drawn)
    records = json.loads(out.read_text())
    assert [(record["width"], record["height"]) for record in records] == [(32, 64), (48, 32)]
    assert sorted(path.name for path in drawn.iterdir()) == ["0.png", "1.png"]
    frame = sensorium.predict(folder / "run", folder / "scenes.csv")
    assert len(frame) == 24 and all(isinstance(json.loads(cell), list) for cell in frame["things"])


def test_an_absent_picture_has_no_places_and_there_is_one_list_a_picture(run, tmp_path):
    folder, _ = run
    frame = sensorium.write(
        folder / "run", pd.DataFrame({"picture": [str(folder / "0.png"), None]}), draw=tmp_path / "drawn", least=0.001
    )
    assert frame["things"].notna().tolist() == [True, False]
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["1.png"]
    with pytest.raises(UserError, match="one list"):
        sensorium.write(folder / "run", folder / "scenes.csv", best=2, beams=2)


def test_draw_is_refused_where_nothing_is_placed(run, tmp_path):
    folder, _ = run
    with pytest.raises(UserError, match="room for one picture"):
        sensorium.write(folder / "run", folder / "scenes.csv", draw=tmp_path / "a.png")
