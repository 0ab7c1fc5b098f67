"""A sweep over a few settings, within a time budget where there is one: the validation records choose, the test is not
touched."""

import csv
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from accelerate.utils import broadcast_object_list
from rich.table import Table as Printed

from sensorium.config.defaults import fill_defaults
from sensorium.config.schema import Recipe, seconds
from sensorium.errors import UserError
from sensorium.evaluation import coalitions
from sensorium.evaluation.headlines import headlines
from sensorium.files import discard, whole_file
from sensorium.runs.trials import Budget, SweepState, Trial, apply_changes, describe_changes, one_change_trials
from sensorium.tasks.base import Facts, RunContext
from sensorium.tasks.splits import Split, run_fingerprint
from sensorium.training.loop import Diverged
from sensorium.training.state import TrainingState, load_training_state, run_mismatch_error

T = TypeVar("T")


def sweep(
    prepare: Callable[..., Any],
    train: Callable[..., tuple[TrainingState, float]],
    splits: dict[str, Split],
    facts: Facts,
    context: RunContext,
    started: float,
) -> RunContext:
    """Tries settings while the budget lasts; gives the context of the best, whose training stands in the run's folder.

    prepare, train: `prepare_run` and `train_trial` of the pipeline. started: the moment of
    time.monotonic() from which the budget counts. What was tried is saved as search.csv after every trial. Raises
    UserError when the sweep in the folder is of other records or settings.
    """
    state = _load_state(splits, context)
    if state.winner is None:
        state = _try_all(prepare, train, state, splits, facts, context, started)
        state = _choose_winner(state, splits, context)
    context = replace(context, recipe=_winning_recipe(state, state.refit))
    if context.accelerator.is_main_process:
        _adopt_winner(state, context)
    context.accelerator.wait_for_everyone()
    _print_trials(state, context, "test" in splits)
    return context


def _load_state(splits: dict[str, Split], context: RunContext) -> SweepState:
    """The sweep as it stands in the folder, or a new one."""
    path, fingerprint = context.run_folder / "search.json", run_fingerprint(splits, context.recipe)
    if not path.exists():
        return SweepState(asked=context.recipe, mark=fingerprint)
    state = SweepState.model_validate_json(path.read_text(encoding="utf-8"))
    if fingerprint not in (state.mark, state.winner_mark):
        raise run_mismatch_error(context.run_folder)
    train = splits["train"].table
    asked = fill_defaults(state.asked, len(train), train.schema.targets)  # one that older code saved leaves them open
    return state.model_copy(update={"asked": asked})


def _try_all(
    prepare: Callable[..., Any],
    train: Callable[..., tuple[TrainingState, float]],
    state: SweepState,
    splits: dict[str, Split],
    facts: Facts,
    context: RunContext,
    started: float,
) -> SweepState:
    """Trial after trial, until all were done or the time is up."""
    unfinished = load_training_state(context.run_folder / "search" / str(len(state.tried)) / "last")
    began = started - state.spent - (unfinished.seconds if unfinished else 0.0)
    limit = math.inf if context.recipe.budget is None else seconds(context.recipe.budget)
    budget = _budget(state, splits, began + limit)
    while state.next is not None and _agreed(budget.allows(state), context):
        state = _run_trial(prepare, train, state, budget, splits, facts, context, began)
        _save_state(state, context)
    return state.model_copy(update={"refit": budget.again > 0 and _agreed(budget.leaves_time(state), context)})


def _budget(state: SweepState, splits: dict[str, Split], end: float) -> Budget:
    sizes = {name: len(split.table) for name, split in splits.items()}
    inputs = tuple(spec.name for spec in splits["train"].table.schema.inputs)
    # A trial is scored with two of the sets of inputs, the run with all of them.
    scored = max(1.0, sizes.get("test", 0) / sizes["validation"]) * len(coalitions(inputs)) / 2
    return Budget(end, sizes["train_val"] / sizes["train"] if state.asked.training.refit else 0.0, scored)


def _run_trial(
    prepare: Callable[..., Any],
    train: Callable[..., tuple[TrainingState, float]],
    state: SweepState,
    budget: Budget,
    splits: dict[str, Split],
    facts: Facts,
    context: RunContext,
    began: float,
) -> SweepState:
    """The sweep with its next trial trained and scored."""
    index, changes, start = len(state.tried), state.next, time.monotonic()
    recipe, folder = apply_changes(state.asked, changes), context.run_folder / "search" / str(index)
    prepared = prepare(splits, facts, replace(context, recipe=recipe, work_folder=folder))
    if not index:
        state = state.model_copy(
            update={"listed": one_change_trials(state.asked, prepared.model, len(splits["train"].table))}
        )
    description = f"Candidate {index + 1} ({describe_changes(changes)})"
    try:
        training_state, experts = train(
            prepared.model, splits, prepared.records, prepared.fingerprint, prepared.context, description,
            partial(budget.deadline, state),
        )  # fmt: skip
        result = _score_trial(prepared, splits["validation"], training_state) | {"experts": experts}
    except (Diverged, UserError) as error:
        if not index:
            raise
        if isinstance(error, UserError):
            context.console.print(f"{description} cannot be trained: {error}")
        result = {"state": "diverged" if isinstance(error, Diverged) else "failed"}
    now = time.monotonic()
    parts = (result.get(name, 0.0) for name in ("trained", "scoring", "experts"))
    took = max(now - start, sum(parts))  # a resumed one was begun before
    trial = _agreed(Trial(changes=changes, seconds=took, spent=now - began, **result), context)
    context.accelerator.free_memory()
    context.console.print(f"{description}: {trial}, {trial.seconds:.0f} s.")
    return state.model_copy(update={"tried": [*state.tried, trial]})


def _score_trial(prepared: Any, split: Split, state: TrainingState) -> dict[str, Any]:
    """What a trial came to once it is trained: fields of Trial."""
    began = time.monotonic()
    model = prepared.model
    batches = model.viewed(prepared.records["validation"]).batches(model.device)
    metrics = headlines(model, split.table, batches, prepared.context.recipe.seed)
    return {
        "state": "cut" if state.cut else "whole",
        "score": state.best_score[0],
        "minus_loss": state.best_score[1],
        "metrics": {name: (headline.metric, *headline.value[:3]) for name, headline in metrics.items()},
        "trained": state.seconds,
        "scoring": time.monotonic() - began,
        "epochs": state.epoch,
        "best": state.best_epoch,
    }


def _choose_winner(state: SweepState, splits: dict[str, Split], context: RunContext) -> SweepState:
    """The sweep with its winner, saved."""
    if state.asked.training.refit and not state.refit:
        context.console.print("The budget leaves no time to train the best anew on the validation records too.")
    state = state.model_copy(update={"winner": state.best})
    fingerprint = run_fingerprint(splits, _winning_recipe(state, state.refit))
    state = state.model_copy(update={"winner_mark": fingerprint})
    _save_state(state, context)
    return state


def _winning_recipe(state: SweepState, refit: bool) -> Recipe:
    """The winner's recipe, with all that its preset meant, which tries no more."""
    recipe = apply_changes(state.asked, state.tried[state.winner].changes)
    training = recipe.training.model_copy(update={"refit": refit})
    return recipe.model_copy(update={"budget": None, "preset": Recipe().preset, "training": training})


def _agreed(value: T, context: RunContext) -> T:
    """The value that the main process has, since clocks differ."""
    values = [value]
    if context.accelerator.num_processes > 1:
        broadcast_object_list(values)
    return values[0]


def _save_state(state: SweepState, context: RunContext) -> None:
    """Writes the state and the table, and removes the training of all trials but the best."""
    if context.accelerator.is_main_process:
        with whole_file(context.run_folder / "search.json") as new:
            new.write_text(state.model_dump_json(indent=1), encoding="utf-8")
        with whole_file(context.run_folder / "search.csv") as new, open(new, "w", newline="", encoding="utf-8") as file:
            rows = [_csv_row(index, trial) for index, trial in enumerate(state.tried)]
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        for index in range(len(state.tried)):
            if index != state.best:
                discard(context.run_folder / "search" / str(index))
    context.accelerator.wait_for_everyone()


def _csv_row(index: int, trial: Trial) -> dict[str, Any]:
    row = {"candidate": index + 1, "settings": describe_changes(trial.changes), "state": trial.state}
    row |= {"score": trial.score, "loss": -trial.minus_loss}
    for name, (metric, value, low, high) in trial.metrics.items():
        row |= {f"{name} {metric}": value, f"{name} low": low, f"{name} high": high}
    return row | {"seconds": round(trial.seconds, 2), "epochs": trial.epochs}


def _adopt_winner(state: SweepState, context: RunContext) -> None:
    """Makes the winner's training that of the run."""
    last = context.run_folder / "search" / str(state.winner) / "last"
    training_state = load_training_state(last)
    if training_state is not None:
        with whole_file(last / "position.json") as new:
            adopted = training_state.model_copy(update={"fingerprint": state.winner_mark})
            new.write_text(adopted.model_dump_json(indent=1))
        os.replace(last, context.run_folder / "last")
    discard(context.run_folder / "search")


def _print_trials(state: SweepState, context: RunContext, tested: bool) -> None:
    """The table of trials, and what its winner's score is worth."""
    printed = Printed("", "settings", "validation", "state", "seconds", title="Candidates", title_justify="left")
    for index, trial in enumerate(state.tried):
        chosen = "→" if index == state.winner else ""
        settings = describe_changes(trial.changes)
        cells = f"{chosen}{index + 1}", settings, trial.result, trial.state, f"{trial.seconds:.0f}"
        printed.add_row(*cells)
    if len(state.tried) == 1 and state.asked.budget is None:
        return
    context.console.print_table(printed)
    count, settings = len(state.tried), describe_changes(state.tried[state.winner].changes)
    if count == 1:
        context.console.print("The budget allowed no other candidate than the recipe as asked.")
        return
    doubt = "the test records had no part in it" if tested else "hold records out with --test 0.2 for an honest one"
    context.console.print(
        f"Candidate {state.winner + 1} ({settings}) was chosen as the best of {count} on the validation records, so its"
        f" score there is optimistic; {doubt}. All of them are in {context.run_folder / 'search.csv'}."
    )
