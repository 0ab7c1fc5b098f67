"""The model's own randomness (dropout): how it is seeded, and how a forward pass repeats it."""

import hashlib
from typing import NamedTuple

import torch
from torch import Tensor


class RngState(NamedTuple):
    """The state of the generators that a model on one device draws from; `cuda` is None on the CPU."""

    cpu: Tensor
    cuda: Tensor | None


def seed(device: torch.device, use: str) -> None:
    """Makes the randomness a function of `use`, such as seed, step and process."""
    value = int.from_bytes(hashlib.blake2b(use.encode(), digest_size=7).digest(), "big")
    # torch.manual_seed asks every kind of device there could be, which is a good part of a small model's step.
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        torch.cuda.manual_seed(value)


def get_rng_state(device: torch.device) -> RngState:
    """The current state, for `set_rng_state`."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return RngState(torch.default_generator.get_state(), cuda)


def set_rng_state(device: torch.device, state: RngState) -> None:
    """Continues with the draws that followed `state`."""
    torch.default_generator.set_state(state.cpu)
    if state.cuda is not None:
        torch.cuda.set_rng_state(state.cuda, device)
