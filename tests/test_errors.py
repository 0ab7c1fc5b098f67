"""Words of messages."""

import pickle

import pytest

from sensorium.errors import RecordError, UserError, counted, lookup


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 records"), (1, "1 record"), (2, "2 records"), (2000, "2,000 records")]
)
def test_one_record_is_no_records(count, said):
    assert counted(count, "record") == said


def test_lookup_gives_the_class_or_suggests_the_nearest_name():
    classes = {"concat": dict, "gated": list}
    assert lookup(classes, "fusion", "gated") is list
    with pytest.raises(UserError, match="^There is no fusion 'gate'; did you mean 'gated'\\? Known: concat, gated.$"):
        lookup(classes, "fusion", "gate")


def test_a_message_is_one_that_a_person_can_read_and_is_the_same_from_a_worker():
    error = UserError(f"There is no column 'x'; known: {', '.join(map(str, range(10_000)))}; choose one.")
    assert len(str(error)) < 2100
    assert str(error).startswith("There is no column 'x'; known: 0, 1") and str(error).endswith("9999; choose one.")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    record = RecordError(3, "c" * 5000, "v" * 5000, "it is broken")
    assert len(str(pickle.loads(pickle.dumps(record)))) < 2100
