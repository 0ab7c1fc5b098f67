"""The files of a published CLIP: weights, tokenizer, and how pictures were prepared."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveInt, TypeAdapter, ValidationError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from sensorium.encoders.clip_image import MEAN, STD
from sensorium.encoders.clip_text import ClipTextConfig, end_token_of
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import UserError, check_known
from sensorium.model import Model

RESAMPLING = {"bilinear": 2, "bicubic": 3}  # Pillow's numbers, which published files use
_INTERPOLATION = {str(number): name for name, number in RESAMPLING.items()}
INDEX = ".index.json"  # ends the name of the file that says which weight is in which of several files
SHARDS = (".safetensors", ".bin")
NEEDED = {"do_resize": True, "do_rescale": True, "do_normalize": True}
ACTIVATIONS = {"gelu": "gelu", "quick_gelu": "quick_gelu", "gelu_pytorch_tanh": "gelu_tanh"}


def read_json(path: Path) -> dict[str, Any]:
    """Raises UserError when the file is missing or no JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
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
    """The weights of the first of the files `names` that a folder holds, in one file or in several that an index lists.
    Raises UserError as `read_tensors` does."""
    for name in names:
        if (folder / name).exists():
            return read_tensors(folder / name)
        if (folder / f"{name}{INDEX}").exists():
            return _read_shards(folder / f"{name}{INDEX}")
    raise UserError(
        f"There is no {' or '.join(names)} in {folder}, nor the {INDEX[1:]} of one in several files; bring the whole"
        " folder of the model."
    )


def _read_shards(index: Path) -> dict[str, Tensor]:
    """The weights of the files that the `weight_map` of an index names. Raises UserError when one is missing."""
    weight_map = read_json(index).get("weight_map")
    shards = sorted(set(map(str, weight_map.values()))) if isinstance(weight_map, dict) else []
    if not shards or any(Path(shard).name != shard or Path(shard).suffix not in SHARDS for shard in shards):
        raise UserError(f"{index} does not say which files hold the weights (weight_map); bring a whole copy of it.")
    missing = [shard for shard in shards if not (index.parent / shard).exists()]
    if missing:
        raise UserError(
            f"There is no {missing[0]} in {index.parent}, one of the {len(shards)} files of weights that {index.name}"
            " lists; bring the whole folder of the model."
        )
    return {name: value for shard in shards for name, value in read_tensors(index.parent / shard).items()}


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
    word = word.get("content") if isinstance(word, dict) else word
    number = tokenizer.token_to_id(word) if isinstance(word, str) else None
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


def read_preparation(folder: Path, size: int, siglip: bool) -> dict[str, Any]:
    """How pictures are prepared, as settings of ClipImageConfig, from `preprocessor_config.json` (or
    `processor_config.json`). What the file leaves open is as Transformers' class for a CLIP, or a SigLIP, has it, but
    for the size, which is the model's. Raises UserError when the folder has neither file, and for a preparation that
    ours is not."""
    path, preprocessor = _read_preprocessor(folder)
    try:
        goal = _size_of(preprocessor.get("size", size), "height" if siglip else "shortest_edge")
        crops = preprocessor.get("do_center_crop", not siglip)
        crop = _size_of(preprocessor.get("crop_size", size), "height") if crops else None
        mean, std = (
            TypeAdapter(tuple[float, float, float]).validate_python(value if isinstance(value, list) else [value] * 3)
            for value in (
                preprocessor.get("image_mean", 0.5 if siglip else list(MEAN)),
                preprocessor.get("image_std", 0.5 if siglip else list(STD)),
            )
        )
        factor = float(preprocessor.get("rescale_factor", 1 / 255))
    except (ValueError, TypeError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UserError(f"{path} does not say how pictures are prepared ({reason}); bring a whole copy.") from error
    fits = "crop" if "shortest_edge" in goal else "squash"
    side = goal.get("shortest_edge", goal.get("height"))
    changed = [name for name, expected in NEEDED.items() if preprocessor.get(name, expected) != expected]
    resample = str(preprocessor.get("resample", RESAMPLING["bicubic"])).rpartition(".")[2].lower()
    interpolation = resample if resample in RESAMPLING else _INTERPOLATION.get(resample)
    square = goal.get("width", side) == side and set((crop or {}).values()) <= {side}
    square &= (crop is not None or fits == "squash") and goal.keys() <= {"shortest_edge", "height", "width"}
    if changed or not square or interpolation is None or not math.isclose(factor, 1 / 255, rel_tol=1e-6):
        raise UserError(
            f"{path} prepares pictures in a way that is not ours (resize, cut a square out of the middle or stretch,"
            f" divide by 255, normalise): size {goal}, crop {crop}, resample {preprocessor.get('resample')}."
        )
    if side != size:
        raise UserError(
            f"{path} brings pictures to {side} pixels, the model reads {size}; bring the files of one model."
        )
    prepared = {"fit": fits, "crop_offset": "down", "interpolation": interpolation}
    return prepared | {"mean": mean, "std": std}


def _read_preprocessor(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The file that says how pictures are prepared, and what of it is not null."""
    path = folder / "preprocessor_config.json"
    preprocessor = read_json(path) if path.exists() else None
    if preprocessor is None and (folder / "processor_config.json").exists():
        path = folder / "processor_config.json"
        preprocessor = read_json(path).get("image_processor")
    if not isinstance(preprocessor, dict):
        raise UserError(f"There is no preprocessor_config.json in {folder}, which says how pictures are prepared.")
    return path, {name: value for name, value in preprocessor.items() if value is not None}


def _size_of(written: Any, edge: str) -> dict[str, int]:
    """A size as Transformers writes it now, {"shortest_edge"} or {"height", "width"}; earlier it was a list of height
    and width, or a number, which is the `edge` and, where that is a height, the width too. Raises ValueError."""
    if isinstance(written, list) and len(written) == 2:
        written = dict(zip(("height", "width"), written, strict=True))
    elif not isinstance(written, dict):
        written = {"shortest_edge": written} if edge == "shortest_edge" else {"height": written, "width": written}
    sides = {name: value for name, value in written.items() if value is not None}
    return TypeAdapter(dict[str, PositiveInt]).validate_python(sides)


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
