"""The names by which a column or a folder says that a record is held out of training."""

HELD_OUT = (
    "test",
    "testing",
    "validation",
    "valid",
    "val",
    "dev",
    "eval",
    "evaluation",
    "heldout",
    "held-out",
    "held_out",
    "holdout",
)
