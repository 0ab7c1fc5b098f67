"""What a killed writer of a folder left goes with the next write."""

import pytest

from sensorium.files import whole_folder


@pytest.mark.parametrize(
    "left",
    [".model.ab12cd_9.tmp", "..model.ab12cd_9.tmp.zz00zz00.tmp", "..model.ab12cd_9.tmp.old"],
    ids=["its own", "of a folder written inside it", "set aside inside it"],
)
def test_remains_of_a_killed_writer_go_and_nothing_else_does(tmp_path, left):
    others = ("..modes.ab12cd_9.tmp.zz00zz00.tmp", ".model.note", "model.tmp")
    for name in (left, *others):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text("half")
    with whole_folder(tmp_path / "model") as new, whole_folder(new) as inner:
        (inner / "weights").write_text("whole")
    assert (tmp_path / "model" / "weights").read_text() == "whole"
    assert {path.name for path in tmp_path.iterdir()} == {"model", *others}
