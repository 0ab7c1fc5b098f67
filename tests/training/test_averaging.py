"""The running average of the weights: the plain formula; what validation sees and the run keeps; resumed to the bit."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sensorium.training.averaging import Average
from sensorium.training.loop import Validation
from tests.training.worlds import table, training

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def walk(module: nn.Module, steps: int):
    """Moves every trained weight at random, step after step."""
    for step in range(1, steps + 1):
        with torch.no_grad():
            for one in module.parameters():
                if one.requires_grad:
                    one.add_(torch.randn(one.shape, generator=torch.Generator().manual_seed(step)))
        yield step


def test_once_warm_it_is_what_torch_averages():
    """From step 10,000 on the warm-up no longer rules a decay of 0.99."""
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    module[0].bias.requires_grad_(False)
    average, theirs = Average(module, 0.99), AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    theirs.update_parameters(module)  # whose first update takes the weights as they are
    for step in walk(module, 50):
        average.update(10_000 + step)
        theirs.update_parameters(module)
    expected = dict(theirs.module.named_parameters())
    assert average.weights.keys() == {"0.weight", "1.weight", "1.bias"}
    for name, weight in average.weights.items():
        torch.testing.assert_close(weight, expected[name].detach(), rtol=1e-5, atol=1e-6)


def test_a_short_run_forgets_the_weights_it_began_with():
    """By the formula, in double precision: each step keeps min(decay, (1 + t) / (10 + t))."""
    module = nn.Linear(2, 2)
    average, expected = Average(module, 0.999), module.weight.detach().double()
    left = 1.0
    for step in walk(module, 40):
        average.update(step)
        kept = min(0.999, (1 + step) / (10 + step))
        expected, left = kept * expected + (1 - kept) * module.weight.detach().double(), left * kept
    torch.testing.assert_close(average.weights["weight"].double(), expected, rtol=1e-5, atol=1e-6)
    assert left < 1e-6 < 0.999**40


def test_applied_lends_the_average_and_gives_the_weights_back():
    module = nn.BatchNorm1d(3)
    average = Average(module, 0.9)
    with torch.no_grad():
        module.weight.add_(1.0)
        module.running_mean.add_(5.0)
    with pytest.raises(ZeroDivisionError), average.applied():
        assert torch.equal(module.weight, torch.ones(3)) and torch.equal(module.running_mean, torch.full((3,), 5.0))
        raise ZeroDivisionError
    assert torch.equal(module.weight, torch.full((3,), 2.0))


def test_validation_and_the_weights_that_are_kept_are_the_average(tmp_path, accelerator):
    torch.manual_seed(0)
    run = training(tmp_path, accelerator, table(), averaging="ema", ema_decay=0.9, epochs=3)
    seen, live = [], []

    def validate(learner):
        seen.append({key: value.detach().clone() for key, value in learner.named_parameters()})
        averaged = run.average.weights
        assert all(torch.equal(value, averaged[key]) for key, value in seen[-1].items())
        return Validation([float(len(seen) == 2)], {})

    run.hooks.validate = validate
    report = run.hooks.report

    def watch(figures):
        live.append({key: value.detach().clone() for key, value in run.learner.named_parameters()})
        report(figures)

    run.hooks.report = watch
    run.run()
    final = dict(run.learner.named_parameters())
    assert all(torch.equal(value, seen[1][key]) for key, value in final.items())
    assert not all(torch.equal(live[-1][key], value) for key, value in seen[2].items()), "and not the last weights"


class Stop(Exception):
    pass


def test_stopped_anywhere_and_resumed_ends_in_the_same_bits(tmp_path, accelerator):
    rows = table()

    def make(folder):
        torch.manual_seed(0)
        run = training(tmp_path / folder, accelerator, rows, checkpoint_seconds=0, averaging="ema", ema_decay=0.9)
        run.hooks.validate = lambda learner: Validation([float(run.position.epoch)], {})
        return run

    whole = make("whole")
    whole.run()
    for stop in (2, 5, 6, 8):
        first, steps = make(f"stopped-{stop}"), []

        def report(figures, steps=steps, stop=stop):
            steps.append(figures)
            if sum("loss" in one for one in steps) == stop:
                raise Stop

        first.hooks.report = report
        with pytest.raises(Stop):
            first.run()
        second = make(f"stopped-{stop}")
        assert second.resume()
        second.run()
        state = second.learner.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in whole.learner.state_dict().items()), stop
        assert all(torch.equal(value, second.average.weights[key]) for key, value in whole.average.weights.items())


def averaged(folder: Path, processes: int) -> dict[str, torch.Tensor]:
    command = [sys.executable, "-m", "tests.training.test_averaging", str(folder)]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "--module"]
        command[1:2] = launcher
    paths = f"{ROOT / 'src'}:{ROOT}"
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return load_file(folder / "average.safetensors")


@pytest.mark.slow
def test_two_processes_average_as_one(tmp_path):
    one, two = averaged(tmp_path / "one", 1), averaged(tmp_path / "two", 2)
    for name, weight in one.items():
        assert (two[name] - weight).norm() <= 1e-4 * weight.norm() + 1e-7, name


if __name__ == "__main__":
    torch.manual_seed(0)
    started = training(
        Path(sys.argv[1]), Accelerator(cpu=True), table(33), np.arange(33), epochs=1, batch_size=8, averaging="ema"
    )
    started.run()
