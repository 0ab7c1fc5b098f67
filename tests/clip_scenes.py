"""What has to be so before the mistakes of reading and writing published models."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.parity.published import transformers_folder
from tests.parity.test_clip_errors import another_tokenizer, stated, weights

PAIR = Path("models/pair")


def published(change: Callable[[Path], object]) -> Callable[[object], None]:
    """A tiny published CLIP in models/pair, then changed."""

    def scene(_: object) -> None:
        transformers_folder(PAIR, "clip", "quick_gelu")
        change(PAIR)

    return scene


SCENES: dict[str, Callable[[object], None]] = {
    "A published model lacks a weight": published(
        weights(lambda tensors: tensors.pop("vision_model.post_layernorm.bias"))
    ),
    "A published model has an activation that ours are not": published(
        stated("config.json", "text_config", "hidden_act", value="relu")
    ),
    "A published model came with another tokenizer": published(another_tokenizer),
    "A file of weights does not say its activation": published(
        lambda folder: torch.save(load_file(folder / "model.safetensors"), folder / "weights.pt")
    ),
}
