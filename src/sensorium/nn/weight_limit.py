"""A bound on what is built for a file of weights: sizes that do not fit it are refused before memory is full."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.modules import module as registration

SLACK = 4  # a part may be built and then left out, or shared
FEW_TENSORS, FEW_WEIGHTS = 2_000, 50_000_000


@contextmanager
def limit_weights(path: Path) -> Iterator[None]:
    """While entered, what this thread builds has few more weights than the .safetensors file `path`.

    Raises ValueError when it has many more, and SafetensorError or OSError when the file cannot be read.
    """
    with safe_open(path, "pt") as file:
        sizes = [prod(file.get_slice(name).get_shape()) for name in file.keys()]  # noqa: SIM118 (it is no dictionary)
    tensors_left, weights_left = SLACK * len(sizes) + FEW_TENSORS, SLACK * sum(sizes) + FEW_WEIGHTS
    thread = threading.get_ident()

    def count(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal tensors_left, weights_left
        if threading.get_ident() == thread and tensor is not None:
            tensors_left, weights_left = tensors_left - 1, weights_left - tensor.numel()
            if min(tensors_left, weights_left) < 0:
                raise ValueError(f"its parts have far more weights than {path.name} holds")

    handles = [
        registration.register_module_parameter_registration_hook(count),
        registration.register_module_buffer_registration_hook(count),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
