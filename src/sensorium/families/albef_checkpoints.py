"""Published ALBEF checkpoints, of pre-training and of answering questions: read, and written back."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from sensorium.encoders.bert_text import BertTextConfig
from sensorium.encoders.clip_image import ClipImageConfig
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import UserError
from sensorium.families.albef import AlbefConfig, albef
from sensorium.families.albef_roles import MARKS, check_written, roles
from sensorium.families.albef_weights import fronts, weights
from sensorium.families.clip_files import no_weights, read_json, read_tensors
from sensorium.families.weights import filled, published
from sensorium.files import whole_folder
from sensorium.heads.answer import AnswerConfig
from sensorium.model import Model, load
from sensorium.objectives.momentum import Momentum, Queue

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
SIGN = "visual_encoder.cls_token"  # a weight that ALBEF has, and CLIP has not
OBJECTIVES = "objectives.safetensors"
WRITTEN = "albef.safetensors"
HEAD = 64  # the width of a head, where no configuration says how many there are
QUEUE = ("image_queue", "text_queue", "queue_ptr")
PREPARATION = ("fit", "interpolation", "jpeg", "mean", "std")  # of pictures; written beside the weights
UNCASED = 30_522  # words of bert-base-uncased, which ALBEF's authors took
UNCASED_MARKS = {"start": 101, "end": 102, "pad": 0}
STATED = {"start": "cls_id", "end": "sep_id", "pad": "pad_id"}  # what config.json calls the marks of an answer


class Albef(NamedTuple):
    """A model and, where the checkpoint has them, the teacher and the queue that its training goes on with."""

    model: Model
    teacher: Momentum | None
    queue: Queue | None


def recognises(source: Path) -> bool:
    """Whether it is a file with an ALBEF's weights. Raises UserError for a file that cannot be read."""
    if not source.is_file() or source.suffix not in SUFFIXES:
        return False
    if source.suffix == ".safetensors":
        try:
            with safe_open(source, "pt") as file:
                return SIGN in file.keys()  # noqa: SIM118 (it is no dictionary)
        except (OSError, SafetensorError) as error:
            raise no_weights(source, error) from error
    return SIGN in read_tensors(source)


def read(path: Path, tokenizer: Path | None = None) -> Albef:
    """The model of a published file in evaluation mode; inputs `image` and `text`.

    tokenizer: a tokenizer.json, or a folder that has one; None for the one beside the file. Without any the model takes
    token numbers alone. Its sizes are the weights'; how many heads, config.json beside it (`bert.num_attention_heads`,
    `vit.heads`), else those are 64 wide. Nothing is unpickled but tensors. Raises UserError for a missing, unknown or
    misfitting weight, for a model that is not BERT's and a vision transformer's, and for another model's tokenizer.
    """
    tensors = read_tensors(path)
    kept = {name: value for name, value in tensors.items() if name not in QUEUE}
    for name in [name for name in kept if name.endswith(".position_ids")]:
        del kept[name]  # the numbers from 0 on, which ours need not be told
    texts = _texts(tensors, path, tokenizer)
    try:
        model = albef(_config(tensors, path, texts), texts)
    except ValidationError as error:
        said = " ".join(error.errors()[0]["msg"].split())
        raise UserError(
            f"The weights in {path} and the config.json beside it make no ALBEF ({said}); bring both as they were."
        ) from error
    if "temp" in kept:
        kept["temp"] = -kept["temp"].double().log()
    follows = any(name.startswith("visual_encoder_m.") for name in kept)
    teacher = Momentum(model) if follows else None
    table = weights(model) + (weights(model, teacher=True) if follows else [])
    new = filled(_state(model, teacher), table, kept, str(path), fronts(model))
    # Published ALBEF always has a text, and so no token that stands for an absent one.
    new["fusion.absent"] = torch.zeros(model.fusion.dim)
    model.load_state_dict({name: value for name, value in new.items() if not name.startswith("teacher.")}, strict=True)
    if teacher is not None:
        own = {f"model.{name}": value for name, value in model.state_dict().items()}
        theirs = {name.removeprefix("teacher."): value for name, value in new.items() if name.startswith("teacher.")}
        teacher.load_state_dict(teacher.state_dict() | own | theirs)
    return Albef(model.eval(), teacher, _queue(tensors))


def _state(model: Model, teacher: Momentum | None) -> dict[str, Tensor]:
    theirs = {} if teacher is None else {f"teacher.{name}": value for name, value in teacher.state_dict().items()}
    return model.state_dict() | theirs


def _queue(tensors: dict[str, Tensor]) -> Queue | None:
    if QUEUE[0] not in tensors:
        return None
    image, text, pointer = (tensors[name] for name in QUEUE)
    queue = Queue(image.shape[1], image.shape[0])
    # Columns that no pair has filled yet are zero, and stand behind the others.
    held = int((image.any(dim=0) | text.any(dim=0)).sum())
    # What the embeddings are of is not published: numbers that no content has stand for it.
    queue.push(image.T[:held], text.T[:held], *(-1 - torch.arange(held) for _ in range(2)))
    queue.pointer.copy_(pointer[0])
    return queue


def _config(tensors: dict[str, Tensor], path: Path, texts: TextProcessor | None) -> AlbefConfig:
    stated = read_json(path.parent / "config.json") if (path.parent / "config.json").exists() else {}
    bert, vit = stated.get("bert", {}), stated.get("vit", {})
    if bert.get("hidden_act", "gelu") != "gelu":
        raise UserError(f"{path.parent / 'config.json'} has the activation '{bert['hidden_act']}', ours is gelu.")
    kernel, position = (
        tensors[SIGN.replace("cls_token", "patch_embed.proj.weight")],
        tensors["visual_encoder.pos_embed"],
    )
    depth, crossing = (_layers(tensors, "text_encoder.", part) for part in ("attention.self", "crossattention.self"))
    width, side = len(kernel), round((position.shape[1] - 1) ** 0.5)
    rise = tensors["visual_encoder.blocks.0.mlp.fc1.weight"]
    heads = vit.get("heads") or heads_of(width, path)
    prepared = {name: value for name, value in stated.get("pictures", {}).items() if name in PREPARATION}
    image = ClipImageConfig(
        size=side * kernel.shape[2], patch=kernel.shape[2], width=width, heads=heads,
        depth=len({name for name in tensors if re.fullmatch(r"visual_encoder\.blocks\.\d+\.norm1\.weight", name)}),
        ratio=len(rise) / width, pre_norm=False, patch_bias=True, eps=vit.get("layer_norm_eps", 1e-6),
        augmentation=None, **{"fit": "squash"} | prepared,
    )  # fmt: skip
    text = BertTextConfig(
        width=_words(tensors, "text_encoder.", path).shape[1],
        depth=depth - crossing,
        **_shape(tensors, "text_encoder.", path, bert),
    )
    if "text_proj.weight" in tensors:
        return AlbefConfig(image=image, text=text, fusion_layers=crossing, dim=len(tensors["text_proj.weight"]))
    shape = _shape(tensors, "text_decoder.", path, bert)
    layers = _layers(tensors, "text_decoder.", "crossattention.self")
    answer = AnswerConfig(layers=layers, **_marks(stated, texts, shape["vocabulary"], path), **shape)
    return AlbefConfig(image=image, text=text, fusion_layers=crossing, answer=answer)


def _shape(tensors: dict[str, Tensor], front: str, path: Path, bert: dict[str, Any]) -> dict[str, Any]:
    """What the configurations of the text's encoder and of the decoder have in common, of the one at `front`."""
    words = _words(tensors, front, path)
    return {
        "vocabulary": len(words),
        "context": len(_of(tensors, front, "embeddings.position_embeddings.weight", path)),
        "ratio": len(_of(tensors, front, "encoder.layer.0.intermediate.dense.weight", path)) / words.shape[1],
        "heads": bert.get("num_attention_heads") or heads_of(words.shape[1], path),
        "kinds": len(_of(tensors, front, "embeddings.token_type_embeddings.weight", path)),
        "dropout": bert.get("hidden_dropout_prob", 0.1),
        "eps": bert.get("layer_norm_eps", 1e-12),
    }


def heads_of(width: int, source: Path, advice: str = "say so in config.json beside it") -> int:
    """How many heads attention has, of which the weights of `source` say nothing: they are 64 wide.

    Raises UserError for a width that is no multiple of that, with `advice`.
    """
    if width % HEAD:
        raise UserError(
            f"Attention in {source} is {width} wide, no multiple of the usual {HEAD} of a head, and how many heads it"
            f" has is not in the weights; {advice}."
        )
    return width // HEAD


def _words(tensors: dict[str, Tensor], front: str, path: Path) -> Tensor:
    return _of(tensors, front, "embeddings.word_embeddings.weight", path)


def _marks(stated: dict[str, Any], texts: TextProcessor | None, vocabulary: int, path: Path) -> dict[str, int]:
    """The tokens that begin, end and fill an answer. Raises UserError when nothing says which they are."""
    if all(name in stated for name in STATED.values()):
        return {mark: stated[name] for mark, name in STATED.items()}
    if texts is not None:
        return {mark: texts.tokenizer.token_to_id(MARKS[mark]) for mark in STATED}
    if vocabulary == UNCASED:
        return UNCASED_MARKS
    raise UserError(
        f"By which tokens an answer begins, ends and is filled is not known of {path}; give its tokenizer with"
        f" --tokenizer, or state {', '.join(STATED.values())} in config.json beside it."
    )


def _of(tensors: dict[str, Tensor], front: str, name: str, path: Path) -> Tensor:
    """A weight of BERT's, whose names have `bert.` in them in one of the layouts."""
    for whole in (f"{front}bert.{name}", front + name):
        if whole in tensors:
            return tensors[whole]
    raise UserError(f"{path} lacks the weight '{front}{name}'; bring a whole checkpoint of an ALBEF.")


def _layers(tensors: dict[str, Tensor], front: str, part: str) -> int:
    wanted = re.compile(rf"{re.escape(front)}(bert\.)?encoder\.layer\.\d+\.{re.escape(part)}\.query\.weight")
    return len([name for name in tensors if wanted.fullmatch(name)])


def _texts(tensors: dict[str, Tensor], source: Path, stated: Path | None) -> TextProcessor | None:
    """The processor of texts; None where no tokenizer is stated and none stands beside the source.

    Raises UserError for a stated one that is not there, and one that is not the model's.
    """
    path = source.parent if stated is None else stated
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.exists():
        if stated is None:
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
    words = len(_words(tensors, "text_encoder.", source))
    if tokenizer.get_vocab_size() > words:
        raise UserError(
            f"{path} has {tokenizer.get_vocab_size():,} tokens, and {source} knows {words:,}; bring the model's own."
        )
    context = len(_of(tensors, "text_encoder.", "embeddings.position_embeddings.weight", source))
    unknown = tokenizer.token_to_id("[UNK]")  # one that was learned from a table knows every text, and has none
    return TextProcessor(
        tokenizer, context, marks["pad"], marks["start"] if unknown is None else unknown, marks["mask"], None
    )


def save(found: Albef, out: Path) -> None:
    """Writes a checkpoint of ours: the model, and the teacher and the queue in objectives.safetensors beside it."""
    parts = {"teacher": found.teacher, "queue": found.queue}
    tensors = {
        f"{front}.{name}": value.contiguous()
        for front, part in parts.items()
        if part is not None
        for name, value in part.state_dict().items()
    }
    with whole_folder(out) as folder:
        found.model.save(folder)
        if tensors:
            save_file(tensors, folder / OBJECTIVES)


def open_own(source: Path) -> Albef:
    """The checkpoint of ours that `save` or a run wrote.

    Raises UserError when the published layout has no place for its model.
    """
    model = load(source)
    check_written(model)
    inner = source / "model"
    file = (inner if (inner / "model.json").exists() else source) / OBJECTIVES
    tensors = load_file(file) if file.exists() else {}
    teacher = queue = None
    if any(name.startswith("teacher.") for name in tensors):
        teacher = Momentum(model)
        teacher.load_state_dict(_within(tensors, "teacher."))
    if "queue.a" in tensors:
        queue = Queue(*tensors["queue.a"].shape)
        queue.load_state_dict(_within(tensors, "queue."))
    return Albef(model, teacher, queue)


def _within(tensors: dict[str, Tensor], front: str) -> dict[str, Tensor]:
    return {name.removeprefix(front): value for name, value in tensors.items() if name.startswith(front)}


def write(found: Albef, out: Path) -> None:
    """Writes the folder `out` with the file albef.safetensors in the published layout, and what `read` finds beside it.

    The temperature comes back to a rounding of float32, all else bit for bit. Names of inputs, the list of answers and
    the token that stands for an absent text have no place there.
    """
    model, teacher, queue = found
    table = weights(model) + (weights(model, teacher=True) if teacher is not None else [])
    tensors = published(_state(model, teacher), table, fronts(model))
    if "temp" in tensors:
        tensors["temp"] = (-tensors["temp"].double()).exp().float()
    for name in [name for name in tensors if name.endswith("embeddings.position_embeddings.weight")]:
        places = torch.arange(len(tensors[name]))[None]  # [1, L]
        tensors[name.replace("position_embeddings.weight", "position_ids")] = places
    if queue is not None:
        parts = (queue.a.T.contiguous(), queue.b.T.contiguous(), queue.pointer[None])
        tensors |= dict(zip(QUEUE, parts, strict=True))
    with whole_folder(out) as folder:
        save_file(tensors, folder / WRITTEN)
        (folder / "config.json").write_text(json.dumps(_stated(model), indent=1))
        processor = model.encoders[roles(model).text].processor
        if processor is not None:
            (folder / "tokenizer.json").write_text(processor.tokenizer.to_str(pretty=True), encoding="utf-8")


def _stated(model: Model) -> dict[str, Any]:
    named = roles(model)
    image, text = model.encoders[named.image].config, model.encoders[named.text].config
    bert = {
        "hidden_size": text.width, "num_attention_heads": text.heads, "hidden_dropout_prob": text.dropout,
        "num_hidden_layers": text.depth + model.fusion.config.layers, "fusion_layer": text.depth,
        "intermediate_size": text.shape.hidden, "vocab_size": text.vocabulary, "hidden_act": "gelu",
        "max_position_embeddings": text.context, "type_vocab_size": text.kinds, "layer_norm_eps": text.eps,
        "encoder_width": image.width,
    }  # fmt: skip
    vit = {"image_size": image.size, "patch_size": image.patch, "width": image.width, "depth": image.depth}
    vit |= {"heads": image.heads, "mlp_ratio": image.ratio, "layer_norm_eps": image.eps}
    pictures = {name: getattr(image, name) for name in PREPARATION}
    stated = {"bert": bert, "vit": vit, "pictures": pictures}
    if "answer" in named.heads:
        answer = model.heads[named.heads["answer"]].config
        stated |= {name: getattr(answer, mark) for mark, name in STATED.items()}
    return stated
