"""Sets of inputs, and what each input adds over all of them: Shapley values."""

from collections.abc import Mapping
from itertools import combinations
from math import factorial
from typing import TypeVar

from sensorium.data.schema import MOST_INPUTS

Coalition = tuple[str, ...]
"""The inputs that a prediction may use, in the order of the schema; () is nobody, which gives the training prior."""

Number = TypeVar("Number")  # a float, or an array of floats, one a resample


def coalitions(inputs: Coalition) -> list[Coalition]:
    """All inputs, none, each alone, each left out, in this order; of at most six inputs also every other subset."""
    subsets = [inputs, (), *((name,) for name in inputs), *(without(inputs, name) for name in inputs)]
    if len(inputs) <= MOST_INPUTS:
        subsets += [subset for size in range(len(inputs) + 1) for subset in combinations(inputs, size)]
    return list(dict.fromkeys(subsets))


def without(inputs: Coalition, name: str) -> Coalition:
    """The inputs but `name`."""
    return tuple(input_name for input_name in inputs if input_name != name)


def shapley(worth: Mapping[Coalition, Number], inputs: Coalition) -> dict[str, Number]:
    """Each input's Shapley value: what it adds to the `worth` of a coalition, averaged over all orders of joining.

    `worth` has every subset of `inputs`. The values add up to the worth of all inputs less that of none (Shapley 1953,
    "A value for n-person games").
    """
    count = len(inputs)
    values = {}
    for name in inputs:
        remaining = without(inputs, name)
        values[name] = sum(
            factorial(size)
            * factorial(count - size - 1)
            / factorial(count)
            * (worth[_joined(inputs, team, name)] - worth[team])
            for size in range(count)
            for team in combinations(remaining, size)
        )
    return values


def _joined(inputs: Coalition, team: Coalition, name: str) -> Coalition:
    return tuple(input_name for input_name in inputs if input_name in team or input_name == name)
