"""Transformers' `CLIPModel` and `SiglipModel` folders, read and written."""

import json
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from pydantic import ValidationError
from safetensors.torch import save_file
from transformers import CLIPConfig, SiglipConfig

from sensorium.encoders.clip_image import ClipImageConfig
from sensorium.encoders.clip_text import ClipTextConfig
from sensorium.errors import UserError, check_known
from sensorium.families import clip_files as files
from sensorium.families.clip import ClipConfig, clip
from sensorium.families.clip_weights import fill, publish, transformers_weights
from sensorium.model import Model

MODEL_TYPES = {"clip": CLIPConfig, "siglip": SiglipConfig}
LEGACY_END = 2  # the end token that OpenAI's published configurations state; Transformers then takes the largest number
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
BUFFERS = ("vision_model.embeddings.position_ids", "text_model.embeddings.position_ids")


def read(folder: Path) -> Model:
    """The model of a folder with config.json, weights, preprocessor_config.json and tokenizer.json. Raises UserError
    for anything that is missing, unknown, or does not fit the rest."""
    config_json = files.read_json(folder / "config.json")
    model_type = config_json.get("model_type")
    check_known(MODEL_TYPES, f"CLIP in {folder}: the model_type", str(model_type))
    try:
        published_config = MODEL_TYPES[model_type].from_dict(config_json)
        config = _config(published_config, model_type, folder)
    except (ValidationError, StrictDataclassError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise UserError(f"{folder / 'config.json'} describes no model of ours ({_first_line(error)}).") from error
    pad = published_config.text_config.pad_token_id
    tokenizer = files.read_tokenizer(folder, config.text.context, pad)
    if model_type == "siglip":
        config = config.model_copy(update={"text": config.text.model_copy(update={"pads": tokenizer.pad_token})})
    model = clip(config, tokenizer)
    weights = {name: value for name, value in files.read_weights(folder, WEIGHTS).items() if name not in BUFFERS}
    fill(model, transformers_weights(config), weights, str(folder))
    return model.eval()


def _config(published_config: Any, model_type: str, folder: Path) -> ClipConfig:
    vision, text, siglip = published_config.vision_config, published_config.text_config, model_type == "siglip"
    if siglip and not vision.vision_use_head:
        raise UserError(f"The model in {folder} has no pooling of its own (vision_use_head); choose one that has.")
    end, preparation = text.eos_token_id, files.read_preparation(folder, vision.image_size, siglip)
    image = ClipImageConfig(
        size=vision.image_size, patch=vision.patch_size, pre_norm=not siglip, patch_bias=siglip, augmentation=None,
        pooling="attention" if siglip else "class", **_shape(vision), **preparation,
    )  # fmt: skip
    pooling = "last" if siglip else "largest" if end == LEGACY_END else "end"
    words = ClipTextConfig(
        vocabulary=text.vocab_size, context=text.max_position_embeddings, causal=not siglip, pooling=pooling,
        end_token=end if pooling == "end" else None, **_shape(text),
    )  # fmt: skip
    return ClipConfig(
        image=image, text=words, dim=text.projection_size if siglip else published_config.projection_dim,
        image_projection=not siglip, text_bias=siglip, logit_bias=0.0 if siglip else None,
    )  # fmt: skip


def _shape(tower: Any) -> dict[str, Any]:
    return {
        "width": tower.hidden_size,
        "depth": tower.num_hidden_layers,
        "heads": tower.num_attention_heads,
        "ratio": tower.intermediate_size / tower.hidden_size,
        "activation": files.activation(tower.hidden_act),
        "eps": tower.layer_norm_eps,
    }


def write(model: Model, config: ClipConfig, model_type: str, folder: Path) -> None:
    """The folder that `read` and Transformers read; `model_type` is "clip" or "siglip"."""
    name = {"clip": "CLIP", "siglip": "Siglip"}[model_type]
    config_json = {
        "model_type": model_type,
        "architectures": [f"{name}Model"],
        "vision_config": _vision_json(config, model_type),
        "text_config": _text_json(config, model_type),
        **({"projection_dim": config.dim} if model_type == "clip" else {}),
    }
    (folder / "config.json").write_text(json.dumps(config_json, indent=1))
    (folder / "preprocessor_config.json").write_text(json.dumps(files.preparation(config.image, name), indent=1))
    save_file(publish(model, transformers_weights(config)), folder / WEIGHTS[0], metadata={"format": "pt"})
    files.write_tokenizer(folder, model, config.text)


def _vision_json(config: ClipConfig, model_type: str) -> dict[str, Any]:
    projection = {"projection_dim": config.dim} if model_type == "clip" else {}
    size = {"image_size": config.image.size, "patch_size": config.image.patch}
    return {"model_type": f"{model_type}_vision_model", **_tower_json(config.image), **size, **projection}


def _text_json(config: ClipConfig, model_type: str) -> dict[str, Any]:
    text = config.text
    extras: dict[str, Any] = {"projection_size": config.dim, "pad_token_id": text.pads}
    if model_type == "clip":
        end = LEGACY_END if text.pooling == "largest" else text.end_token
        if text.pooling == "end" and end == LEGACY_END:
            raise UserError(
                "Transformers reads an end token of number 2 as the largest one; such a model it cannot open."
            )
        extras = {"projection_dim": config.dim, "eos_token_id": end}
    size = {"vocab_size": text.vocabulary, "max_position_embeddings": text.context}
    return {"model_type": f"{model_type}_text_model", **_tower_json(text), **size, **extras}


def _tower_json(tower: ClipImageConfig | ClipTextConfig) -> dict[str, Any]:
    return {
        "hidden_size": tower.width,
        "intermediate_size": tower.hidden,
        "num_hidden_layers": tower.depth,
        "num_attention_heads": tower.heads,
        "hidden_act": next(name for name, ours in files.ACTIVATIONS.items() if ours == tower.activation),
        "layer_norm_eps": tower.eps,
    }


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return str(error.errors()[0]["msg"])
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip().rstrip(".")
