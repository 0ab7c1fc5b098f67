"""What has to be so before the mistakes in the control of training are made."""

from collections.abc import Callable
from typing import Any

from sensorium.training import adapters, tensorboard


def without_peft(scene: Any) -> None:
    """A machine without the package that makes adapters."""
    scene.monkeypatch.setattr(adapters, "find_spec", lambda name: None)


def without_tensorboard(scene: Any) -> None:
    """A machine without the package that writes for TensorBoard."""
    scene.monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)


SCENES: dict[str, Callable[[Any], None]] = {
    "The package for adapters is not installed": without_peft,
    "The package for TensorBoard is not installed": without_tensorboard,
}
