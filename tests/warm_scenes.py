"""What has to be so before the mistakes of going on from a trained run."""

from collections.abc import Callable

from tests.reviews import rows, write

SCENES: dict[str, Callable[[object], None]] = {
    "A new record has text in a column of numbers": lambda scene: write(
        "new.csv", [row | {"price": "cheap"} if index == 1 else row for index, row in enumerate(rows(8, 24))]
    ),
    "The old table is another one": lambda scene: write("more.csv", rows(12, 24)),
}
