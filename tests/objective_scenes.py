"""What has to be so before the mistakes of learning by more than the target."""

from collections.abc import Callable

from tests.reviews import put, rows, write

FIT = "data: {path: reviews.csv, target: {sentiment: class}}\nobjectives:\n"


def _without_photos(scene: object) -> None:
    """The table without that column."""
    write("reviews.csv", [{name: cell for name, cell in row.items() if name != "photo"} for row in rows(24)])


def _other_classes(scene: object) -> None:
    """The table whose classes are called otherwise."""
    write("reviews.csv", [row | {"sentiment": {"good": "good", "bad": "fine"}[row["sentiment"]]} for row in rows(24)])


SCENES: dict[str, Callable[[object], None]] = {
    "An objective has an unknown setting": lambda scene: put(
        "fit.yaml", f"{FIT}- {{name: triplet, config: {{margins: 0.3}}}}\n"
    ),
    "An objective learns from a teacher that is not named": lambda scene: put(
        "fit.yaml", f"{FIT}- name: distillation\n"
    ),
    "The teacher reads a column that the table lacks": _without_photos,
    "The teacher knows other classes": _other_classes,
}
