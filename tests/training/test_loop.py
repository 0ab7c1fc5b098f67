"""The loop: losses over true counts, whatever the pieces; resume to the same bits; nothing mutates in evaluation."""

import itertools

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from sensorium.errors import UserError
from sensorium.training.interrupt import Interrupted
from sensorium.training.loop import Validation
from sensorium.training.optimizer import schedule
from tests.training.worlds import table, training


@pytest.fixture
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def gradients(run) -> dict[str, torch.Tensor]:
    return {name: parameter.grad.clone() for name, parameter in run.learner.named_parameters()}


def by_hand(run, rows: np.ndarray) -> dict[str, torch.Tensor]:
    """The plain formula: each loss summed over the rows that have it, over their number; weights 1 and a half."""
    run.learner.zero_grad()
    total = 0.0
    for name, weight in (("y", 1.0), ("z", 0.5)):
        parts = []
        for row in rows:
            batch = run.records.batch(np.array([row]))
            if batch.targets[name]["mask"].item():
                fused = run.learner.model.fuse(run.learner.model.encode(batch.inputs))
                parts.append(run.learner.model.heads[name].loss(fused, batch.targets[name])[0])
        total = total + weight * torch.stack(parts).mean()
    total.backward()
    found = gradients(run)
    run.learner.zero_grad()
    return found


@pytest.mark.parametrize("pieces", [1, 2, 3, 7])
def test_gradient_is_the_plain_formula_however_many_pieces(tmp_path, accelerator, pieces):
    run = training(tmp_path, accelerator, table())
    run.learner.train()
    rows = np.arange(11)
    expected = by_hand(run, rows)
    run.gradient([run.records.batch(part) for part in np.array_split(rows, pieces)])
    for name, gradient in gradients(run).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_every_parameter_gets_a_gradient_and_stands_in_the_state(tmp_path, accelerator):
    run = training(tmp_path, accelerator, table())
    run.learner.train()
    run.gradient([run.records.batch(np.arange(31))])
    state = run.learner.state_dict()
    for name, parameter in run.learner.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        assert name in state


def test_a_batch_in_which_nobody_has_an_input_still_gives_every_parameter_a_gradient(tmp_path, accelerator):
    rows = table()
    run = training(tmp_path, accelerator, rows)
    run.learner.train()
    without = np.flatnonzero(rows.frame["b"].isna())
    assert len(without) > 2
    run.gradient([run.records.batch(without)])
    assert all(parameter.grad is not None for parameter in run.learner.parameters())
    assert all(p.grad.abs().sum() == 0 for p in run.learner.model.encoders["b"].parameters())


def test_an_empty_piece_counts_for_nothing(tmp_path, accelerator):
    run = training(tmp_path, accelerator, table())
    run.learner.train()
    whole = np.arange(9)
    run.gradient([run.records.batch(whole)])
    expected = gradients(run)
    run.learner.zero_grad()
    run.gradient([run.records.batch(whole), run.records.batch(whole[:0])])
    for name, gradient in gradients(run).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-7)


class Stop(Exception):
    pass


def test_stopped_anywhere_and_resumed_ends_in_the_same_bits(tmp_path, accelerator):
    rows = table()

    def make(folder, **settings):
        torch.manual_seed(0)
        return training(tmp_path / folder, accelerator, rows, pieces=2, checkpoint_seconds=0, **settings)

    undisturbed = make("whole")
    undisturbed.run()
    steps = 0
    for stop in (1, 4, 5, 7):
        folder = f"stopped-{stop}"
        first = make(folder)

        def report(figures, stop=stop):
            nonlocal steps
            steps += "loss" in figures and "validation" not in figures
            if steps == stop:
                raise Stop

        steps = 0
        first.hooks.report = report
        with pytest.raises(Stop):
            first.run()
        second = make(folder)
        second.resume()
        second.run()
        for (name, one), two in zip(
            undisturbed.learner.state_dict().items(), second.learner.state_dict().values(), strict=True
        ):
            assert torch.equal(one, two), (stop, name)


def test_resuming_with_other_records_is_an_error(tmp_path, accelerator):
    run = training(tmp_path, accelerator, table())
    run.run()
    other = training(tmp_path, accelerator, table())
    other.position.fingerprint = "another"
    with pytest.raises(UserError, match="records or settings are not those"):
        other.resume()


def test_a_signal_saves_the_state_and_stops(tmp_path, accelerator):
    import os
    import signal

    run = training(tmp_path / "last", accelerator, table())
    run.hooks.report = lambda figures: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(Interrupted, match="the state is saved"):
        run.run()
    assert (tmp_path / "last" / "position.json").exists()
    again = training(tmp_path / "last", accelerator, table())
    assert again.resume() and again.position.step == 1


def test_patience_ends_training_and_the_best_weights_come_back(tmp_path, accelerator):
    scores, seen = iter([0.1, 0.9, 0.5, 0.4, 0.3]), []
    run = training(tmp_path, accelerator, table(), epochs=9, patience=2)

    def validate(learner):
        seen.append({key: value.clone() for key, value in learner.state_dict().items()})
        return Validation([next(scores)], {"validation": 0.0})

    run.hooks.validate = validate
    position = run.run()
    assert position.epoch == 4 and position.best_epoch == 1
    assert all(torch.equal(value, seen[1][key]) for key, value in run.learner.state_dict().items())


def test_the_last_epoch_is_kept_when_asked_for_and_nothing_ends_sooner(tmp_path, accelerator):
    scores = iter([1.0, 3.0, 2.0, 2.5, 0.5])
    run = training(tmp_path, accelerator, table(), epochs=5, patience=2, keep="last")
    run.hooks.validate = lambda learner: Validation([next(scores)], {})
    position = run.run()
    assert position.epoch == 5 and position.best_epoch == 4 and position.best_score == [0.5]


def test_a_loss_that_is_not_finite_is_a_sentence(tmp_path, accelerator):
    run = training(tmp_path, accelerator, table())
    with torch.no_grad():
        next(run.learner.model.heads["z"].parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match=r"'z' is not a finite number at epoch 1"):
        run.run()


def test_schedule_rises_then_falls_to_zero():
    factors = [schedule(step, 100, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and factors[9] == 1.0
    assert all(b <= a for a, b in itertools.pairwise(factors[10:])) and factors[-1] < 0.001


def test_evaluating_twice_moves_no_buffer(tmp_path, accelerator):
    run = training(tmp_path, accelerator, table())
    run.learner.eval()
    before = {key: value.clone() for key, value in run.learner.state_dict().items()}
    with torch.no_grad():
        one = run.learner(run.records.batch(np.arange(9)))
        two = run.learner(run.records.batch(np.arange(9)))
    assert all(torch.equal(value, before[key]) for key, value in run.learner.state_dict().items())
    assert torch.equal(one["y"].total, two["y"].total)
