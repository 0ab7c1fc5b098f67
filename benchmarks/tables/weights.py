"""Pretrained weights that installed packages bring, as the baselines and AutoGluon both read them."""

import json
from pathlib import Path

import timm
import torch

from sensorium.nn.packs import PACKS, resolve

ARCHITECTURE = "tf_efficientnet_lite0"
CONFIG = {"architecture": ARCHITECTURE, "num_features": 1280, "input_size": [3, 224, 224], "crop_pct": 0.875}
CONFIG |= {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "classifier": "classifier"}


def find_weights(work: Path) -> dict[str, str]:
    """Folders by encoder: "minilm" as Transformers reads it, "efficientnet" as timm does, written under `work`, and,
    where the package is installed, "whisper" as CTranslate2 does.
    """
    weights = {"minilm": resolve("minilm"), "efficientnet": str(timm_folder(work / "efficientnet"))}
    whisper = PACKS["whisper-tiny.en"].location
    return weights | {"whisper": str(whisper)} if whisper else weights


def timm_folder(folder: Path) -> Path:
    """EfficientNet-lite0 without its classifier, its tensors, which the package names otherwise, matched by order.

    Raises ValueError where their shapes are not timm's.
    """
    if not (folder / "config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        names = timm.create_model(ARCHITECTURE).state_dict()
        weights = resolve("efficientnet-lite0")
        tensors = torch.load(weights, map_location="cpu", weights_only=True).values()
        if [tensor.shape for tensor in tensors] != [tensor.shape for tensor in names.values()]:
            raise ValueError(f"the tensors of {weights} are not those of timm's {ARCHITECTURE}")
        state = dict(zip(names, tensors, strict=True))
        state = {name: tensor for name, tensor in state.items() if not name.startswith("classifier")}
        torch.save(state, folder / "pytorch_model.bin")
        (folder / "config.json").write_text(
            json.dumps({"architecture": ARCHITECTURE, "num_features": 1280, "pretrained_cfg": CONFIG})
        )
    return folder
