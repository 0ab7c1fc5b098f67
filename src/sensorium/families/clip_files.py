"""The files of a published CLIP: weights, tokenizer, and how pictures were prepared."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from sensorium.encoders.clip_image import MEAN, STD
from sensorium.encoders.clip_text import ClipTextConfig, end_token_of
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import UserError, check_known
from sensorium.model import Model

RESAMPLING = {"bilinear": 2, "bicubic": 3}  # Pillow's numbers, which published files use
NEEDED = {"do_resize": True, "do_rescale": True, "do_normalize": True}
ACTIVATIONS = {"gelu": "gelu", "quick_gelu": "quick_gelu", "gelu_pytorch_tanh": "gelu_tanh"}


def read_json(path: Path) -> dict[str, Any]:
    """Raises UserError when the file is missing or no JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); bring the whole folder of the model.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object; bring the whole folder of the model.")
    return content


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The weights of a .safetensors, .pt, .pth or .bin file, by name. Raises UserError when it holds anything else.
    Only tensors are unpickled. Of a training checkpoint its `state_dict` or `model` is read, without `module.`."""
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for what weights_only refuses; all mean the same to a user
        raise no_weights(path, error) from error
    for name in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{path} holds no state dictionary, that is, tensors by name; save the model's state_dict().")
    return {name.removeprefix("module."): value for name, value in content.items()}


def read_weights(folder: Path, names: tuple[str, ...]) -> dict[str, Tensor]:
    """The weights of the first of the files `names` that a folder holds. Raises UserError as `read_tensors` does."""
    name = next((name for name in names if (folder / name).exists()), None)
    if name is None:
        raise UserError(f"There is no {' or '.join(names)} in {folder}; bring the whole folder of the model.")
    return read_tensors(folder / name)


def no_weights(path: Path, error: Exception) -> UserError:
    """The sentence for a file whose weights cannot be read, because of `error`."""
    reason = f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no reason given'])[0].rstrip('.:')}"
    if path.suffix == ".safetensors":
        return UserError(f"{path} holds no weights that can be read ({reason}); bring a whole copy of it.")
    return UserError(
        f"{path} holds no weights that can be read without running code ({reason}); load it with its own library and"
        " save the state_dict() as .safetensors."
    )


def read_tokenizer(folder: Path, context: int, pad: int | None) -> TextProcessor:
    """The processor of `tokenizer.json`; `pad` is the padding where the folder states none. Raises UserError."""
    path = folder / "tokenizer.json"
    if not path.exists():
        raise UserError(
            f"There is no tokenizer.json in {folder}, without which no text can be read; put that of the model there."
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises plain Exception
        raise UserError(f"{path} is no tokenizer ({error}); bring a whole copy.") from error
    config_path = folder / "tokenizer_config.json"
    word = read_json(config_path).get("pad_token") if config_path.exists() else None
    number = tokenizer.token_to_id(word["content"] if isinstance(word, dict) else word) if word else None
    pad = number if number is not None else pad or 0
    return TextProcessor(tokenizer, context, pad, pad, None, None)


def write_tokenizer(folder: Path, model: Model, config: ClipTextConfig) -> None:
    """`tokenizer.json` and `tokenizer_config.json` of the model's text, as Transformers reads them."""
    processor = next(encoder.processor for _, encoder in model.encoders.items() if encoder.modality == "text")
    (folder / "tokenizer.json").write_text(processor.tokenizer.to_str(pretty=True), encoding="utf-8")
    tokenizer, end = processor.tokenizer, end_token_of(processor)
    pad = processor.pad_token if config.pads is None else config.pads
    words = {"pad_token": tokenizer.id_to_token(pad), "eos_token": None if end is None else tokenizer.id_to_token(end)}
    tokenizer_config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": config.context}
    tokenizer_config |= {name: word for name, word in words.items() if word is not None}
    text = json.dumps(tokenizer_config, indent=1, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def read_preparation(folder: Path, size: int) -> dict[str, Any]:
    """How pictures are prepared, as settings of ClipImageConfig, from `preprocessor_config.json` (or
    `processor_config.json`). Raises UserError when the folder has neither, and for a preparation that ours is not."""
    path = folder / "preprocessor_config.json"
    if path.exists():
        preprocessor = read_json(path)
    elif (folder / "processor_config.json").exists():
        path = folder / "processor_config.json"
        preprocessor = read_json(path).get("image_processor", {})
    else:
        raise UserError(f"There is no preprocessor_config.json in {folder}, which says how pictures are prepared.")
    goal = preprocessor.get("size", size)
    goal = {"shortest_edge": goal} if isinstance(goal, int) else goal
    crop = preprocessor.get("crop_size", size) if preprocessor.get("do_center_crop", "shortest_edge" in goal) else None
    crop = crop if crop is None or isinstance(crop, int) else crop.get("height")
    side = goal.get("shortest_edge", goal.get("height"))
    fits = "crop" if "shortest_edge" in goal else "squash"
    changed = [name for name, expected in NEEDED.items() if preprocessor.get(name, expected) != expected]
    factor = preprocessor.get("rescale_factor", 1 / 255)
    interpolation = {number: name for name, number in RESAMPLING.items()}.get(preprocessor.get("resample", 3))
    square = goal.get("width", side) == side and crop in (side, None) and (crop is not None or fits == "squash")
    if changed or not square or interpolation is None or not math.isclose(factor, 1 / 255, rel_tol=1e-6):
        raise UserError(
            f"{path} prepares pictures in a way that is not ours (resize, cut a square out of the middle or stretch,"
            f" divide by 255, normalise): size {goal}, crop {crop}, resample {preprocessor.get('resample')}."
        )
    if side != size:
        raise UserError(
            f"{path} brings pictures to {side} pixels, the model reads {size}; bring the files of one model."
        )
    mean, std = preprocessor.get("image_mean", MEAN), preprocessor.get("image_std", STD)
    prepared = {"fit": fits, "crop_offset": "down", "interpolation": interpolation}
    return prepared | {"mean": tuple(mean), "std": tuple(std)}


def preparation(settings: Any, kind: str) -> dict[str, Any]:
    """`preprocessor_config.json` for a ClipImageConfig; `kind` is "CLIP" or "Siglip"."""
    size, crop = settings.size, settings.fit == "crop"
    return {
        "image_processor_type": f"{kind}ImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": size} if crop else {"height": size, "width": size},
        "do_center_crop": crop,
        **({"crop_size": {"height": size, "width": size}} if crop else {}),
        "resample": RESAMPLING[settings.interpolation],
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(settings.mean),
        "image_std": list(settings.std),
    }


def activation(name: str) -> str:
    """Our name of an activation that Transformers names so. Raises UserError for one that ours are not."""
    check_known(ACTIVATIONS, "activation", name)
    return ACTIVATIONS[name]
