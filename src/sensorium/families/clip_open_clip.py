"""open_clip's hub folders and bare state dictionaries, and OpenAI's own; read, and the folders written."""

import json
from pathlib import Path
from typing import Any

import timm
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from sensorium.encoders.clip_image import MEAN, STD, ClipImageConfig
from sensorium.encoders.clip_text import ClipTextConfig
from sensorium.encoders.image_processor import ImageSettings
from sensorium.errors import UserError
from sensorium.families.clip import ClipConfig, clip
from sensorium.families.clip_files import read_json, read_tensors, read_tokenizer, read_weights, write_tokenizer
from sensorium.families.clip_weights import fill, open_clip_weights, publish
from sensorium.model import Model

CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
OPENAI = ("input_resolution", "context_length", "vocab_size")  # three numbers among OpenAI's weights, and only there
BUFFERS = (*OPENAI, "attn_mask", "text.attn_mask")
POOLING = {"argmax": "largest", "eos": "end", "last": "last", "first": "first"}
FITS = {"shortest": "crop", "squash": "squash"}
# What a configuration may say. Any other setting must be off, for ours have no such part.
VISION = {
    "image_size", "layers", "width", "head_width", "mlp_ratio", "patch_size", "patch_dropout", "no_ln_pre", "pool_type",
    "norm_kwargs", "act_kwargs", "timm_model_name", "timm_model_pretrained", "timm_pool", "timm_proj", "timm_drop",
    "attn_pooler_queries", "attn_pooler_heads", "output_tokens",
}  # fmt: skip
TEXT = {
    "context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "pad_id", "eos_id", "no_causal_mask",
    "pool_type", "proj_bias", "proj_type", "norm_kwargs", "act_kwargs", "hf_tokenizer_name", "tokenizer_kwargs",
    "tokenizer_mode", "output_tokens",
}  # fmt: skip
MODEL = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text", "init_logit_bias", "init_logit_scale"}
OFF = (None, False, 0, 0.0, "", "learnable", "default")
ACT = {"gelu": None, "gelu_tanh": {"approximate": "tanh"}, "quick_gelu": None}


def read(folder: Path) -> Model:
    """The model of a hub folder: open_clip_config.json, open_clip_model.safetensors and tokenizer.json. Raises
    UserError for anything that is missing, unknown, or does not fit the rest."""
    config = read_json(folder / CONFIG)
    return _build(config, read_weights(folder, WEIGHTS), folder, folder / CONFIG)


def read_file(path: Path, activation: str | None) -> Model:
    """The model of a bare state dictionary, with tokenizer.json beside it.

    Its configuration is open_clip_config.json beside it; else its sizes are the weights', its heads 64 wide, and its
    activation quick_gelu if the weights are OpenAI's own; what others' is, `activation` has to say.
    Raises UserError as `read` does, and where the activation is not known."""
    tensors = read_tensors(path)
    if (path.parent / CONFIG).exists():
        return _build(read_json(path.parent / CONFIG), tensors, path.parent, path)
    openai = OPENAI[0] in tensors
    if activation is None and not openai:
        raise UserError(
            f"{path} does not say its activation; state it with --activation quick_gelu or gelu, or put its"
            f" {CONFIG} beside it."
        )
    return _build(_config_from_weights(tensors, activation or "quick_gelu", path), tensors, path.parent, path)


def _config_from_weights(tensors: dict[str, Tensor], activation: str, path: Path) -> dict[str, Any]:
    """What the shapes of a vision transformer's weights say of its configuration."""
    front = "text." if "text.ln_final.weight" in tensors else ""
    try:
        kernel, words = tensors["visual.conv1.weight"], tensors[f"{front}token_embedding.weight"]
        side = round((len(tensors["visual.positional_embedding"]) - 1) ** 0.5)
        projection, context = tensors[f"{front}text_projection"], tensors[f"{front}positional_embedding"]
    except KeyError as error:
        raise UserError(
            f"{path} lacks the weight {error}: it is no CLIP of OpenAI's or open_clip's layout with a vision"
            " transformer."
        ) from error
    act = None if activation != "gelu_tanh" else ACT[activation]
    vision = {"image_size": side * kernel.shape[2], "layers": _depth(tensors, "visual."), "width": len(kernel)}
    vision |= {"patch_size": kernel.shape[2], "act_kwargs": act}
    text = {"context_length": len(context), "vocab_size": len(words), "width": words.shape[1], "act_kwargs": act}
    text |= {"heads": words.shape[1] // 64, "layers": _depth(tensors, front)}
    model_config = {"embed_dim": projection.shape[1], "vision_cfg": vision, "text_cfg": text}
    bias = {"init_logit_bias": 0.0} if "logit_bias" in tensors else {}
    options = {"custom_text": bool(front), "quick_gelu": activation == "quick_gelu"}
    return {"model_cfg": model_config | bias | options}


def _depth(tensors: dict[str, Tensor], front: str) -> int:
    blocks = f"{front}transformer.resblocks."
    return len({name for name in tensors if name.startswith(blocks) and "ln_1.weight" in name})


def _build(stated_config: dict[str, Any], tensors: dict[str, Tensor], folder: Path, source: Path) -> Model:
    model_config = stated_config.get("model_cfg", stated_config)
    try:
        tokenizer = read_tokenizer(folder, model_config.get("text_cfg", {}).get("context_length", 77), None)
        config = _config(model_config, stated_config.get("preprocess_cfg", {}), tokenizer.pad_token, source)
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"{error}"
        raise UserError(f"{source} describes no model of ours ({reason}).") from error
    model = clip(config, tokenizer)
    weights = {name: value for name, value in tensors.items() if name not in BUFFERS}
    custom = any(name.startswith("text.") for name in weights)
    fill(model, open_clip_weights(config, custom), weights, str(source))
    return model.eval()


def _config(model_config: dict[str, Any], preparation: dict[str, Any], pad: int, source: Path) -> ClipConfig:
    vision, text = model_config["vision_cfg"], model_config["text_cfg"]
    sections = (model_config, MODEL, "model_cfg"), (vision, VISION, "vision_cfg"), (text, TEXT, "text_cfg")
    for section, known_settings, section_name in sections:
        for name, value in section.items():
            if name not in known_settings and value not in OFF:
                raise UserError(
                    f"{source} has the setting '{name}: {value}' in {section_name}, which our towers do not have."
                )
    quick = bool(model_config.get("quick_gelu"))
    if text.get("proj_type", "linear") != "linear" or text.get("pool_type", "argmax") not in POOLING:
        raise UserError(f"{source} pools or projects its texts in a way that our text tower does not.")
    causal, pooling = not text.get("no_causal_mask"), POOLING[text.get("pool_type", "argmax")]
    words = ClipTextConfig(
        vocabulary=text.get("vocab_size", 49_408), context=text.get("context_length", 77), width=text.get("width", 512),
        depth=text.get("layers", 12), heads=text.get("heads", 8), ratio=text.get("mlp_ratio", 4.0), causal=causal,
        activation=_activation(quick, text), eps=_eps(text), pooling=pooling,
        end_token=text.get("eos_id", 2) if pooling == "end" else None,
        pads=pad if pooling == "last" or not causal else None,  # open_clip masks no padding
    )  # fmt: skip
    training = {"patch_dropout": vision.get("patch_dropout", 0.0), "augmentation": None}
    picture = _preparation(preparation, source) | training
    trunk = bool(vision.get("timm_model_name"))
    image = _timm(vision, picture, source) if trunk else _visual(vision, picture, quick, source)
    return ClipConfig(
        image=image, text=words, dim=model_config["embed_dim"], image_projection=not trunk,
        text_bias=bool(text.get("proj_bias")), logit_bias=model_config.get("init_logit_bias"),
    )  # fmt: skip


def _visual(vision: dict[str, Any], picture: dict[str, Any], quick: bool, source: Path) -> ClipImageConfig:
    width = vision.get("width", 768)
    if isinstance(vision.get("layers", 12), list) or vision.get("pool_type", "tok") != "tok":
        raise UserError(f"The picture tower of {source} is no vision transformer with a class token, which ours is.")
    return ClipImageConfig(
        size=vision.get("image_size", 224), patch=vision.get("patch_size", 16), width=width,
        depth=vision.get("layers", 12), heads=width // vision.get("head_width", 64), eps=_eps(vision),
        ratio=vision.get("mlp_ratio", 4.0), activation=_activation(quick, vision),
        pre_norm=not vision.get("no_ln_pre"), **picture,
    )  # fmt: skip


def _timm(vision: dict[str, Any], picture: dict[str, Any], source: Path) -> ClipImageConfig:
    """A timm model's shape, by its name, if it is SigLIP's: patches without a class token, pooled by attention."""
    name = vision["timm_model_name"]
    trunk = trunk_of(name)
    config = None if trunk is None else shape_of(trunk)
    if config is None or vision.get("timm_pool") != "map" or vision.get("timm_proj", "linear") not in ("none", ""):
        raise UserError(
            f"The picture tower of {source} is timm's '{name}', which is none of SigLIP's; use it by its own name, as"
            " --encoder image=timm:NAME."
        )
    if config.size != vision.get("image_size", config.size):
        raise UserError(f"{source} states pictures of {vision['image_size']} pixels, its '{name}' reads {config.size}.")
    return config.model_copy(update=picture)


def trunk_of(name: str) -> VisionTransformer | None:
    """timm's model of that name without weights or memory for them; None when there is none or it is another kind."""
    try:
        with torch.device("meta"):
            trunk = timm.create_model(name, pretrained=False, num_classes=0, global_pool="map")
    except (RuntimeError, TypeError, ValueError, AssertionError):
        return None
    return trunk if isinstance(trunk, VisionTransformer) else None


def shape_of(trunk: VisionTransformer) -> ClipImageConfig | None:
    """Its shape as a ClipImageConfig; None when it has parts that ours lacks, or lacks the attention pooling."""
    pool, first = trunk.attn_pool, trunk.blocks[0]
    optional_layers = (first.ls1, first.ls2, first.attn.q_norm, first.attn.k_norm, trunk.norm_pre, trunk.fc_norm)
    plain = trunk.cls_token is None and not getattr(trunk, "num_prefix_tokens", 0)
    if pool is None or not plain or any(not isinstance(layer, nn.Identity) for layer in optional_layers):
        return None
    act, width = first.mlp.act, trunk.embed_dim
    exact = getattr(act, "approximate", "none") == "none" and type(act).__name__ != "GELUTanh"
    return ClipImageConfig(
        size=trunk.patch_embed.img_size[0], patch=trunk.patch_embed.patch_size[0], width=width,
        depth=len(trunk.blocks), heads=first.attn.num_heads, ratio=first.mlp.fc1.out_features / width,
        activation="gelu" if exact else "gelu_tanh", pooling="attention", pre_norm=False, patch_bias=True,
        eps=first.norm1.eps,
    )  # fmt: skip


def _activation(quick: bool, tower: dict[str, Any]) -> str:
    arguments = tower.get("act_kwargs") or {}
    if arguments not in ({}, {"approximate": "tanh"}, {"approximate": "none"}) or (arguments and quick):
        raise ValueError(f"the activation with {arguments} is none of gelu, gelu_tanh and quick_gelu")
    return "quick_gelu" if quick else "gelu_tanh" if arguments.get("approximate") == "tanh" else "gelu"


def _eps(tower: dict[str, Any]) -> float:
    return (tower.get("norm_kwargs") or {}).get("eps", 1e-5)


def _preparation(preparation: dict[str, Any], source: Path) -> dict[str, Any]:
    fit, interpolation = preparation.get("resize_mode", "shortest"), preparation.get("interpolation", "bicubic")
    if fit not in FITS or interpolation not in ("bicubic", "bilinear"):
        raise UserError(f"{source} prepares pictures by '{fit}' and '{interpolation}', which ours does not.")
    mean, std = tuple(preparation.get("mean", MEAN)), tuple(preparation.get("std", STD))
    return {"fit": FITS[fit], "interpolation": interpolation, "mean": mean, "std": std}


def write(model: Model, config: ClipConfig, model_type: str, folder: Path) -> None:
    """The folder that `read` and open_clip (`local-dir:FOLDER`) read; `model_type` is "clip" or "siglip"."""
    siglip = model_type == "siglip"
    image, text = config.image, config.text
    if not siglip and (image.activation == "quick_gelu") != (text.activation == "quick_gelu"):
        raise UserError("open_clip has one activation for both towers, this model has two; write it for Transformers.")
    model_config: dict[str, Any] = {
        "embed_dim": config.dim,
        "vision_cfg": _timm_json(config) if siglip else _vision_json(image),
        "text_cfg": _text_json(config, siglip),
    }
    if text.activation == "quick_gelu":
        model_config["quick_gelu"] = True
    if siglip:
        model_config |= {"custom_text": True, "init_logit_bias": -10.0}
    fit = next(name for name, ours in FITS.items() if ours == image.fit)
    preparation = {"mean": list(image.mean), "std": list(image.std), "interpolation": image.interpolation}
    config_json = {"model_cfg": model_config, "preprocess_cfg": preparation | {"resize_mode": fit}}
    (folder / CONFIG).write_text(json.dumps(config_json, indent=1))
    save_file(publish(model, open_clip_weights(config, siglip)), folder / WEIGHTS[0], metadata={"format": "pt"})
    write_tokenizer(folder, model, text)


def _vision_json(image: ClipImageConfig) -> dict[str, Any]:
    settings = {
        "image_size": image.size, "layers": image.depth, "width": image.width, "head_width": image.width // image.heads,
        "mlp_ratio": image.ratio, "patch_size": image.patch, "patch_dropout": image.patch_dropout,
    }  # fmt: skip
    return settings | _extras_json(image)


def _timm_json(config: ClipConfig) -> dict[str, Any]:
    image, not_shape = config.image, {*ImageSettings.model_fields, "mean", "std", "patch_dropout"} - {"size"}
    shape = image.model_dump(exclude=not_shape)
    for name in timm.list_models("vit_*siglip*"):
        trunk = trunk_of(name) if f"patch{image.patch}_" in name else None
        trunk_shape = None if trunk is None else shape_of(trunk)
        if trunk_shape is not None and trunk_shape.model_dump(exclude=not_shape) == shape:
            return {"image_size": image.size, "timm_model_name": name, "timm_model_pretrained": False,
                    "timm_pool": "map", "timm_proj": "none"}  # fmt: skip
    raise UserError(
        "open_clip takes SigLIP's picture tower from timm, which has none of this shape; write it for Transformers."
    )


def _text_json(config: ClipConfig, siglip: bool) -> dict[str, Any]:
    text = config.text
    settings: dict[str, Any] = {
        "context_length": text.context, "vocab_size": text.vocabulary, "hf_tokenizer_name": "this folder",
        "width": text.width, "heads": text.heads, "layers": text.depth, "mlp_ratio": text.ratio,
        # Ours lower-case and clean texts inside tokenizer.json.
        "tokenizer_kwargs": {"clean": "whitespace"},
    }  # fmt: skip
    if siglip:
        settings |= {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"}
    elif text.pooling == "end":
        settings |= {"pool_type": "eos", "eos_id": text.end_token}
    return settings | _extras_json(text)


def _extras_json(tower: ClipImageConfig | ClipTextConfig) -> dict[str, Any]:
    act = {"act_kwargs": ACT[tower.activation]} if ACT[tower.activation] else {}
    return act | ({"norm_kwargs": {"eps": tower.eps}} if tower.eps != 1e-5 else {})
