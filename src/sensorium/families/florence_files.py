"""The files of a published Florence-2: its tokenizer read, and all of them written."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer
from torch import Tensor
from transformers import (
    CLIPImageProcessor,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    GenerationConfig,
    PreTrainedTokenizerFast,
)

from sensorium.encoders.davit import DaViTConfig, count_tokens
from sensorium.errors import UserError
from sensorium.families.clip_files import RESAMPLING
from sensorium.families.florence_original import add_tokens, write_original
from sensorium.families.florence_weights import COPIES, SHARED, encoder_weights
from sensorium.families.weights import published
from sensorium.model import Model

TOKENIZER, IMAGE_TOKEN = "tokenizer.json", "<image>"
MARKS = ("<loc_", "<poly>", "</poly>", "<sep>")  # how tokens begin that say places
MULTIPLE = 64  # of which the number of words is one in Transformers' layout
# What Transformers' processor reads of a text, by the names that it asks for.
_READ = (
    "pure_text", "ocr", "phrase_grounding", "description_with_bboxes", "description_with_polygons", "polygons",
    "bboxes", "description_with_bboxes_or_polygons",
)  # fmt: skip


def read_tokenizer(folder: Path, original: bool) -> Tokenizer:
    """The tokenizer of a folder, to which location tokens are as letters. original: whether Microsoft's code would add
    them. Raises UserError where there are none."""
    try:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # the tokenizers library raises plain Exception
        raise UserError(
            f"{folder / TOKENIZER} cannot be read ({error}); bring the whole folder of the model."
        ) from error
    if original:
        add_tokens(tokenizer)
    if tokenizer.token_to_id("<loc_0>") is None:
        raise UserError(
            f"The tokenizer in {folder} has no location tokens (<loc_0>, <loc_1>, ...), so that places would be"
            " nonsense; bring the tokenizer.json that belongs to the model."
        )
    return _with_marks(tokenizer, special=False)


def _with_marks(tokenizer: Tokenizer, special: bool) -> Tokenizer:
    """The tokenizer whose MARKS are special tokens, which are no part of a text, or are not."""
    described = json.loads(tokenizer.to_str())
    for token in described["added_tokens"]:
        if token["content"].startswith(MARKS):
            token["special"] = special
    return Tokenizer.from_str(json.dumps(described))


def write_florence(model: Model, folder: Path, original: bool) -> None:
    """The files that Transformers reads, or those that Microsoft's code does, without that code."""
    (picture, _), (head,) = model.encoders.modules_once, model.heads.modules_once
    tokens = head.processor
    tokenizer, state = _with_marks(tokens.tokenizer, special=True), _state_of(model)
    text = dict(head.config.architecture)
    if not original and tokenizer.token_to_id(IMAGE_TOKEN) is None:
        tokenizer.add_special_tokens([AddedToken(IMAGE_TOKEN, special=True, normalized=False)])
        missing = -(-max(tokenizer.get_vocab_size(), text["vocab_size"]) // MULTIPLE) * MULTIPLE - text["vocab_size"]
        # A row that is the mean of all others is never the likeliest word.
        state[SHARED] = torch.cat([state[SHARED], state[SHARED].mean(dim=0).expand(missing, -1)])
        text["vocab_size"] += missing
    config = Florence2Config(
        vision_config=picture.config.architecture, text_config=text,
        architectures=["Florence2ForConditionalGeneration"],
        image_token_id=tokenizer.token_to_id(IMAGE_TOKEN) or text["vocab_size"],
    )  # fmt: skip
    special = {"decoder_start_token_id": tokens.start, "eos_token_id": tokens.end[0], "pad_token_id": tokens.pad}
    special |= {"bos_token_id": text["bos_token_id"], "forced_eos_token_id": tokens.end[0]}
    special |= {"forced_bos_token_id": head.config.first[0]} if head.config.first else {}
    if original:
        write_original(folder, config, state)
    else:
        with torch.device("meta"):  # random weights would be replaced at once
            written = Florence2ForConditionalGeneration(config)
        written.load_state_dict(state | dict.fromkeys(COPIES, state[SHARED]), assign=True)
        written.tie_weights()
        written.save_pretrained(folder)
    GenerationConfig(**special).save_pretrained(folder)
    _write_processor(picture.config, folder, tokenizer, text, original)


def _state_of(model: Model) -> dict[str, Tensor]:
    """The weights in Transformers' layout, those with several names once."""
    (picture, words), (head,) = model.encoders.modules_once, model.heads.modules_once
    state = {f"model.vision_tower.{name}": weight for name, weight in picture.body.state_dict().items()}
    state |= {f"model.multi_modal_projector.{name}": weight for name, weight in picture.projector.state_dict().items()}
    state[SHARED] = words.words.weight.detach()
    state |= published(model.fusion.state_dict(), encoder_weights(model.fusion.config.layers), {"": ""})
    decoder = head.body.model.decoder.state_dict()
    state |= {f"model.language_model.decoder.{name}": weight for name, weight in decoder.items()}
    return {name: weight.contiguous() for name, weight in state.items() if name not in COPIES}


def _write_processor(
    settings: DaViTConfig, folder: Path, tokenizer: Tokenizer, text: dict[str, Any], original: bool
) -> None:
    """The tokenizer, and how pictures are prepared."""
    images = CLIPImageProcessor(
        size={"height": settings.size, "width": settings.size}, resample=RESAMPLING[settings.interpolation],
        do_center_crop=False, image_mean=list(settings.mean), image_std=list(settings.std),
    )  # fmt: skip
    images.image_seq_length = count_tokens(settings)
    names = {name: tokenizer.id_to_token(text[f"{name}_id"]) for name in ("bos_token", "eos_token", "pad_token")}
    if original:
        images.save_pretrained(folder)
        tokenizer.save(str(folder / TOKENIZER))
        described = json.dumps({"tokenizer_class": "BartTokenizer"} | names, indent=1)
        (folder / "tokenizer_config.json").write_text(described, encoding="utf-8")
        return
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **names, extra_special_tokens={"image_token": IMAGE_TOKEN}
    )
    Florence2Processor(images, fast, post_processor_config={name: {} for name in _READ}).save_pretrained(folder)
