"""What a model's embeddings depend on, as one short string."""

import hashlib
import tempfile
from pathlib import Path

import torch
from torch import nn

from sensorium.model import Model


def fingerprint(model: Model) -> str:
    """32 hexadecimal digits (BLAKE2b) of the model's inputs, encoders, processors and projections: equal when two
    models embed alike. Heads, fusion and temperature do not count."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(sorted(model.encoders.index.items())).encode())
    for encoder in model.encoders.modules_once:
        digest.update(f"{type(encoder).__name__} {encoder.config.model_dump_json()}".encode())
        _feed_weights(digest, encoder)
        if encoder.processor is not None:
            _feed_processor(digest, encoder.processor)
    for name, projection in sorted(model.projections.items()):
        digest.update(f"projection {name}".encode())
        _feed_weights(digest, projection)
    return digest.hexdigest()


def _feed_weights(digest: "hashlib._Hash", module: nn.Module) -> None:
    for name, tensor in module.state_dict().items():
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)  # [bytes]


def _feed_processor(digest: "hashlib._Hash", processor: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        processor.save(Path(folder))
        for file in sorted(Path(folder).rglob("*")):
            if file.is_file():
                digest.update(file.relative_to(folder).as_posix().encode())
                digest.update(file.read_bytes())
