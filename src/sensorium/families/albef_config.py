"""What the weights of a published ALBEF, and the files beside them, say of its configuration."""

import re
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from sensorium.encoders.bert_text import BertTextConfig
from sensorium.encoders.clip_image import ClipImageConfig
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import UserError
from sensorium.families.albef import AlbefConfig
from sensorium.families.albef_roles import MARKS
from sensorium.families.clip_files import read_json
from sensorium.heads.answer import AnswerConfig

SIGN = "visual_encoder.cls_token"  # a weight that ALBEF has, and CLIP has not
HEAD = 64  # the width of a head, where no configuration says how many there are
PREPARATION = ("fit", "interpolation", "jpeg", "mean", "std")  # of pictures; written beside the weights
UNCASED = 30_522  # words of bert-base-uncased, which ALBEF's authors took
UNCASED_MARKS = {"start": 101, "end": 102, "pad": 0}
MARK_KEYS = {"start": "cls_id", "end": "sep_id", "pad": "pad_id"}  # what config.json calls the marks of an answer


def config_of(tensors: dict[str, Tensor], path: Path, processor: TextProcessor | None) -> AlbefConfig:
    """The configuration that fits the weights of the file `path`; how many heads, config.json beside it may say. Raises
    UserError for another activation than BERT's, and where heads or the marks of answers are not known."""
    settings = read_json(path.parent / "config.json") if (path.parent / "config.json").exists() else {}
    bert, vit = settings.get("bert", {}), settings.get("vit", {})
    if bert.get("hidden_act", "gelu") != "gelu":
        raise UserError(f"{path.parent / 'config.json'} has the activation '{bert['hidden_act']}', ours is gelu.")
    kernel, position = tensors["visual_encoder.patch_embed.proj.weight"], tensors["visual_encoder.pos_embed"]
    depth = _layer_count(tensors, "text_encoder.", "attention.self")
    crossing = _layer_count(tensors, "text_encoder.", "crossattention.self")
    width, side = len(kernel), round((position.shape[1] - 1) ** 0.5)
    rise = tensors["visual_encoder.blocks.0.mlp.fc1.weight"]
    heads = vit.get("heads") or heads_of(width, path)
    prepared = {name: value for name, value in settings.get("pictures", {}).items() if name in PREPARATION}
    image = ClipImageConfig(
        size=side * kernel.shape[2], patch=kernel.shape[2], width=width, heads=heads,
        depth=len({name for name in tensors if re.fullmatch(r"visual_encoder\.blocks\.\d+\.norm1\.weight", name)}),
        ratio=len(rise) / width, pre_norm=False, patch_bias=True, eps=vit.get("layer_norm_eps", 1e-6),
        augmentation=None, **{"fit": "squash"} | prepared,
    )  # fmt: skip
    words, shape = _word_embeddings(tensors, "text_encoder.", path), _bert_shape(tensors, "text_encoder.", path, bert)
    text = BertTextConfig(width=words.shape[1], depth=depth - crossing, **shape)
    if "text_proj.weight" in tensors:
        return AlbefConfig(image=image, text=text, fusion_layers=crossing, dim=len(tensors["text_proj.weight"]))
    shape = _bert_shape(tensors, "text_decoder.", path, bert)
    layers = _layer_count(tensors, "text_decoder.", "crossattention.self")
    answer = AnswerConfig(layers=layers, **_marks(settings, processor, shape["vocabulary"], path), **shape)
    return AlbefConfig(image=image, text=text, fusion_layers=crossing, answer=answer)


def _bert_shape(tensors: dict[str, Tensor], front: str, path: Path, bert: dict[str, Any]) -> dict[str, Any]:
    """What the configurations of the text's encoder and of the decoder have in common, of the one at `front`."""
    words = _word_embeddings(tensors, front, path)
    return {
        "vocabulary": len(words),
        "context": len(_bert_weight(tensors, front, "embeddings.position_embeddings.weight", path)),
        "ratio": len(_bert_weight(tensors, front, "encoder.layer.0.intermediate.dense.weight", path)) / words.shape[1],
        "heads": bert.get("num_attention_heads") or heads_of(words.shape[1], path),
        "kinds": len(_bert_weight(tensors, front, "embeddings.token_type_embeddings.weight", path)),
        "dropout": bert.get("hidden_dropout_prob", 0.1),
        "eps": bert.get("layer_norm_eps", 1e-12),
    }


def heads_of(width: int, source: Path, advice: str = "say so in config.json beside it") -> int:
    """How many heads attention has, of which the weights of `source` say nothing: they are 64 wide. Raises UserError
    for a width that is no multiple of that, with `advice`."""
    if width % HEAD:
        raise UserError(
            f"Attention in {source} is {width} wide, no multiple of the usual {HEAD} of a head, and how many heads it"
            f" has is not in the weights; {advice}."
        )
    return width // HEAD


def _word_embeddings(tensors: dict[str, Tensor], front: str, path: Path) -> Tensor:
    return _bert_weight(tensors, front, "embeddings.word_embeddings.weight", path)


def _marks(settings: dict[str, Any], processor: TextProcessor | None, vocabulary: int, path: Path) -> dict[str, int]:
    """The tokens that begin, end and fill an answer. Raises UserError when nothing says which they are."""
    if all(name in settings for name in MARK_KEYS.values()):
        return {mark: settings[name] for mark, name in MARK_KEYS.items()}
    if processor is not None:
        return {mark: processor.tokenizer.token_to_id(MARKS[mark]) for mark in MARK_KEYS}
    if vocabulary == UNCASED:
        return UNCASED_MARKS
    raise UserError(
        f"By which tokens an answer begins, ends and is filled is not known of {path}; give its tokenizer with"
        f" --tokenizer, or state {', '.join(MARK_KEYS.values())} in config.json beside it."
    )


def _bert_weight(tensors: dict[str, Tensor], front: str, name: str, path: Path) -> Tensor:
    """A weight of BERT's, whose names have `bert.` in them in one of the layouts."""
    for full_name in (f"{front}bert.{name}", front + name):
        if full_name in tensors:
            return tensors[full_name]
    raise UserError(f"{path} lacks the weight '{front}{name}'; bring a whole checkpoint of an ALBEF.")


def _layer_count(tensors: dict[str, Tensor], front: str, attention: str) -> int:
    pattern = re.compile(rf"{re.escape(front)}(bert\.)?encoder\.layer\.\d+\.{re.escape(attention)}\.query\.weight")
    return len([name for name in tensors if pattern.fullmatch(name)])


def text_processor(tensors: dict[str, Tensor], source: Path, tokenizer_path: Path | None) -> TextProcessor | None:
    """The processor of texts; None where no tokenizer is stated and none stands beside the source. Raises UserError for
    a stated one that is not there, and one that is not the model's."""
    path = source.parent if tokenizer_path is None else tokenizer_path
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.exists():
        if tokenizer_path is None:
            return None
        raise UserError(
            f"There is no tokenizer in {path}; name a tokenizer.json, or a folder with one, by --tokenizer."
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises plain Exception
        raise UserError(f"{path} is no tokenizer ({error}); bring a whole copy.") from error
    marks = {mark: tokenizer.token_to_id(word) for mark, word in MARKS.items()}
    for mark, number in marks.items():
        if number is None:
            raise UserError(f"{path} has no token {MARKS[mark]}, which BERT's tokenizers have; bring the model's own.")
    words = len(_word_embeddings(tensors, "text_encoder.", source))
    if tokenizer.get_vocab_size() > words:
        raise UserError(
            f"{path} has {tokenizer.get_vocab_size():,} tokens, and {source} knows {words:,}; bring the model's own."
        )
    context = len(_bert_weight(tensors, "text_encoder.", "embeddings.position_embeddings.weight", source))
    unknown_token = tokenizer.token_to_id("[UNK]")  # one that was learned from a table knows every text, and has none
    unknown_token = marks["start"] if unknown_token is None else unknown_token
    return TextProcessor(tokenizer, context, marks["pad"], unknown_token, marks["mask"], None)
