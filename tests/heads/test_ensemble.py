"""The decision of a network and of experts together."""

import numpy as np
import pytest
import torch

from sensorium.features import Features
from sensorium.heads.ensemble import Ensemble, EnsembleConfig, ensemble_config, greedy_shares
from sensorium.heads.late import Late, LateConfig

K = 3


def head(read: list[tuple[int, list[str]]]) -> Ensemble:
    """Of a network with a token for each of `a` and `b`, and one for both; 4 wide."""
    late = LateConfig(head="classes", config={"classes": K, "prior": [0.5, 0.3, 0.2]}, experts=3)
    torch.manual_seed(0)
    return Ensemble(EnsembleConfig(**ensemble_config(Late(late, 4), 4, K, ["a", "b"], read)), 4).eval()


def fused(present: list[list[bool]], scores: np.ndarray) -> Features:
    """Random tokens of the network, and the experts' `scores`, [B, E, K]."""
    mask = torch.tensor(present)
    torch.manual_seed(1)
    network = torch.nn.functional.pad(torch.randn(len(present), 3, 4), (0, 0))
    experts = torch.nn.functional.pad(torch.as_tensor(scores, dtype=torch.float32), (0, 4 - K))
    tokens = torch.where(mask[..., None], torch.cat([network, experts], dim=1), 0.0)
    return Features(tokens, mask, torch.zeros(len(present), 4))


def log_probabilities(count: int, sharp: float = 1.0, seed: int = 0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(count, 1, K)) * sharp
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def test_what_reads_the_same_inputs_is_one_group_and_what_reads_all_stands_beside():
    config = head([(0, ["a"]), (1, ["a", "b"])]).config
    assert config.groups == [[0, 3], [1], [2]] and config.whole == [4]


def test_an_expert_that_is_right_is_trusted_and_noise_is_not():
    truth = torch.from_numpy(np.random.default_rng(5).integers(0, K, 200))
    right = np.full((200, 1, K), -4.0)
    right[np.arange(200), 0, truth.numpy()] = -0.04
    noise = log_probabilities(200, 3.0)
    ensemble = head([(0, ["a"]), (1, ["a"])])
    batch = fused([[True, True, True, True, True]] * 200, np.concatenate([right, noise], axis=1))
    ensemble.calibrate(batch, {"label": truth, "mask": torch.ones(200, dtype=torch.bool)})
    assert ensemble.shares_0[1] > 0.8 and ensemble.shares_0[2] < 0.1
    assert (ensemble.predict(batch)["decision"] == truth).float().mean() > 0.98


def test_a_record_with_one_input_is_decided_by_that_inputs_group_alone():
    ensemble = head([(0, ["a"]), (1, ["a", "b"])])
    ensemble.shares_0.copy_(torch.tensor([0.0, 1.0]))
    scores = np.concatenate([log_probabilities(1), log_probabilities(1, seed=3)], axis=1)
    batch = fused([[True, False, False, True, False]], scores)
    assert torch.allclose(
        ensemble.predict(batch)["probabilities"][0].log(), torch.tensor(scores[0, 0]).float(), atol=1e-5
    )


def test_nothing_present_is_the_prior_and_absent_tokens_change_no_bit():
    ensemble = head([(0, ["a"]), (1, ["a", "b"])])
    scores = np.concatenate([log_probabilities(2), log_probabilities(2, seed=3)], axis=1)
    batch = fused([[False] * 5, [True, False, False, True, False]], scores)
    prediction = ensemble.predict(batch)
    assert prediction["probabilities"][0].tolist() == pytest.approx([0.5, 0.3, 0.2])
    noisy = batch._replace(tokens=torch.where(batch.mask[..., None], batch.tokens, 7.0))
    assert torch.equal(ensemble.predict(noisy)["probabilities"], prediction["probabilities"])


def test_shares_are_chosen_greedily_by_the_loss():
    target = torch.tensor([0.75, 0.25, 0.0], dtype=torch.float64)
    shares = greedy_shares(lambda shares: float((shares - target).square().sum()), 3)
    assert torch.allclose(shares, target, atol=0.05)


def test_numbers_of_experts_that_are_absent_leave_the_decision_finite():
    late = LateConfig(head="number", config={"mean": 5.0, "scale": 2.0}, experts=3)
    ensemble = Ensemble(EnsembleConfig(**ensemble_config(Late(late, 4), 4, 2, ["a", "b"], [(0, ["a"])])), 4).eval()
    tokens = torch.zeros(2, 4, 4)
    tokens[:, 3, :2] = torch.tensor([1.5, 0.25])
    batch = Features(
        tokens, torch.tensor([[False, False, False, True], [False, True, False, False]]), torch.zeros(2, 4)
    )
    with torch.no_grad():
        decision = ensemble.predict(batch)["decision"].tolist()
    assert np.isfinite(decision).all() and decision[0] == pytest.approx(5.0 + 2.0 * 1.5)
