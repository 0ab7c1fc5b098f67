"""Tiny published models with random weights, in the folders that their own libraries write."""

import json
from pathlib import Path

import numpy as np
import timm
import torch
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast, SiglipConfig, SiglipModel

from sensorium.encoders.clip_text import with_end_last
from sensorium.encoders.text_processor import TextProcessor

TEXTS = ["a red shoe", "two", "the quick brown fox jumps over the lazy dog and away", "a cat on a mat"]
SIZE, PATCH, CONTEXT = 32, 8, 24
TOWER = {"num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 96}
MEAN, STD = (0.48, 0.45, 0.40), (0.26, 0.25, 0.27)


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-pair tokenizer learned from TEXTS, its end token last, as Transformers has it."""
    own = with_end_last(TextProcessor.train(TEXTS, CONTEXT, 300).tokenizer)
    own.no_truncation()
    return PreTrainedTokenizerFast(
        tokenizer_object=own, eos_token="[SEP]", pad_token="[PAD]", bos_token="[CLS]", model_max_length=CONTEXT
    )


def stirred(model: nn.Module) -> nn.Module:
    """Every weight moved, so that none that starts at zero or one can be mixed up unseen."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model.eval()


def pixels(count: int = 4) -> Tensor:
    """uint8 [B, 3, SIZE, SIZE]."""
    return torch.randint(0, 256, (count, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def normalised(pixels: Tensor, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> Tensor:
    """What the published models take: float32 [B, 3, SIZE, SIZE]."""
    shape = (-1, 1, 1)
    return (pixels.float() / 255 - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)


def transformers_folder(folder: Path, kind: str, activation: str, end: int | None = None) -> nn.Module:
    """A CLIPModel or SiglipModel and its folder; `end` is the end token its configuration states."""
    torch.manual_seed(0)
    words = tokenizer()
    text = {"vocab_size": len(words), "hidden_size": 32, "max_position_embeddings": CONTEXT, "hidden_act": activation}
    vision = {"hidden_size": 48, "image_size": SIZE, "patch_size": PATCH, "hidden_act": activation}
    if kind == "clip":
        text |= {"eos_token_id": words.eos_token_id if end is None else end, "pad_token_id": words.pad_token_id}
        model = CLIPModel(CLIPConfig(text_config=text | TOWER, vision_config=vision | TOWER, projection_dim=20))
    else:
        text |= {"projection_size": 48, "pad_token_id": words.pad_token_id}
        model = SiglipModel(SiglipConfig(text_config=text | TOWER, vision_config=vision | TOWER))
    stirred(model).save_pretrained(folder)
    words.save_pretrained(folder)
    crop = {"size": {"shortest_edge": SIZE}, "crop_size": {"height": SIZE, "width": SIZE}, "do_center_crop": True}
    squash = {"size": {"height": SIZE, "width": SIZE}}
    prepared = {"do_resize": True, "do_rescale": True, "do_normalize": True, "resample": 3, "rescale_factor": 1 / 255}
    prepared |= {"image_mean": MEAN, "image_std": STD} | (crop if kind == "clip" else squash)
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    return model


def open_clip_folder(folder: Path, quick: bool, vision: dict | None = None, **text: object) -> nn.Module:
    """open_clip's CLIP and its hub folder."""
    torch.manual_seed(0)
    words = tokenizer()
    stated = {
        "embed_dim": 20,
        "quick_gelu": quick,
        "vision_cfg": {"image_size": SIZE, "patch_size": PATCH, "width": 48, "layers": 3, "head_width": 24}
        | (vision or {}),
        "text_cfg": {
            "context_length": CONTEXT, "vocab_size": len(words), "width": 32, "heads": 2, "layers": 3,
            "hf_tokenizer_name": "here",
        } | text,
    }  # fmt: skip
    return _saved(folder, stated, CLIP(**stated), words)


def open_clip_siglip_folder(folder: Path) -> nn.Module:
    """open_clip's SigLIP, whose pictures are timm's, and its hub folder."""
    torch.manual_seed(0)
    words = tokenizer()
    stated = {
        "embed_dim": 48,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": SIZE, "timm_model_name": "vit_test_patch8_siglip_32", "timm_model_pretrained": False,
            "timm_pool": "map", "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": CONTEXT, "vocab_size": len(words), "width": 32, "heads": 2, "layers": 3,
            "no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6},
            "hf_tokenizer_name": "here", "tokenizer_kwargs": {"clean": "canonicalize"},
        },
    }  # fmt: skip
    return _saved(
        folder,
        stated,
        CustomTextCLIP(stated["embed_dim"], stated["vision_cfg"], stated["text_cfg"], init_logit_bias=-10),
        words,
    )


def _saved(folder: Path, stated: dict, model: nn.Module, words: PreTrainedTokenizerFast) -> nn.Module:
    stirred(model)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    prepared = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": stated, "preprocess_cfg": prepared}))
    words.save_pretrained(folder)
    return model


def vit_test_patch8_siglip_32(pretrained: bool = False, **options: object) -> VisionTransformer:
    """timm's SigLIP tower, tiny."""
    shape = {"img_size": SIZE, "patch_size": PATCH, "embed_dim": 48, "depth": 3, "num_heads": 2, "class_token": False}
    options.pop("pretrained_cfg", None), options.pop("pretrained_cfg_overlay", None), options.pop("cache_dir", None)
    return VisionTransformer(**shape | {"act_layer": "gelu_tanh"} | options)


vit_test_patch8_siglip_32.__module__ = "timm.models.vision_transformer"
timm.models.register_model(vit_test_patch8_siglip_32)


def pictures(count: int = 3) -> list[np.ndarray]:
    """uint8 [H, W, 3], of several sizes."""
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (40 + 9 * index, 70, 3), dtype=np.uint8) for index in range(count)]
