"""The loop: batches through the learner, one optimiser step at a time, resumable at any moment to the same bits."""

import csv
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from sensorium.console import StepCallback
from sensorium.data.records import Records, epoch_batches, load
from sensorium.errors import UserError
from sensorium.features import Batch, Loss
from sensorium.files import whole_file
from sensorium.training.averaging import Average
from sensorium.training.gradient_caching import cached_gradient, needs_caching
from sensorium.training.interrupt import Interrupted, Signals
from sensorium.training.learner import Learner
from sensorium.training.optimizer import EncoderLearningRate, optimizer, schedule
from sensorium.training.processes import Processes
from sensorium.training.rng_state import seed
from sensorium.training.settings import TrainingSettings
from sensorium.training.state import (
    TrainingState,
    load_state,
    load_training_state,
    optimizer_state,
    put_weights,
    run_mismatch_error,
    save_state,
    trained,
)
from sensorium.training.tensorboard import tensorboard_log


class Diverged(UserError):
    """A loss that is not a finite number."""


class Validation(NamedTuple):
    """The outcome on the validation records: a score (compared from the left, higher is better) and figures to log."""

    score: list[float]
    figures: dict[str, float]


@dataclass
class Hooks:
    """What a training calls, and when it has to end.

    `validate(learner)` is called by every process at the end of each epoch; without it the last epoch is the best.
    `order(epoch)` gives the rows of an epoch, int64 [N], where they are more than a permutation. `report(figures)` is
    called after every step, on the main process. Training ends with the step after `deadline` (time.monotonic)."""

    validate: Callable[[Learner], Validation] | None = None
    order: Callable[[int], np.ndarray] | None = None
    report: Callable[[dict[str, Any]], None] = lambda figures: None
    deadline: float = math.inf


class Training:
    """One run of training in `folder`; `run()` trains from the saved state, if any, to the end. `fingerprint` names
    data and settings: a state with another one is not continued. `rates` are the learning rates of encoders that have
    their own, by input name."""

    def __init__(
        self,
        learner: Learner,
        records: Records,
        settings: TrainingSettings,
        folder: Path,
        hooks: Hooks,
        fingerprint: str,
        accelerator: Accelerator,
        rates: dict[str, EncoderLearningRate] | None = None,
    ):
        self.learner, self.records, self.settings, self.folder = learner, records, settings, folder
        self.hooks, self.accelerator = hooks, accelerator
        needs_caching(learner, settings.pieces)  # raises before anything is trained
        self.processes = Processes(learner, accelerator)
        self.optimizer = optimizer(self.processes.sharded_learner, settings, rates or {})
        self.average = None
        if settings.averaging == "ema":
            self.average = Average(self.processes.whole_learner("the setting averaging: ema"), settings.ema_decay)
        if any(hasattr(module, "update_state") for module in learner.objectives.modules()):
            self.processes.whole_learner("a teacher that follows the model")
        self.position = TrainingState(fingerprint=fingerprint)
        self.best: dict[str, Tensor] = {}
        self.log_row: Callable[[dict[str, float]], None] = lambda row: None
        self.steps_per_epoch = math.ceil(len(records.table) / settings.batch_size)

    def resume(self) -> bool:
        """Loads the saved state, if there is one. Raises UserError when it is of other data or settings."""
        saved = load_training_state(self.folder)
        if saved is None:
            return False
        if saved.fingerprint != self.position.fingerprint:
            raise run_mismatch_error(self.folder.parent)
        self.best = load_state(self.folder, self.learner, self.optimizer, self.average)
        self.processes.load_whole_weights()
        self.position = saved
        return True

    def run(self) -> TrainingState:
        """Trains to the end and leaves the learner with its best weights, in evaluation mode. Raises Interrupted after
        Ctrl-C, once the state is saved, and UserError when the disk refuses the state."""
        logs = self.settings.log is not None and self.accelerator.is_main_process and self.hooks.validate is not None
        with tensorboard_log(self.folder.parent, self.position.log) if logs else nullcontext(self.log_row) as log_row:
            self.log_row = log_row
            if not self.position.finished:
                with Signals() as signals:
                    self._train(signals)
        self._write_log()  # once more, for a kill may have come between the last state and its log
        self.take_best()
        return self.position

    def take_best(self) -> None:
        """Leaves the learner with the best weights so far, in evaluation mode."""
        put_weights(self.learner, self.best)
        self.learner.eval()

    def _train(self, signals: Signals) -> None:
        batches = load(self.records, self._record_rows(), self.settings.workers or 0)
        self.processes.sharded_learner.train()
        last_save = time.monotonic()
        try:
            while not self.position.finished:
                step_start = time.monotonic()
                self._optimise([next(batches) for _ in range(self.settings.pieces)])
                if self.position.step == self.steps_per_epoch:
                    self._end_epoch()
                self.position.seconds += time.monotonic() - step_start
                overdue = time.monotonic() - last_save > self.settings.checkpoint_seconds
                late = time.monotonic() >= self.hooks.deadline
                stop, overdue, late = self._any_process(signals.received, overdue, late)
                if late and not self.position.finished:
                    self.stop_at_deadline()
                if stop or overdue or self.position.finished:
                    self._save()
                    last_save = time.monotonic()
                if stop and not self.position.finished:
                    raise Interrupted(
                        f"Stopped after epoch {self.position.epoch}, step {self.position.step}; the state is saved."
                    )
        finally:
            batches.close()

    def _record_rows(self) -> Iterator[tuple[np.ndarray, int]]:
        """The rows and the epoch of every micro-batch, from the current step to the last epoch."""
        first, process = self.position.step, self.accelerator
        for epoch in range(self.position.epoch, self.settings.epochs):
            order = None if self.hooks.order is None else self.hooks.order(epoch)
            records, settings = self.records, self.settings
            share = {"rank": process.process_index, "world": process.num_processes, "pieces": settings.pieces}
            steps = epoch_batches(len(records.table), settings.batch_size, records.seed, epoch, **share, order=order)
            for step_rows in steps[first:]:
                for rows in step_rows:
                    yield rows, epoch
            first = 0

    def _optimise(self, micro_batches: list[Batch]) -> None:
        """One optimiser step over all micro-batches of all processes."""
        position = self.position
        done = position.epoch * self.steps_per_epoch + position.step
        seed(self.accelerator.device, f"{self.records.seed} {done} {self.accelerator.process_index}")
        factor = schedule(done, self.settings.epochs * self.steps_per_epoch, self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        totals, counts = self.gradient(micro_batches)
        # The optimiser's step, and all that follows the new weights.
        weights = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.processes.clip(weights, self.settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.processes.sharded_learner.post_step()
        if self.average is not None:
            self.average.update(done + 1)
        position.step += 1
        self._account(totals, counts)

    def gradient(self, micro_batches: list[Batch]) -> tuple[dict[str, float], dict[str, float]]:
        """Adds to each parameter's `grad` the gradient of the weighted sum of losses; gives their totals and counts by
        name. Every loss is its sum over its count, both taken over all micro-batches of all processes."""
        device = self.accelerator.device
        names, weights = sorted(self.learner.weights), self.learner.weights
        batch_counts = [self.learner.counts(batch) for batch in micro_batches]
        sums = [sum(counts_of_batch[name] for counts_of_batch in batch_counts) for name in names]
        counts = torch.stack(sums).double()  # [losses]
        counts = self.accelerator.reduce(counts.to(device), "sum")
        # DDP takes the mean over processes, so each loss counts as many times more.
        scale = self.accelerator.num_processes / counts.clamp(min=1)

        def weigh(losses: dict[str, Loss]) -> Tensor:
            batch_totals = torch.stack([losses[name].total * weights[name] for name in names])
            return (batch_totals * scale.to(batch_totals)).sum()

        totals = torch.zeros(len(names), dtype=torch.float64, device=device)
        if needs_caching(self.learner, len(micro_batches)):
            losses_by_pass = iter([cached_gradient(self.processes, micro_batches, weigh)])
        else:
            losses_by_pass = self._accumulate(micro_batches, weigh)
        for losses in losses_by_pass:
            totals += torch.stack([losses[name].total.detach() for name in names])
        self.processes.reduce_scalar_grads()
        totals = self.accelerator.reduce(totals, "sum")
        return dict(zip(names, totals.tolist(), strict=True)), dict(zip(names, counts.tolist(), strict=True))

    def _accumulate(
        self, micro_batches: list[Batch], weigh: Callable[[dict[str, Loss]], Tensor]
    ) -> Iterator[dict[str, Loss]]:
        """Adds the gradients of the micro-batches' losses one by one, and gives the losses."""
        for index, batch in enumerate(micro_batches):
            with self.processes.no_sync() if index + 1 < len(micro_batches) else nullcontext():
                losses = self.processes.wrapped(batch.to(self.accelerator.device))
                weigh(losses).backward()
            yield losses

    def _account(self, totals: dict[str, float], counts: dict[str, float]) -> None:
        """Adds a step's losses to the epoch's, and reports them. Raises Diverged for one that is not finite."""
        position = self.position
        for name, total in totals.items():
            if not math.isfinite(total):
                raise Diverged(
                    f"The loss of '{name}' is not a finite number at epoch {position.epoch + 1}, step {position.step}; "
                    "lower the setting learning_rate, or look for extreme values in the table."
                )
            position.totals[name] = position.totals.get(name, 0.0) + total
            position.counts[name] = position.counts.get(name, 0.0) + counts[name]
        if self.accelerator.is_main_process:
            self.hooks.report(self._losses() | {"epoch": position.epoch, "step": position.step})

    def _losses(self) -> dict[str, float]:
        """The epoch so far: each loss, and their weighted sum."""
        position = self.position
        losses = {name: position.totals[name] / max(1.0, position.counts[name]) for name in position.totals}
        total = sum(self.learner.weights[name] * loss for name, loss in losses.items())
        return {"loss": total} | {f"loss_{name}": loss for name, loss in losses.items()}

    def _end_epoch(self) -> None:
        """Validates, keeps the best weights, logs the epoch, and decides whether training is finished."""
        position = self.position
        # Validation, with averaged weights where there are any.
        self.processes.gather()
        self.learner.eval()
        with nullcontext() if self.average is None else self.average.applied():
            validation = Validation([float(position.epoch)], {})
            if self.hooks.validate:
                validation = self.hooks.validate(self.learner)
            better = position.best_score is None or validation.score > position.best_score
            if better or self.settings.keep == "last":
                position.best_score, position.best_epoch = validation.score, position.epoch
                self.best = {key: value.detach().clone() for key, value in trained(self.learner).items()}
        self.processes.sharded_learner.train()
        # The log, and the beginning of the next epoch.
        figures = {"epoch": position.epoch + 1} | self._losses() | validation.figures
        course = {"learning_rate": self.optimizer.param_groups[0]["lr"], "seconds": round(position.seconds, 3)}
        position.log.append(figures | course)
        self.log_row(position.log[-1])
        position.totals, position.counts = {}, {}
        position.epoch, position.step = position.epoch + 1, 0
        # Training is over after the last epoch, or after `patience` epochs without a better score.
        patience = self.settings.patience
        waited = position.epoch - 1 - position.best_epoch
        position.finished = position.epoch == self.settings.epochs or (patience is not None and waited >= patience)
        if self.accelerator.is_main_process:
            self.hooks.report(validation.figures | {"epoch": position.epoch, "step": 0})

    def stop_at_deadline(self) -> None:
        """Ends training at the current step; the unfinished epoch is validated and logged as a full one."""
        if self.position.step:
            self._end_epoch()
        self.position.finished = self.position.cut = True

    def _save(self) -> None:
        self.processes.gather()
        state = optimizer_state(self.optimizer, keep=self.accelerator.is_main_process)
        if self.accelerator.is_main_process:
            if not self.folder.parent.exists() and not self.position.finished:
                raise UserError(
                    f"{self.folder.parent}, the folder of this run, is gone, so the run cannot go on later; start it"
                    " again, and leave its folder in place."
                )
            save_state(self.folder, self.learner, self.best, state, self.position, self.average)
        self._write_log()
        self.accelerator.wait_for_everyone()

    def _write_log(self) -> None:
        """Writes log.csv, unless training has no validation: a refit does not overwrite the log of what it repeats."""
        if self.accelerator.is_main_process and self.position.log and self.hooks.validate is not None:
            with whole_file(self.folder.parent / "log.csv") as new, open(new, "w", newline="") as file:
                writer = csv.DictWriter(file, list(self.position.log[0]))
                writer.writeheader()
                writer.writerows(self.position.log)

    def _any_process(self, *answers: bool) -> list[bool]:
        """For each of the answers, whether it is true in any process."""
        votes = torch.tensor(answers, dtype=torch.float32, device=self.accelerator.device)
        return [value > 0 for value in self.accelerator.reduce(votes, "sum").tolist()]


def with_callbacks(report: StepCallback, callbacks: tuple[StepCallback, ...], stage: str) -> StepCallback:
    """`report`, and after it the user's callbacks, each with figures of its own and what is trained: `stage`."""

    def report_to_all(figures: dict[str, Any]) -> None:
        report(figures)
        for callback in callbacks:
            callback({"stage": stage} | figures)

    return report_to_all
