"""Florence-2 as Microsoft publishes it: its configuration, weights and tokens, made Transformers' own and back."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer
from torch import Tensor
from transformers import (
    BartConfig,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2VisionConfig,
    PreTrainedConfig,
)

from sensorium.data.targets.places import location_tokens
from sensorium.errors import UserError
from sensorium.families.clip_files import read_json, read_weights
from sensorium.families.florence_weights import ORIGINAL_COPIES, original_weights
from sensorium.families.weights import filled, published
from sensorium.nn.hub import FAILURES, architecture_of

CONFIG, WEIGHTS = "config.json", "model.safetensors"
BINS = 1000
# What Microsoft's code adds to BART's tokens, in this order, when it reads a folder.
ADDED = [
    "<od>", "</od>", "<ocr>", "</ocr>", *location_tokens(BINS), "<cap>", "</cap>", "<ncap>", "</ncap>", "<dcap>",
    "</dcap>", "<grounding>", "</grounding>", "<seg>", "</seg>", "<sep>", "<region_cap>", "</region_cap>",
    "<region_to_desciption>", "</region_to_desciption>", "<proposal>", "</proposal>", "<poly>", "</poly>", "<and>",
]  # fmt: skip
_SOURCES = ["spatial_avg_pool", "temporal_avg_pool"]  # what of a picture's last map is read, in this order
_BIAS = "language_model.final_logits_bias"


def is_original(folder: Path) -> bool:
    """Whether the folder of a Florence-2 is in Microsoft's layout."""
    vision = read_json(folder / CONFIG).get("vision_config")
    return isinstance(vision, dict) and "dim_embed" in vision


def read_original(folder: Path) -> Florence2ForConditionalGeneration:
    """The model of Microsoft's folder. No code of the folder is run. Raises UserError for a folder that is incomplete,
    or differs from what Florence-2 is."""
    settings = read_json(folder / CONFIG)
    try:
        config = _config_of(settings)
        with torch.device("meta"):  # random weights would be replaced at once
            model = Florence2ForConditionalGeneration(config)
    except FAILURES as error:
        raise UserError(
            f"{folder / CONFIG} is no Florence-2 ({type(error).__name__}: {error}); bring its own."
        ) from error
    tensors = read_weights(folder, (WEIGHTS, "pytorch_model.bin"))
    if tensors.pop(_BIAS, torch.zeros(1)).any():
        raise UserError(f"{folder} has a bias of its words ({_BIAS}), which a Florence-2 has not.")
    state = model.state_dict()
    copies = tuple(name for name in ORIGINAL_COPIES if name in tensors)
    model.load_state_dict(filled(state, original_weights(state, copies), tensors, str(folder), {"": ""}), False, True)
    model.tie_weights()
    return model.eval()


def _config_of(settings: dict[str, Any]) -> Florence2Config:
    """Transformers' configuration of Microsoft's. Raises UserError for what of a picture is not read so here."""
    vision = dict(settings["vision_config"])
    if vision.pop("image_feature_source", _SOURCES) != _SOURCES:
        raise UserError(
            f"This Florence-2 reads more or less of a picture than {' and '.join(_SOURCES)}, and is not known here."
        )
    positions = vision.pop("image_pos_embed")["max_pos_embeddings"]
    temporal = vision.pop("visual_temporal_embedding")["max_temporal_embeddings"]
    sizes = {
        "embed_dim": vision["dim_embed"],
        "max_position_embeddings": positions,
        "max_temporal_embeddings": temporal,
    }
    vision_config = Florence2VisionConfig(**_known(vision, Florence2VisionConfig()) | sizes)
    text_config = BartConfig(**_known(settings["text_config"], BartConfig()))
    return Florence2Config(
        vision_config=architecture_of(vision_config), text_config=architecture_of(text_config),
        image_token_id=text_config.vocab_size,
    )  # fmt: skip


def _known(settings: dict[str, Any], config: PreTrainedConfig) -> dict[str, Any]:
    """The settings that Transformers' `config` has too; others are of searches, or of Microsoft's code."""
    return {name: value for name, value in settings.items() if name in vars(config) and name != "model_type"}


def first_tokens(folder: Path) -> tuple[int, ...]:
    """What a text is made to begin with, as the folder says."""
    file = folder / "generation_config.json"
    settings = read_json(file) if file.is_file() else read_json(folder / CONFIG)["text_config"]
    first = settings.get("forced_bos_token_id")
    return () if first is None else (first,)


def add_tokens(tokenizer: Tokenizer) -> None:
    """Gives BART's tokenizer the tokens that Microsoft's code adds; those that it has stay."""
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ADDED])


def write_original(folder: Path, config: Florence2Config, state: dict[str, Tensor]) -> None:
    """config.json and model.safetensors as Microsoft has them. state: the weights in Transformers' layout."""
    vision, text = (architecture_of(part) for part in (config.vision_config, config.text_config))
    vision |= {
        "model_type": "davit",
        "dim_embed": vision.pop("embed_dim"),
        "image_pos_embed": {"type": "learned_abs_2d", "max_pos_embeddings": vision.pop("max_position_embeddings")},
        "visual_temporal_embedding": {
            "type": "COSINE",
            "max_temporal_embeddings": vision.pop("max_temporal_embeddings"),
        },
        "image_feature_source": _SOURCES,
    }
    settings = {
        "architectures": ["Florence2ForConditionalGeneration"],
        "model_type": "florence2",
        "is_encoder_decoder": True,
        "projection_dim": vision["projection_dim"],
        "vocab_size": text["vocab_size"],
        "vision_config": vision,
        "text_config": text | {"model_type": "florence2_language"},
    }
    (folder / CONFIG).write_text(json.dumps(settings, indent=1), encoding="utf-8")
    tensors = published(state, original_weights(state, ()), {"": ""}) | {_BIAS: torch.zeros(1, text["vocab_size"])}
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
