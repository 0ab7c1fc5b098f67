"""An ALBEF that is not trained yet, from a BERT of Transformers and a vision transformer of timm."""

import re
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForMaskedLM

from sensorium.encoders.bert_text import BertTextConfig
from sensorium.encoders.clip_image import ClipImageConfig
from sensorium.encoders.transformers_text import TransformersTextConfig, processor_of
from sensorium.errors import UserError
from sensorium.families.albef import AlbefConfig, albef
from sensorium.families.albef_checkpoints import Albef, check_no_activation, save
from sensorium.families.albef_config import HEAD, heads_of
from sensorium.families.albef_weights import block, embeddings, fronts, visual, words
from sensorium.families.clip_files import read_json, read_tensors
from sensorium.families.conversion import Options
from sensorium.families.weights import filled
from sensorium.model import Model
from sensorium.nn.hub import load, load_with

WHAT = "BERT"
WORDS = "cls.predictions."  # the front of the weights that decide on masked words
SIGN = "blocks.0.attn.qkv.weight"  # a weight that timm's vision transformers have


class NewAlbef:
    """A folder of Transformers that holds a BERT, and the weights of a picture's encoder: a new ALBEF's halves."""

    takes_tokenizer = False

    def recognises(self, source: Path, options: Options) -> bool:
        """Whether the picture's half is stated, or it is a folder with a BERT. Raises UserError for a damaged one."""
        if options.picture is not None:
            return True
        config = source / "config.json"
        return config.exists() and read_json(config).get("model_type") == "bert"

    def convert(self, source: str | Path, out: Path, options: Options) -> Model:
        """Writes a checkpoint of ours. Raises UserError as `untrained_albef` does, and for a stated activation."""
        check_no_activation(options)
        model = untrained_albef(str(source), options.picture)
        save(Albef(model, None, None), out)
        return model


def untrained_albef(bert: str, picture: Path | None, seed: int = 0) -> Model:
    """An ALBEF as its authors begin (Li et al. 2021, arXiv:2107.07651, section 3.1): BERT's lower half reads the text,
    its upper half is the fusion, whose attention to the picture is new; the picture's encoder has a DeiT's weights. The
    head `words` has BERT's weights where it was published with them (BertForMaskedLM).

    bert: a folder of Transformers, or a name on the hub. picture: a file with the weights of a vision transformer of
    timm (a class token, no distillation token); None for random ones, ViT-B/16 at 256 pixels. All that is new is drawn
    by `seed`. Raises UserError for another kind of model, and a weight that is missing or does not fit."""
    pixels = {} if picture is None else _picture_weights(picture)
    bert_config = load(AutoConfig, bert, WHAT)
    if bert_config.model_type != "bert" or bert_config.hidden_act != "gelu" or bert_config.num_hidden_layers < 2:
        raise UserError(
            f"The model '{bert}' ({bert_config.model_type}, {getattr(bert_config, 'hidden_act', 'no activation')}) is"
            " no BERT with gelu and two layers or more; begin with one that is."
        )
    bert_model, lacks_words = load_with(AutoModelForMaskedLM, bert, WHAT, WORDS)
    tensors = {name: value for name, value in bert_model.state_dict().items() if name != f"{WORDS}decoder.weight"}
    if lacks_words:  # it was published without the decision on masked words
        tensors = {name: value for name, value in tensors.items() if not name.startswith(WORDS)}
    tokenizer = processor_of(TransformersTextConfig(model=bert, augmentation=None), bert_model.bert)
    depth = bert_config.num_hidden_layers // 2
    text = BertTextConfig(
        vocabulary=bert_config.vocab_size, context=bert_config.max_position_embeddings, depth=depth,
        width=bert_config.hidden_size, heads=bert_config.num_attention_heads,
        ratio=bert_config.intermediate_size / bert_config.hidden_size,
        kinds=bert_config.type_vocab_size, dropout=bert_config.hidden_dropout_prob, eps=bert_config.layer_norm_eps,
    )  # fmt: skip
    torch.manual_seed(seed)
    config = AlbefConfig(
        image=_picture_shape(pixels, picture), text=text, fusion_layers=bert_config.num_hidden_layers - depth
    )
    model = albef(config, tokenizer)
    table = [*embeddings("text.", "bert.", ()), *([] if lacks_words else words("words.", WORDS))]
    for layer in range(bert_config.num_hidden_layers):
        prefix = f"text.blocks.{layer}." if layer < depth else f"fusion.blocks.{layer - depth}."
        table += block(prefix, f"bert.encoder.layer.{layer}.", False)
    tensors = {name: value for name, value in tensors.items() if not name.endswith(("position_ids", "token_type_ids"))}
    new = filled(model.state_dict(), table, tensors, bert, fronts(model))
    if picture is not None:
        new |= filled(model.state_dict(), visual(model, ""), pixels, str(picture), fronts(model))
    model.load_state_dict(new, strict=False)
    return model.eval()


def _picture_weights(path: Path) -> dict[str, Tensor]:
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


def _picture_shape(tensors: dict[str, Tensor], path: Path | None) -> ClipImageConfig:
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
