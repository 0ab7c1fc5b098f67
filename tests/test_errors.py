"""Words of messages."""

import pytest

from sensorium.errors import counted


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 records"), (1, "1 record"), (2, "2 records"), (2000, "2,000 records")]
)
def test_one_record_is_no_records(count, said):
    assert counted(count, "record") == said
