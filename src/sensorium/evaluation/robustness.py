"""How a model does when one of its inputs is spoiled, more and more."""

from typing import Any, NamedTuple

from sensorium.metrics import Value


class Curve(NamedTuple):
    """A metric of a target at rising strengths of one corruption of one input; the first is the input as it is.

    strengths: as a reader reads them. without: the metric when the input is taken away.
    """

    target: str
    input: str
    corruption: str
    metric: str
    strengths: list[str]
    values: list[Value]
    without: Value

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        known = self._asdict()
        return known | {"values": [one._asdict() for one in self.values], "without": self.without._asdict()}
