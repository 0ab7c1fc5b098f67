"""A search over a few settings within a time budget: the validation records choose, the test is not touched."""

import csv
import os
import time
from dataclasses import replace

from accelerate.utils import broadcast_object_list
from rich.markup import escape
from rich.table import Table as Printed

from sensorium.evaluation import coalitions
from sensorium.evaluation.headlines import headlines
from sensorium.files import discard, whole_file
from sensorium.runs.budget import Budget, SweepState, Trial
from sensorium.runs.candidates import apply_changes, one_change_trials, words
from sensorium.config.defaults import fill_defaults
from sensorium.tasks.splits import Split
from sensorium.runs.ready import Facts, PreparedRun, prepare_run, run_fingerprint
from sensorium.runs.loaders import evaluation_batches
from sensorium.config.schema import Recipe, seconds
from sensorium.runs.stages import RunContext, train_with_validation
from sensorium.training.loop import Diverged
from sensorium.training.state import TrainingState, load_training_state
from sensorium.training.state import run_mismatch_error as other_run


def sweep(split: dict[str, Split], facts: Facts, context: RunContext) -> RunContext:
    """Tries candidates while the budget lasts; gives the context of the best, whose training stands in the run's folder.

    What was tried is saved as search.csv after every candidate. Raises UserError when the search in the folder is of
    other records or settings.
    """
    state = _begin(split, context)
    if state.winner is None:
        state = _choose(_try_all(state, split, facts, context), split, context)
    context = replace(context, recipe=_settled(state, state.refit))
    if context.accelerator.is_main_process:
        _take(state, context)
    context.accelerator.wait_for_everyone()
    _say(state, context, "test" in split)
    return context


def _begin(split: dict[str, Split], context: RunContext) -> SweepState:
    """The search as it stands in the folder, or a new one."""
    path, mark = context.folder / "search.json", run_fingerprint(split, context)
    if not path.exists():
        return SweepState(asked=context.recipe, mark=mark)
    state = SweepState.model_validate_json(path.read_text(encoding="utf-8"))
    if mark not in (state.mark, state.winner_mark):
        raise other_run(context.folder)
    return state


def _try_all(state: SweepState, split: dict[str, Split], facts: Facts, context: RunContext) -> SweepState:
    """Candidate after candidate, until all were tried or the time is up."""
    unfinished = load_training_state(context.folder / "search" / str(len(state.tried)) / "last")
    began = context.began - state.spent - (unfinished.seconds if unfinished else 0.0)
    budget = _budget(state, split, began + seconds(context.recipe.budget))
    while state.next is not None and _agreed(budget.allows(state), context):
        state = _try(state, budget, split, facts, replace(context, recipe=state.asked), began)
        _save(state, context)
    return state.model_copy(update={"refit": budget.again > 0 and _agreed(budget.leaves_time(state), context)})


def _budget(state: SweepState, split: dict[str, Split], end: float) -> Budget:
    size = {name: len(part.table) for name, part in split.items()}
    refit = fill_defaults(state.asked, size["train"], False).training.refit
    sets = len(coalitions(tuple(spec.name for spec in split["train"].table.schema.inputs)))
    scored = max(1.0, size.get("test", 0) / size["validation"]) * sets / 2  # a candidate is scored with two of the sets
    return Budget(end, size["known"] / size["train"] if refit else 0.0, scored)


def _try(state: SweepState, budget: Budget, split: dict[str, Split], facts: Facts, context: RunContext, began: float) -> SweepState:
    """The search with its next candidate trained and scored."""
    place, changes, start = len(state.tried), state.next, time.monotonic()
    folder = context.folder / "search" / str(place)
    inner = replace(context, recipe=apply_changes(state.asked, changes), folder=folder, root=context.folder)
    ready = prepare_run(split, facts, inner, says=False)
    if not place:
        state = state.model_copy(update={"listed": one_change_trials(state.asked, ready.model)})
    what = f"Candidate {place + 1} ({words(changes)})"
    try:
        position = train_with_validation(ready.model, split, ready.records, ready.mark, ready.context, what, budget.deadline(state))
        found = _scored(ready, split["validation"], position)
    except Diverged:
        if not place:
            raise
        found = {"state": "diverged"}
    now = time.monotonic()
    took = max(now - start, found.get("trained", 0.0) + found.get("scoring", 0.0))  # a resumed one was begun before
    one = _agreed(Trial(changes=changes, seconds=took, spent=now - began, **found), context)
    context.accelerator.free_memory()
    context.console.print(f"{what}: {one}, {one.seconds:.0f} s.")
    return state.model_copy(update={"tried": [*state.tried, one]})


def _scored(ready: PreparedRun, part: Split, position: TrainingState) -> dict:
    """What is known of a candidate once it is trained."""
    began = time.monotonic()
    batches = evaluation_batches(ready.records["validation"], ready.model)
    metrics = headlines(ready.model, part.table, batches, ready.context.recipe.seed)
    return {
        "state": "cut" if position.cut else "whole",
        "score": position.best_score[0],
        "minus_loss": position.best_score[1],
        "metrics": {name: (one.metric, *one.value[:3]) for name, one in metrics.items()},
        "trained": position.seconds,
        "scoring": time.monotonic() - began,
        "epochs": position.epoch,
        "best": position.best_epoch,
    }


def _choose(state: SweepState, split: dict[str, Split], context: RunContext) -> SweepState:
    """The search with its winner, saved."""
    planned = fill_defaults(state.asked, len(split["train"].table), False).training.refit
    if planned and not state.refit:
        context.console.print("The budget leaves no time to train the best anew on the validation records too.")
    state = state.model_copy(update={"winner": state.best})
    mark = run_fingerprint(split, replace(context, recipe=_settled(state, state.refit)))
    state = state.model_copy(update={"winner_mark": mark})
    _save(state, context)
    return state


def _settled(state: SweepState, refit: bool) -> Recipe:
    """The winner's recipe, which searches no more."""
    recipe = apply_changes(state.asked, state.tried[state.winner].changes)
    training = recipe.training.model_copy(update={"refit": refit})
    return recipe.model_copy(update={"budget": None, "training": training})


def _agreed(mine, context: RunContext):
    """What the main process says, since clocks differ."""
    said = [mine]
    if context.accelerator.num_processes > 1:
        broadcast_object_list(said)
    return said[0]


def _save(state: SweepState, context: RunContext) -> None:
    """Writes the state and the table, and removes the training of all candidates but the best."""
    if context.accelerator.is_main_process:
        with whole_file(context.folder / "search.json") as new:
            new.write_text(state.model_dump_json(indent=1), encoding="utf-8")
        with whole_file(context.folder / "search.csv") as new, open(new, "w", newline="", encoding="utf-8") as file:
            rows = [_row(place, one) for place, one in enumerate(state.tried)]
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        for place in range(len(state.tried)):
            if place != state.best:
                discard(context.folder / "search" / str(place))
    context.accelerator.wait_for_everyone()


def _row(place: int, one: Trial) -> dict:
    row = {"candidate": place + 1, "settings": words(one.changes), "state": one.state}
    row |= {"score": one.score, "loss": -one.minus_loss}
    for name, (metric, value, low, high) in one.metrics.items():
        row |= {f"{name} {metric}": value, f"{name} low": low, f"{name} high": high}
    return row | {"seconds": round(one.seconds, 2), "epochs": one.epochs}


def _take(state: SweepState, context: RunContext) -> None:
    """Makes the winner's training that of the run."""
    last = context.folder / "search" / str(state.winner) / "last"
    position = load_training_state(last)
    if position is not None:
        with whole_file(last / "position.json") as new:
            known = position.model_copy(update={"fingerprint": state.winner_mark})
            new.write_text(known.model_dump_json(indent=1))
        os.replace(last, context.folder / "last")
    discard(context.folder / "search")


def _say(state: SweepState, context: RunContext, tested: bool) -> None:
    """The table of candidates, and what its winner's score is worth."""
    printed = Printed("", "settings", "validation", "state", "seconds", title="Candidates", title_justify="left")
    for place, one in enumerate(state.tried):
        chosen = "→" if place == state.winner else ""
        cells = f"{chosen}{place + 1}", words(one.changes), one.result, one.state, f"{one.seconds:.0f}"
        printed.add_row(*map(escape, cells))
    context.console.print_table(printed)
    count, best = len(state.tried), words(state.tried[state.winner].changes)
    if count == 1:
        context.console.print("The budget allowed no other candidate than the recipe as asked.")
        return
    doubt = "the test records had no part in it" if tested else "hold records out with --test 0.2 for an honest one"
    context.console.print(
        f"Candidate {state.winner + 1} ({best}) was chosen as the best of {count} on the validation records, so its"
        f" score there is optimistic; {doubt}. All of them are in {context.folder / 'search.csv'}."
    )
