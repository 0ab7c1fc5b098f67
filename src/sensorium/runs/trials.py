"""The trials of a sweep: the settings that are tried, what each came to, and what the time that is left allows."""

import math
import time
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import combinations
from statistics import median
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from sensorium.config.defaults import fill_defaults
from sensorium.config.load import check_recipe
from sensorium.config.schema import InputSettings, Recipe
from sensorium.model import Model, is_frozen
from sensorium.training.adapters import is_adaptable

FINE_RATE = 5e-5  # of a pretrained encoder that is trained on
TUNED = 500  # records below which no adapter is tried
SWEPT_FUSIONS = ("late", "concat", "transformer")  # beside the recipe's own, the cheaper ones first


class Change(NamedTuple):
    """One setting of the recipe, by the names on the way to it, and its other value."""

    place: tuple[str, ...]
    value: Any

    def __str__(self) -> str:
        return f"{'.'.join(self.place)}={self.value}"


Changes = tuple[Change, ...]
"""The changes of a trial; () is the recipe as it was asked for."""


class Trial(BaseModel):
    """One trial that was trained: what it changed, how it did on the validation records, what it took.

    state: whole, cut (the budget ended its training), diverged (a loss was not finite) or failed. score, minus_loss:
    what trials are compared by, in this order. metrics: by target, name, value and interval of its headline metric.
    seconds: in all; trained, scoring: of which; experts: of which, 0 where an earlier trial's experts serve; spent: of
    the budget, when it ended. epochs: done; best: from 0.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    changes: Changes
    state: Literal["whole", "cut", "diverged", "failed"]
    score: float = -math.inf
    minus_loss: float = -math.inf
    metrics: dict[str, tuple[str, float | None, float | None, float | None]] = {}
    seconds: float
    trained: float = 0.0
    scoring: float = 0.0
    experts: float = 0.0
    spent: float
    epochs: int = 0
    best: int = 0

    @property
    def result(self) -> str:
        """Each target's metric with its interval."""
        return "; ".join(
            f"{name} {metric} {_decimals(value)} [{_decimals(low)}, {_decimals(high)}]"
            for name, (metric, value, low, high) in self.metrics.items()
        )

    def __str__(self) -> str:
        states = {"whole": self.result, "cut": f"{self.result}, out of time", "failed": "it cannot be trained"}
        return states.get(self.state, "the loss was not finite")

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better."""
        return self.score, self.minus_loss


def _decimals(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


class SweepState(BaseModel):
    """Where a sweep stands: saved after every trial, so that a resumed one goes on with the next.

    asked, mark: the recipe that was asked for, and its fingerprint. listed: the trials of one change each; pairs of
    those that were better follow. winner: its index among the `tried`, once it is chosen; then `refit` says whether the
    budget leaves time to train it again, and `winner_mark` is its fingerprint.
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
        """Seconds of the budget, till the end of the last trial."""
        return self.tried[-1].spent if self.tried else 0.0

    @property
    def experts(self) -> float:
        """Seconds in which a trial's experts are learned."""
        return max((trial.experts for trial in self.tried), default=0.0)

    @property
    def best(self) -> int:
        """The index of the best so far: a later one has to beat it, and to have been trained whole."""
        best = 0
        for index, trial in enumerate(self.tried):
            if trial.state == "whole" and trial.rank > self.tried[best].rank:
                best = index
        return best

    @property
    def next(self) -> Changes | None:
        """The next trial; None when all were tried. It follows from those that were."""
        count, singles = len(self.tried), [(), *self.listed]
        if count < len(singles):
            return singles[count]
        first = self.tried[0]
        better = [trial for trial in self.tried[1 : len(singles)] if trial.state == "whole" and trial.rank > first.rank]
        better.sort(key=lambda trial: trial.rank, reverse=True)
        joined = paired_trials(trial.changes for trial in better)
        return joined[count - len(singles)] if count < len(singles) + len(joined) else None


class Budget:
    """How much of the time is left, and what has to be reserved of it for training the best again and for scoring it.

    again: how much longer an epoch is on training and validation records than on the training records; 0 without refit.
    scored: how much longer the last scoring takes than a trial's.
    """

    def __init__(self, end: float, again: float, scored: float):
        self.end, self.again, self.scored = end, again, scored

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def after(self, sweep: SweepState) -> float:
        """Seconds that the run takes when the best so far is the winner."""
        trial = sweep.tried[sweep.best]
        setup = trial.seconds - trial.trained - trial.scoring - trial.experts
        refit = trial.trained * self.again * (trial.best + 1) / max(1, trial.epochs)
        return refit + setup + self._learning(sweep.experts) + trial.scoring * self.scored

    def _learning(self, experts: float) -> float:
        """Seconds after a sweep whose experts took so many: they are learned again where the winner is trained again,
        and the report's baselines are models like them."""
        return experts * (self.again + 1)

    def allows(self, sweep: SweepState) -> bool:
        """Whether a trial as long as the others can be done, and be the winner."""
        completed = [trial for trial in sweep.tried if trial.state == "whole"]
        if not completed:
            return not sweep.tried
        usual = median(trial.seconds - trial.experts for trial in completed)
        longest = usual * self.again + self._learning(sweep.experts) + completed[0].scoring * self.scored
        after = max(self.after(sweep), longest)
        return usual + after <= self.left

    def leaves_time(self, sweep: SweepState) -> bool:
        """Whether the best can be trained again and scored."""
        return self.after(sweep) <= self.left

    def deadline(self, sweep: SweepState, experts: float = 0.0) -> float:
        """When the training of the next trial has to end, so that it or the best so far can be the winner; its experts
        took so many seconds."""
        remaining = self.left - self._learning(max(experts, sweep.experts))
        share = remaining / (1 + self.again)
        if sweep.tried:
            first = sweep.tried[0]
            scoring = first.scoring * (1 + self.scored)
            share = min((remaining - scoring) / (1 + self.again), self.left - first.scoring - self.after(sweep))
        else:
            share *= 0.9  # what scoring takes is not known yet
        return time.monotonic() + share


def one_change_trials(recipe: Recipe, model: Model, records: int) -> list[Changes]:
    """The trials of one change each, the likely and cheap first; none touches a setting that is not at its default.

    Learning rate, the ways of fusing, modality dropout, dropout and averaging; last, pretrained encoders that are
    tuned, which takes long, and which alone are tried without a budget. A run that goes on from another has that one's
    fusion. records: that are trained on.
    """
    if recipe.budget is None:
        return list(_adapted_encoders(recipe, model, records))
    several, training = len(model.encoders) > 1 and recipe.start_from is None, recipe.training
    trials: list[Changes] = []
    for factor in (3, 1 / 3):
        trials.append((Change(("training", "learning_rate"), float(f"{training.learning_rate * factor:.3g}")),))
    if several and not recipe.fusion.config:
        trials += [(Change(("fusion", "name"), name),) for name in SWEPT_FUSIONS[:2]]
    if several:
        trials.append((Change(("training", "modality_dropout"), 0.0),))
    trials.append((Change(("training", "averaging"), "ema"),))
    if not recipe.fusion.config and recipe.start_from is None:
        trials += [(Change(("fusion", "config"), {"dropout": 0.4}),), (Change(("fusion", "config"), {"dim": 256}),)]
    if several and not recipe.fusion.config:
        trials += [(Change(("fusion", "name"), name),) for name in SWEPT_FUSIONS[2:]]
    usual = fill_defaults(Recipe(), records, model.schema.targets if model.schema else ())
    trials = [changes for changes in trials if all(_is_default(recipe, usual, change) for change in changes)]
    return [*trials, *_adapted_encoders(recipe, model, records), *_trained_encoders(recipe, model)]


def _is_default(recipe: Recipe, usual: Recipe, change: Change) -> bool:
    """Whether the setting is as in the `usual` recipe, of which nobody says anything, or the run goes on from one that
    said it.
    """
    return recipe.start_from is not None or _value_at(recipe, change.place) == _value_at(usual, change.place)


def _trained_encoders(recipe: Recipe, model: Model) -> Iterator[Changes]:
    """Each pretrained encoder trained on, all of its weights."""
    for name in _open_encoders(recipe, model):
        rate = recipe.inputs.get(name, InputSettings()).learning_rate or FINE_RATE
        yield (Change(("inputs", name, "frozen"), False), Change(("inputs", name, "learning_rate"), rate))


def _adapted_encoders(recipe: Recipe, model: Model, records: int) -> Iterator[Changes]:
    """Each pretrained encoder tuned by adapters, where the package that makes them is installed and the records
    suffice."""
    if records >= TUNED and find_spec("peft") is not None:
        for name in _open_encoders(recipe, model):
            if is_adaptable(model.encoders[name]):
                yield (Change(("inputs", name, "adapter"), {}),)


def _open_encoders(recipe: Recipe, model: Model) -> Iterator[str]:
    """The inputs whose encoder is pretrained and frozen without anybody's saying so."""
    for name, encoder in model.encoders.items():
        settings = recipe.inputs.get(name, InputSettings())
        if is_frozen(encoder) and settings.frozen is None and settings.views == 1 and settings.shares is None:
            yield name


def paired_trials(better: Iterable[Changes]) -> list[Changes]:
    """The trials that join two of the `better` ones, best first, where they do not change the same."""
    return [
        (*first, *second)
        for first, second in combinations(better, 2)
        if not set(map(_part_of, first)) & set(map(_part_of, second))
    ]


def _part_of(change: Change) -> tuple[str, ...]:
    """What a change is of: an input, whose settings belong together, or one setting."""
    return change.place[:2] if change.place[0] == "inputs" else change.place


def apply_changes(recipe: Recipe, changes: Changes) -> Recipe:
    """The recipe with a trial's changes. Raises UserError when they do not fit."""
    settings = recipe.model_dump(mode="json")
    for place, value in changes:
        section = settings
        for name in place[:-1]:
            section = section.setdefault(name, {})
        section[place[-1]] = value
    return check_recipe(settings)


def describe_changes(changes: Changes) -> str:
    """The changes as a person writes them."""
    return ", ".join(map(str, changes)) or "as asked"


def _value_at(recipe: Recipe, place: tuple[str, ...]) -> Any:
    value: Any = recipe
    for name in place:
        value = getattr(value, name)
    return value
