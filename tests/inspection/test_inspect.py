"""`inspect`: each fault alone gives its finding and no other, twelve together are all found, and none gives none."""

import json
import sys
import time
from pathlib import Path

import pytest

from sensorium.errors import UserError
from sensorium.inspection import estimate
from sensorium.inspection.inspect import Inspection, inspect
from tests.inspection import clinic
from tests.reviews import copy, sensorium


@pytest.fixture(scope="module")
def sound_table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[clinic.Record]]:
    folder = tmp_path_factory.mktemp("clinic")
    return folder, clinic.make(folder / "made")


@pytest.fixture
def made(sound_table, tmp_path: Path) -> tuple[Path, list[clinic.Record]]:
    """A folder of the files and the records, to plant faults in."""
    source, records = sound_table
    copy(source / "made", tmp_path / "here")
    return tmp_path / "here", [dict(record) for record in records]


def looked(folder: Path, records: list[clinic.Record], monkeypatch: pytest.MonkeyPatch, **options) -> Inspection:
    """What `inspect` says of the records, without a plan, which takes its time."""
    monkeypatch.setattr("sensorium.inspection.inspect.plan", lambda *rest: None)
    asked = {"target": "bird", "group": "speaker", "split": "part", "held_out": "test"} | options
    return inspect(clinic.write(folder, records), workers=0, **asked)


def test_a_table_without_fault_gives_no_finding(made, monkeypatch):
    assert looked(*made, monkeypatch).findings == []


@pytest.mark.parametrize("name", clinic.PLANTS)
def test_each_fault_alone_gives_its_finding_and_no_other(name, made, monkeypatch):
    folder, records = made
    plant, kind, column = clinic.PLANTS[name]
    plant(folder, records)
    assert [(one.kind, one.column) for one in looked(folder, records, monkeypatch).findings] == [(kind, column)]


TWELVE = (
    "broken picture", "missing file", "empty sound", "copied picture", "compressed picture", "near text",
    "leaking number", "constant column", "row counter", "rare class", "group on both sides", "placeholder",
    "spelling", "absent by target", "extreme value", "mixed dates",
)  # fmt: skip


def test_all_faults_together_are_all_found(made, monkeypatch):
    folder, records = made
    for name in TWELVE:
        clinic.PLANTS[name][0](folder, records)
    found = {(one.kind, one.column) for one in looked(folder, records, monkeypatch).findings}
    assert {clinic.PLANTS[name][1:] for name in TWELVE} <= found


def test_every_broken_file_is_named(made, monkeypatch):
    folder, records = made
    for name in ("broken picture", "missing file", "empty sound"):
        clinic.PLANTS[name][0](folder, records)
    found = looked(folder, records, monkeypatch).findings
    assert [(one.severity, one.column, one.rows) for one in found] == [
        ("error", "photo", [11]), ("error", "photo", [12]), ("error", "voice", [13]),
    ]  # fmt: skip
    assert "photos/11.png: there is no such file" in found[1].sentence


def test_without_the_extra_what_needs_it_is_left_out_and_said(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "ftfy", None)
    folder, records = made
    for name in ("encoding damage", "copied picture"):
        clinic.PLANTS[name][0](folder, records)
    findings = looked(folder, records, monkeypatch).findings
    assert [finding.kind for finding in findings] == ["duplicate-across-split", "not-looked-for"]
    assert "pip install 'sensorium[inspect]'" in findings[1].sentence


def test_all_that_a_step_of_training_does_is_in_the_time_of_the_plan(made, monkeypatch):
    calls = []

    def slow(name):
        def call(*arguments):
            calls.append((name, arguments[-1]))
            time.sleep(0.05)

        return call

    monkeypatch.setattr("sensorium.training.processes.Processes.clip", slow("clip"))
    monkeypatch.setattr("sensorium.training.averaging.Average.update", slow("average"))
    folder, records = made
    plan = inspect(
        clinic.write(folder, records), workers=0, target="bird", group="speaker", clip=0.25, averaging="ema",
        loss_weights="uncertainty",
    ).plan  # fmt: skip
    assert calls[:2] == [("clip", 0.25), ("average", 1)] and len(calls) == 2 * estimate._STEPS
    assert plan.step_ms > 100 and plan.step_ms > plan.read_ms
    assert plan.seconds > plan.steps * 0.1


def test_every_ambiguous_column_is_named(made, monkeypatch):
    folder, records = made
    for row, record in enumerate(records):
        record["code"] = f"a{row % 40}"
        record["look"] = f"photos/{row}.png" if row % 2 else "see below"
    found = looked(folder, records, monkeypatch).findings
    told = {one.column: one.sentence for one in found if one.kind == "ambiguous-column"}
    assert told.keys() == {"code", "look"}
    assert "--column 'look=image'" in told["look"]


def test_the_command_prints_objects(made, monkeypatch):
    folder, records = made
    clinic.PLANTS["missing file"][0](folder, records)
    monkeypatch.setattr(estimate, "_STEPS", 2)
    said = sensorium(f"inspect {clinic.write(folder, records)} --target bird --group speaker --split part=test --json")
    told = json.loads(said.out)
    assert said.code == 0
    assert [one["kind"] for one in told["findings"]] == ["broken-file"]
    assert set(told["findings"][0]) == {"kind", "severity", "column", "rows", "sentence"}
    assert sum(told["plan"]["records"].values()) == clinic.COUNT - 1
    assert told["plan"]["seconds"] > 0 and told["plan"]["encoders"]["photo"] == "image_conv (from scratch)"


def test_the_command_prints_tables(made, monkeypatch):
    folder, records = made
    clinic.PLANTS["constant column"][0](folder, records)
    monkeypatch.setattr(estimate, "_STEPS", 2)
    said = sensorium(f"inspect {clinic.write(folder, records)} --target bird --group speaker --split part=test")
    assert said.code == 0
    for title in ("What the columns are", "What is absent together", "Classes of 'bird'", "Sizes", "What fit would do"):
        assert title in said.out
    assert "constant-column: Column 'country' is 'Norway' in every row" in said.out
    assert "█" in said.out


def test_a_table_that_cannot_be_read_stops_it(tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        inspect(tmp_path / "no.csv", target="bird")


def test_a_misnamed_target_stops_it(made):
    folder, records = made
    with pytest.raises(UserError, match="no column 'brid'; did you mean 'bird'"):
        inspect(clinic.write(folder, records), target="brid")
