"""Gradient caching: every gradient is the whole batch's, with one piece's activations at a time."""

import pytest
import torch
from accelerate import Accelerator

from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.objectives import Supervised
from sensorium.objectives.step import CachedStep
from sensorium.training.learner import Learner
from tests.training.pairs import batch, by_hand, cut, gradients, learner, training


@pytest.fixture
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def both(folder, accelerator, one, pieces) -> tuple[dict, dict]:
    """By hand and as the loop does it, from the same random state."""
    run = training(folder, one, accelerator)
    one.train()
    torch.manual_seed(5)
    expected = by_hand(one, pieces)
    torch.manual_seed(5)
    run.gradient(pieces)
    return expected, gradients(one)


def close(found: dict, expected: dict, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert expected[name].abs().sum() > 0, name
        assert (gradient - expected[name]).norm() <= tolerance * expected[name].norm(), name


@pytest.mark.parametrize("labels", [None, "kind"])
@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
@pytest.mark.parametrize("pieces", [1, 2, 5, 23])
def test_every_gradient_is_the_whole_batchs(tmp_path, accelerator, pieces, kind, labels):
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        one = learner(kind, labels, dtype)
        expected, found = both(tmp_path, accelerator, one, cut(batch(dtype=dtype), pieces))
        assert "model.logit_scale" in found and ("model.logit_bias" in found) == (kind == "sigmoid")
        close(found, expected, tolerance)


def test_bf16_gradients_are_the_whole_batchs(tmp_path, accelerator):
    one = learner(precision="bf16")
    expected, found = both(tmp_path, accelerator, one, cut(batch(), 3))
    close(found, expected, 1e-5)
    two = learner()
    close(both(tmp_path, accelerator, two, cut(batch(), 3))[1], expected, 0.3)


def test_losses_and_counts_do_not_depend_on_the_pieces(tmp_path, accelerator):
    run = training(tmp_path, learner(dropout=0.0), accelerator)
    run.learner.train()
    totals, counts = run.gradient([batch()])
    for pieces in (2, 4):
        others, numbers = run.gradient(cut(batch(), pieces))
        assert numbers == counts
        assert others == pytest.approx(totals, rel=1e-5)


def test_pieces_without_rows_or_without_an_input_count_for_nothing(tmp_path, accelerator):
    run = training(tmp_path, learner(dropout=0.0), accelerator)
    run.learner.train()
    whole = batch()
    run.gradient([whole])
    expected = gradients(run.learner)
    one = cut(whole, 23)[1]
    assert not one.present("photo").any() and not one.present("caption").any()
    nobody = {name: value | {"mask": torch.zeros_like(value["mask"])} for name, value in one.inputs.items()}
    empty = one._replace(inputs=nobody)
    run.gradient([empty, *cut(whole, 4), one, empty])
    close(gradients(run.learner), expected, 1e-5)


def test_only_one_pieces_activations_live_at_a_time(tmp_path, accelerator):
    """Of what autograd keeps for the backward pass, as long as it is kept."""
    peaks = {}
    for pieces in (1, 4):
        run = training(tmp_path, learner(), accelerator)
        run.learner.train()
        living, peak = 0, 0

        class Kept:
            def __init__(self, tensor):
                nonlocal living, peak
                self.tensor = tensor
                self.rows = len(tensor) if tensor.ndim == 2 and tensor.shape[1] == 9 else 0  # hidden layer of a tower
                living += self.rows
                peak = max(peak, living)

            def __del__(self):
                nonlocal living
                living -= self.rows

        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            run.gradient(cut(batch(24), pieces))
        peaks[pieces] = peak
        assert living == 0
    assert 0 < peaks[4] <= peaks[1] / 3


def test_a_tower_that_is_not_trained_runs_once(tmp_path, accelerator):
    one = learner()
    for parameter in one.model.encoders["photo"].parameters():
        parameter.requires_grad_(False)
    expected, found = both(tmp_path, accelerator, one, cut(batch(), 3))
    close(found, expected, 1e-5)
    ran = {name: len(tower.ran) - 3 for name, tower in one.model.encoders.items()}  # three are by hand
    assert ran == {"photo": 3, "caption": 6, "sound": 6}


def test_features_from_the_cache_need_no_encoder(tmp_path, accelerator):
    one, whole = learner(), batch()
    with torch.no_grad():
        stored = one.model.eval().encode(whole.inputs)["photo"]
    for parameter in one.model.encoders["photo"].parameters():
        parameter.requires_grad_(False)
    pieces, start = [], 0
    for piece in cut(whole, 3):
        end = start + len(piece.keys)
        pieces.append(piece._replace(inputs=piece.inputs | {"photo": Features(*(part[start:end] for part in stored))}))
        start = end
    one.model.encoders["photo"].ran.clear()
    expected, found = both(tmp_path, accelerator, one, pieces)
    close(found, expected, 1e-5)
    assert one.model.encoders["photo"].ran == []


def test_the_temperature_stays_within_its_bounds_and_is_not_decayed(tmp_path, accelerator):
    one = learner("sigmoid")
    run = training(tmp_path, one, accelerator, weight_decay=0.5, learning_rate=0.3)
    decayed = {id(p) for group in run.optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert decayed and id(one.model.logit_scale) not in decayed and id(one.model.logit_bias) not in decayed
    for kind, most in (("softmax", 100.0), ("sigmoid", 500.0)):
        run = training(tmp_path, learner(kind), accelerator)
        for start in (-3.0, 9.0):
            with torch.no_grad():
                run.learner.model.logit_scale.fill_(start)
            run.learner.post_step()
            assert run.learner.model.logit_scale.exp().item() == pytest.approx(1.0 if start < 0 else most)


def test_objectives_that_do_not_go_with_pieces_are_named(tmp_path, accelerator):
    one = learner()
    mixed = Learner(one.model, [*one.objectives, Supervised("kind")])
    training(tmp_path, mixed, accelerator)
    with pytest.raises(UserError, match=r"pieces \(2\) the objective 'kind' does not go together with 'photo_caption'"):
        training(tmp_path, mixed, accelerator, pieces=2)


def test_a_cached_step_has_embeddings_alone():
    step = CachedStep(learner().model, batch(), {"photo": torch.zeros(23, 6)}, "matching")
    assert step.similarity("photo", "photo").shape == (23, 23)
    for ask in (step.fused, lambda: step.features("photo")):
        with pytest.raises(UserError, match="objective 'matching' reads"):
            ask()
