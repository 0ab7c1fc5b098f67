"""Florence-2 (Xiao et al. 2023, arXiv:2311.06242): DaViT, BART's encoder over picture and prompt, BART's decoder."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import BartForConditionalGeneration, Florence2ForConditionalGeneration

from sensorium.data.schema import Column, Schema, TargetSpec, make_inputs
from sensorium.data.targets.tokens import Tokens
from sensorium.encoders import ENCODERS
from sensorium.encoders.davit import WHAT, DaViT, DaViTConfig, count_tokens, picture_settings
from sensorium.encoders.decoder_words import DecoderWords, DecoderWordsConfig
from sensorium.encoders.prompt_processor import PromptProcessor
from sensorium.errors import UserError
from sensorium.families.clip_files import read_json
from sensorium.families.conversion import Options
from sensorium.families.florence_files import read_tokenizer, write_florence
from sensorium.families.florence_original import CONFIG, first_tokens, is_original, read_original
from sensorium.families.florence_tasks import TASKS
from sensorium.families.florence_weights import ENCODER, encoder_weights
from sensorium.families.weights import filled
from sensorium.files import whole_folder
from sensorium.fusion.bart import OFFSET, BartFusion, BartFusionConfig
from sensorium.heads.seq2seq import Seq2Seq, Seq2SeqConfig
from sensorium.model import Model, load
from sensorium.nn.hub import architecture_of, load_with

IMAGE, PROMPT, TEXT = "image", "prompt", "text"  # its inputs and its target
MODEL = "model.json"


def florence(source: str | Path) -> Model:
    """The published model of a folder in Transformers' layout or in Microsoft's. Raises UserError when it cannot be
    read, is none, or its tokenizer has no location tokens."""
    folder = Path(source)
    original = is_original(folder)
    tokenizer = read_tokenizer(folder, original)
    published = (
        read_original(folder) if original
        else load_with(Florence2ForConditionalGeneration, str(folder), WHAT, "lm_head")[0]
    )  # fmt: skip
    forced = published.generation_config.forced_bos_token_id
    first = first_tokens(folder) if original else () if forced is None else (forced,)
    return compose(str(source), published, tokenizer, first, picture_settings(str(folder)))


def compose(
    source: str,
    published: Florence2ForConditionalGeneration,
    tokenizer: Tokenizer,
    first: tuple[int, ...],
    pictures: dict[str, Any],
) -> Model:
    """Our model with the weights of a `published` one. first: the tokens that every text begins with. pictures: how
    they are prepared, settings of DaViTConfig. Raises UserError for a model that is not built like Florence-2."""
    text = published.config.text_config
    if text.activation_function != "gelu" or tokenizer.get_vocab_size() > text.vocab_size:
        raise UserError(
            f"The {WHAT} in {source} has other layers than BART's, or more tokens than words; bring the config.json and"
            " the tokenizer.json that belong to it."
        )
    picture = DaViT.of(published, DaViTConfig(model=source, **pictures))
    words = _words(source, published, tokenizer, count_tokens(picture.config))
    fusion = _fusion(published.model.language_model.encoder, {IMAGE: picture.dim, PROMPT: words.dim}, source)
    head = _head(source, published, tokenizer, first, fusion.dim)
    columns = [
        Column(name=IMAGE, kind="image", reason="pictures"),
        Column(name=PROMPT, kind="text", reason="what is to be done"),
        Column(name=TEXT, kind="target", reason="what is written"),
    ]
    schema = Schema(columns=columns, inputs=make_inputs(columns), targets=[TargetSpec(name=TEXT, kind="text")])
    return Model({IMAGE: picture, PROMPT: words}, fusion=fusion, heads={TEXT: head}, schema=schema).eval()


def _words(
    source: str, published: Florence2ForConditionalGeneration, tokenizer: Tokenizer, picture_tokens: int
) -> DecoderWords:
    """The encoder of prompts. picture_tokens: which take their places as well."""
    text, table = published.config.text_config, published.model.language_model.shared.weight.detach()
    most = max(4, text.max_position_embeddings - picture_tokens)
    tokens = Tokens(tokenizer, text.bos_token_id, [text.eos_token_id], text.pad_token_id, most - 1)
    processor = PromptProcessor(tokens, [text.bos_token_id], after=[text.eos_token_id], tasks=TASKS)
    config = DecoderWordsConfig(
        model=source, max_tokens=most, vocabulary=table.shape[0], width=table.shape[1],
        scale=math.sqrt(text.d_model) if text.scale_embedding else 1.0,
    )  # fmt: skip
    with torch.device("meta"):
        encoder = DecoderWords(config, processor)
    encoder.words = nn.Embedding.from_pretrained(table, freeze=False)
    return encoder


def _fusion(encoder: nn.Module, dims: dict[str, int], source: str) -> BartFusion:
    """BART's encoder. Raises UserError where the picture's tokens are of another width."""
    text = encoder.config
    config = BartFusionConfig(
        order=[IMAGE, PROMPT], dim=text.d_model, layers=text.encoder_layers, heads=text.encoder_attention_heads,
        ratio=text.encoder_ffn_dim / text.d_model, dropout=text.dropout,
        positions=encoder.embed_positions.weight.shape[0] - OFFSET,
    )  # fmt: skip
    if set(dims.values()) != {text.d_model}:
        raise UserError(
            f"{source}: pictures and words are not of one width ({text.d_model}); bring its own config.json."
        )
    fusion = BartFusion(config, dims)
    tensors = {
        f"{ENCODER}{name}": weight for name, weight in encoder.state_dict().items() if "embed_tokens" not in name
    }
    fusion.load_state_dict(filled(fusion.state_dict(), encoder_weights(config.layers), tensors, source, {"": ""}))
    return fusion


def _head(
    source: str, published: Florence2ForConditionalGeneration, tokenizer: Tokenizer, first: tuple[int, ...], dim: int
) -> Seq2Seq:
    text, bart = published.config.text_config, published.model.language_model
    with torch.device("meta"):
        body = BartForConditionalGeneration(text)
    body.model.decoder, body.model.shared, body.lm_head = bart.decoder, bart.shared, published.lm_head
    body.final_logits_bias = torch.zeros(1, text.vocab_size)
    most = text.max_position_embeddings - len(first)
    tokens = Tokens(tokenizer, text.decoder_start_token_id, [text.eos_token_id], text.pad_token_id, most)
    config = Seq2SeqConfig(model=source, architecture=architecture_of(text), max_tokens=most, tied=PROMPT, first=first)
    return Seq2Seq(config, dim, tokens, body)


class WrittenFlorence:
    """A checkpoint of ours that is a Florence-2, which is written for Transformers, or as Microsoft's. original:
    whether as Microsoft's."""

    takes_tokenizer = False

    def __init__(self, original: bool):
        self.original = original

    def recognises(self, source: Path, options: Options) -> bool:
        """Whether the checkpoint or run `source` reads pictures by DaViT."""
        file = next((folder / MODEL for folder in (source / "model", source) if (folder / MODEL).is_file()), None)
        try:
            entries = [] if file is None else json.loads(file.read_text(encoding="utf-8"))["encoders"]
            return any(ENCODERS.get(entry["name"]) is DaViT for entry in entries)
        except (OSError, ValueError, KeyError, AttributeError, TypeError):  # whoever loads it says what is wrong
            return False

    def convert(self, source: str | Path, out: Path, options: Options) -> Model:
        """Writes the folder. Raises UserError for a model that is more than a Florence-2."""
        model = load(source)
        check_florence(model)
        with whole_folder(out) as folder:
            write_florence(model, folder, self.original)
        return model


def check_florence(model: Model) -> None:
    """Checks that `model` is a Florence-2 and nothing else, under whatever names. Raises UserError."""
    encoders, heads = [encoder for _, encoder in model.encoders.items()], model.heads.modules_once
    if (
        [type(encoder) for encoder in encoders] != [DaViT, DecoderWords]
        or not isinstance(model.fusion, BartFusion)
        or model.fusion.names != model.encoders.names
        or [type(head) for head in heads] != [Seq2Seq]
        or any(encoder.dim != model.fusion.dim for encoder in encoders)
        or heads[0].body.config.d_model != model.fusion.dim
    ):
        raise UserError(
            "This model is more than a Florence-2, or less (its inputs, fusion or head); it is not written."
        )


class PublishedFlorence:
    """A Florence-2 in Transformers' layout or in Microsoft's, which becomes a checkpoint of ours."""

    takes_tokenizer = False

    def recognises(self, source: Path, options: Options) -> bool:
        """Whether the folder `source` holds a Florence-2."""
        try:
            return read_json(source / CONFIG).get("model_type") == "florence2"
        except UserError:
            return False

    def convert(self, source: str | Path, out: Path, options: Options) -> Model:
        """Writes a checkpoint of ours. Raises UserError as `florence` does."""
        model = florence(source)
        model.save(out)
        return model
