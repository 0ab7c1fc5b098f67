"""A search's own account: what was tried, what comes next, and what the time that is left allows."""

import math
import time
from statistics import median
from typing import Literal

from pydantic import BaseModel, ConfigDict

from sensorium.runs.candidates import Changes, paired_trials
from sensorium.config.schema import Recipe


class Trial(BaseModel):
    """One candidate that was trained: what it changed, how it did on the validation records, what it took.

    state: whole, cut (the budget ended its training) or diverged (a loss was not finite). score, minus_loss: what
    candidates are compared by, in this order. metrics: by target, name, value and interval of its headline metric.
    seconds: in all; trained, scoring: of which; spent: of the budget, when it ended. epochs: done; best: from 0.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    changes: Changes
    state: Literal["whole", "cut", "diverged"]
    score: float = -math.inf
    minus_loss: float = -math.inf
    metrics: dict[str, tuple[str, float | None, float | None, float | None]] = {}
    seconds: float
    trained: float = 0.0
    scoring: float = 0.0
    spent: float
    epochs: int = 0
    best: int = 0

    @property
    def result(self) -> str:
        """Each target's metric with its interval."""
        return "; ".join(
            f"{name} {metric} {_figure(value)} [{_figure(low)}, {_figure(high)}]"
            for name, (metric, value, low, high) in self.metrics.items()
        )

    def __str__(self) -> str:
        return {"whole": self.result, "cut": f"{self.result}, out of time"}.get(self.state, "the loss was not finite")

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better."""
        return self.score, self.minus_loss


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


class SweepState(BaseModel):
    """Where a search stands: saved after every candidate, so that a resumed one goes on with the next.

    asked, mark: the recipe that was asked for, and what it is known by. listed: the candidates of one idea each; pairs
    of those that were better follow. winner: its place among the `tried`, once it is chosen; then `refit` says whether
    the budget leaves time to train it anew, and `winner_mark` what it is known by.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    asked: Recipe
    mark: str
    listed: list[Changes] = []
    tried: list[Trial] = []
    winner: int | None = None
    winner_mark: str | None = None
    refit: bool = False

    @property
    def spent(self) -> float:
        """Seconds of the budget, till the end of the last candidate."""
        return self.tried[-1].spent if self.tried else 0.0

    @property
    def best(self) -> int:
        """The place of the best so far: a later one has to beat it, and to have been trained whole."""
        best = 0
        for place, one in enumerate(self.tried):
            if one.state == "whole" and one.rank > self.tried[best].rank:
                best = place
        return best

    @property
    def next(self) -> Changes | None:
        """The next candidate; None when all were tried. It follows from those that were."""
        count, ones = len(self.tried), [(), *self.listed]
        if count < len(ones):
            return ones[count]
        better = [one for one in self.tried[1 : len(ones)] if one.state == "whole" and one.rank > self.tried[0].rank]
        better.sort(key=lambda one: one.rank, reverse=True)
        joined = paired_trials(one.changes for one in better)
        return joined[count - len(ones)] if count < len(ones) + len(joined) else None


class Budget:
    """How much of the time is left, and what has to be kept of it for training the best anew and for scoring it.

    again: how much longer an epoch is on all known records than on the training records; 0 when there is none.
    scored: how much longer the last scoring takes than a candidate's.
    """

    def __init__(self, end: float, again: float, scored: float):
        self.end, self.again, self.scored = end, again, scored

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def after(self, one: Trial) -> float:
        """Seconds that the run takes when `one` is the winner."""
        setup = one.seconds - one.trained - one.scoring
        return one.trained * self.again * (one.best + 1) / max(1, one.epochs) + setup + one.scoring * self.scored

    def allows(self, search: SweepState) -> bool:
        """Whether a candidate as long as the others can be tried, and be the winner."""
        whole = [one for one in search.tried if one.state == "whole"]
        if not whole:
            return not search.tried
        usual = median(one.seconds for one in whole)
        after = max(self.after(search.tried[search.best]), usual * self.again + whole[0].scoring * self.scored)
        return usual + after <= self.left

    def leaves_time(self, search: SweepState) -> bool:
        """Whether the best can be trained anew and scored."""
        return self.after(search.tried[search.best]) <= self.left

    def deadline(self, search: SweepState) -> float:
        """When the training of the next candidate has to end, so that it or the best so far can be the winner."""
        share = self.left / (1 + self.again)
        if search.tried:
            best, first = search.tried[search.best], search.tried[0]
            scoring = first.scoring * (1 + self.scored)
            share = min((self.left - scoring) / (1 + self.again), self.left - first.scoring - self.after(best))
        else:
            share *= 0.9  # what scoring takes is not known yet
        return time.monotonic() + share
