"""An ALBEF that is not trained yet, from a BERT of Transformers and a vision transformer of timm."""

import re
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForMaskedLM

from sensorium.encoders.bert_text import BertTextConfig
from sensorium.encoders.clip_image import ClipImageConfig
from sensorium.encoders.hub import load, load_with
from sensorium.encoders.transformers_text import TransformersTextConfig, processor_of
from sensorium.errors import UserError
from sensorium.families.albef import AlbefConfig, albef
from sensorium.families.albef_checkpoints import HEAD, heads_of
from sensorium.families.albef_weights import block, embeddings, fronts, visual, words
from sensorium.families.clip_files import read_json, read_tensors
from sensorium.families.weights import filled
from sensorium.model import Model

WHAT = "BERT"
WORDS = "cls.predictions."  # the front of the weights that decide on masked words
SIGN = "blocks.0.attn.qkv.weight"  # a weight that timm's vision transformers have


def is_bert(source: Path) -> bool:
    """Whether it is a folder of Transformers that holds a BERT."""
    stated = source / "config.json"
    return stated.exists() and read_json(stated).get("model_type") == "bert"


def beginning(bert: str, picture: Path | None, seed: int = 0) -> Model:
    """An ALBEF as its authors begin (Li et al. 2021, arXiv:2107.07651, section 3.1): BERT's lower half reads the text,
    its upper half is the fusion, whose attention to the picture is new; the picture's encoder has a DeiT's weights. The
    head `words` has BERT's weights where it was published with them (BertForMaskedLM).

    bert: a folder of Transformers, or a name on the hub. picture: a file with the weights of a vision transformer of
    timm (a class token, no distillation token); None for random ones, ViT-B/16 at 256 pixels. All that is new is drawn
    by `seed`. Raises UserError for another kind of model, and a weight that is missing or does not fit.
    """
    pixels = {} if picture is None else _picture(picture)
    stated = load(AutoConfig, bert, WHAT)
    if stated.model_type != "bert" or stated.hidden_act != "gelu" or stated.num_hidden_layers < 2:
        raise UserError(
            f"The model '{bert}' ({stated.model_type}, {getattr(stated, 'hidden_act', 'no activation')}) is no BERT"
            " with gelu and two layers or more; begin with one that is."
        )
    whole, drawn = load_with(AutoModelForMaskedLM, bert, WHAT, WORDS)
    tensors = {name: value for name, value in whole.state_dict().items() if name != f"{WORDS}decoder.weight"}
    if drawn:  # it was published without the decision on masked words
        tensors = {name: value for name, value in tensors.items() if not name.startswith(WORDS)}
    tokenizer = processor_of(TransformersTextConfig(model=bert, augmentation=None), whole.bert)
    depth = stated.num_hidden_layers // 2
    text = BertTextConfig(
        vocabulary=stated.vocab_size, context=stated.max_position_embeddings, width=stated.hidden_size, depth=depth,
        heads=stated.num_attention_heads, ratio=stated.intermediate_size / stated.hidden_size,
        kinds=stated.type_vocab_size, dropout=stated.hidden_dropout_prob, eps=stated.layer_norm_eps,
    )  # fmt: skip
    torch.manual_seed(seed)
    config = AlbefConfig(image=_shape(pixels, picture), text=text, fusion_layers=stated.num_hidden_layers - depth)
    model = albef(config, tokenizer)
    table = [*embeddings("text.", "bert.", ()), *([] if drawn else words("words.", WORDS))]
    for layer in range(stated.num_hidden_layers):
        own = f"text.blocks.{layer}." if layer < depth else f"fusion.blocks.{layer - depth}."
        table += block(own, f"bert.encoder.layer.{layer}.", False)
    new = filled(model.state_dict(), table, _without_places(tensors), bert, fronts(model))
    if picture is not None:
        new |= filled(model.state_dict(), visual(model, ""), pixels, str(picture), fronts(model))
    model.load_state_dict(new, strict=False)
    return model.eval()


def _without_places(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in tensors.items() if not name.endswith(("position_ids", "token_type_ids"))}


def _picture(path: Path) -> dict[str, Tensor]:
    """The weights of a file without its classifier's. Raises UserError when it is no vision transformer of timm's."""
    if not path.is_file():
        raise UserError(f"There is no file {path} with the weights of the pictures' encoder; mend --picture.")
    tensors = read_tensors(path)
    if SIGN not in tensors or "cls_token" not in tensors:
        raise UserError(
            f"{path} holds no vision transformer of timm's layout with a class token; give the weights of one, as"
            " deit_base_patch16_224."
        )
    return {name: value for name, value in tensors.items() if not name.startswith(("head.", "fc_norm.", "pre_logits."))}


def _shape(tensors: dict[str, Tensor], path: Path | None) -> ClipImageConfig:
    """The shape of the pictures' encoder, as the weights of `path` have it. Raises UserError as `heads_of` does."""
    common = {"pre_norm": False, "patch_bias": True, "eps": 1e-6, "fit": "squash"}
    if not tensors:
        return ClipImageConfig(size=256, patch=16, width=768, depth=12, heads=12, **common)
    kernel, position = tensors["patch_embed.proj.weight"], tensors["pos_embed"]
    advice = f"take a DeiT or a ViT of timm, whose heads are {HEAD} wide"
    side, width = round((position.shape[1] - 1) ** 0.5), len(kernel)
    return ClipImageConfig(
        size=side * kernel.shape[2], patch=kernel.shape[2], width=width, heads=heads_of(width, path, advice),
        depth=len([name for name in tensors if re.fullmatch(r"blocks\.\d+\.norm1\.weight", name)]),
        ratio=len(tensors["blocks.0.mlp.fc1.weight"]) / width, **common,
    )  # fmt: skip
