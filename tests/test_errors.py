"""Words of messages."""

import pytest

from sensorium.errors import UserError, counted, lookup


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
