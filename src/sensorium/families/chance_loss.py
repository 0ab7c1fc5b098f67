"""What a contrastive loss is while nothing is learned, and a warning when it stays there."""

import math
from typing import Any, NamedTuple

from sensorium.console import Console, StepCallback

NEAR = 0.97  # of the loss at chance: above it nothing worth the name was learned
STEPS = 50  # so many have to be done before that can be said


class ChanceLoss(NamedTuple):
    """The loss of a model that cannot tell records apart, from how many it has to tell apart in a step. loss: softmax
    or sigmoid. pair_counts: by pair of inputs, how many training records have both. records: of training. alike: the
    share of all pairs of records that have one label."""

    loss: str
    pair_counts: list[int]
    records: int
    batch_size: int
    alike: float = 0.0

    @property
    def rows(self) -> int:
        """How many records of a whole batch have both inputs, as a rule: those of the first pair."""
        return round(self.batch_size * self.pair_counts[0] / self.records)

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return math.ceil(self.records / self.batch_size)

    @property
    def of_an_epoch(self) -> float:
        """The mean over an epoch, whose last batch may be smaller; of several pairs, their sum."""
        last = self.records - (self.steps - 1) * self.batch_size
        sizes = [(self.batch_size, self.steps - 1), (last, 1)]
        shares = [count / self.records for count in self.pair_counts]
        return sum(
            sum(times * size * at_chance(self.loss, size * share, self.alike) for size, times in sizes) / self.records
            for share in shares
        )

    @property
    def sentence(self) -> str:
        """What chance is."""
        value = at_chance(self.loss, self.rows, self.alike)
        formula = f"ln {self.rows} = " if self.loss == "softmax" else ""
        several = f", and so on for the other pairs: {self.of_an_epoch:.2f} in all" if len(self.pair_counts) > 1 else ""
        return (
            f"Chance: who cannot tell the {self.rows} of a step apart has a loss of {formula}{value:.2f}{several};"
            " below it something is learned."
        )


def at_chance(loss: str, rows: float, alike: float = 0.0) -> float:
    """The loss a row among `rows` when all pairs of a batch are judged alike: ln N, and of the sigmoid loss, at the
    best bias, N times the entropy of the share of positives: 1 in N, and of the others those that are `alike`."""
    rows = max(1.0, rows)
    if loss == "softmax":
        return math.log(rows)
    share = 1 / rows + (1 - 1 / rows) * alike
    return -rows * sum(chance * math.log(chance) for chance in (share, 1 - share) if chance > 0)


class ChanceLossWarning:
    """Called after every step, it calls `report`, and warns once when an epoch's mean loss is that of chance."""

    def __init__(self, report: StepCallback, chance: ChanceLoss, epochs: int, console: Console):
        self.report, self.chance, self.epochs, self.console = report, chance, epochs, console
        self.loss, self.warned = 0.0, False

    def __call__(self, figures: dict[str, Any]) -> None:
        """`figures` of a step, or of the look at the validation records that ends an epoch, which has step 0."""
        self.report(figures)
        if figures["step"]:
            self.loss = figures["loss"]
            return
        done, chance = figures["epoch"] * self.chance.steps, self.chance.of_an_epoch
        if not self.warned and self.loss >= NEAR * chance and (done >= STEPS or figures["epoch"] == self.epochs):
            self.warned = True
            self.console.print(
                f"After epoch {figures['epoch']} the loss is {self.loss:.2f}, and chance is {chance:.2f}: nothing is"
                " learned yet. Look whether each record's inputs belong together, try a learning rate ten times lower"
                " or higher (--set learning_rate=...), and train longer (--epochs)."
            )
