"""Published ALBEF checkpoints, of pre-training and of answering questions: read, and written back."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from sensorium.errors import UserError
from sensorium.families.albef import albef
from sensorium.families.albef_config import MARK_KEYS, PREPARATION, SIGN, config_of, text_processor
from sensorium.families.albef_roles import check_written, roles
from sensorium.families.albef_weights import fronts, weights
from sensorium.families.clip_files import no_weights, read_tensors
from sensorium.families.conversion import Options
from sensorium.families.weights import filled, published
from sensorium.files import whole_folder
from sensorium.model import Model, load
from sensorium.objectives.momentum import Momentum, Queue

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
OBJECTIVES = "objectives.safetensors"
WRITTEN = "albef.safetensors"
QUEUE = ("image_queue", "text_queue", "queue_ptr")


class Albef(NamedTuple):
    """A model and, where the checkpoint has them, the teacher and the queue of its training."""

    model: Model
    teacher: Momentum | None
    queue: Queue | None


class PublishedAlbef:
    """A file with the weights of a published ALBEF, which becomes a checkpoint of ours."""

    takes_tokenizer = True

    def recognises(self, source: Path, options: Options) -> bool:
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

    def convert(self, source: str | Path, out: Path, options: Options) -> Model:
        """Writes a checkpoint of ours. Raises UserError as `read` does, and for a stated activation."""
        check_no_activation(options)
        checkpoint = read(Path(source), options.tokenizer)
        save(checkpoint, out)
        return checkpoint.model


class WrittenAlbef:
    """A checkpoint of ours, which is written in the layout of the published ones."""

    takes_tokenizer = False

    def convert(self, source: str | Path, out: Path, options: Options) -> Model:
        """Writes what `write` says. Raises UserError as `open_own` does, and for a stated activation."""
        check_no_activation(options)
        checkpoint = open_own(Path(source))
        write(checkpoint, out)
        return checkpoint.model


def check_no_activation(options: Options) -> None:
    """Checks that no activation is stated, for an ALBEF has one only. Raises UserError."""
    if options.activation is not None:
        raise UserError("An ALBEF's activation is gelu; leave --activation out.")


def read(path: Path, tokenizer: Path | None = None) -> Albef:
    """The model of a published file in evaluation mode; inputs `image` and `text`.

    tokenizer: a tokenizer.json, or a folder that has one; None for the one beside the file. Without any the model takes
    token numbers alone. Its sizes are the weights'; how many heads, config.json beside it (`bert.num_attention_heads`,
    `vit.heads`), else those are 64 wide. Nothing is unpickled but tensors. Raises UserError for a missing, unknown or
    misfitting weight, for a model that is not BERT's and a vision transformer's, and for another model's tokenizer."""
    tensors = read_tensors(path)
    remaining = {name: value for name, value in tensors.items() if name not in QUEUE}
    for name in [name for name in remaining if name.endswith(".position_ids")]:
        del remaining[name]  # the numbers from 0 on, which ours do not store
    processor = text_processor(tensors, path, tokenizer)
    try:
        model = albef(config_of(tensors, path, processor), processor)
    except ValidationError as error:
        reason = " ".join(error.errors()[0]["msg"].split())
        raise UserError(
            f"The weights in {path} and the config.json beside it make no ALBEF ({reason}); bring both as they were."
        ) from error
    if "temp" in remaining:
        remaining["temp"] = -remaining["temp"].double().log()
    follows = any(name.startswith("visual_encoder_m.") for name in remaining)
    teacher = Momentum(model) if follows else None
    table = weights(model) + (weights(model, teacher=True) if follows else [])
    new = filled(_state(model, teacher), table, remaining, str(path), fronts(model))
    # Published ALBEF always has a text, and so no token for an absent one.
    new["fusion.absent"] = torch.zeros(model.fusion.dim)
    model.load_state_dict({name: value for name, value in new.items() if not name.startswith("teacher.")}, strict=True)
    if teacher is not None:
        model_state = {f"model.{name}": value for name, value in model.state_dict().items()}
        teacher.load_state_dict(teacher.state_dict() | model_state | _within(new, "teacher."))
    return Albef(model.eval(), teacher, _queue(tensors))


def _state(model: Model, teacher: Momentum | None) -> dict[str, Tensor]:
    teacher_state = {} if teacher is None else teacher.state_dict()
    return model.state_dict() | {f"teacher.{name}": value for name, value in teacher_state.items()}


def _queue(tensors: dict[str, Tensor]) -> Queue | None:
    if QUEUE[0] not in tensors:
        return None
    image, text, pointer = (tensors[name] for name in QUEUE)
    queue = Queue(image.shape[1], image.shape[0])
    # Columns that no pair has filled yet are zero, and stand behind the others.
    held = int((image.any(dim=0) | text.any(dim=0)).sum())
    # The contents of the embeddings are not published; these ids are those of no content.
    queue.push(image.T[:held], text.T[:held], *(-1 - torch.arange(held) for _ in range(2)))
    queue.pointer.copy_(pointer[0])
    return queue


def save(checkpoint: Albef, out: Path) -> None:
    """Writes a checkpoint of ours: the model, and the teacher and the queue in objectives.safetensors beside it."""
    tensors = {}
    for front, module in (("teacher", checkpoint.teacher), ("queue", checkpoint.queue)):
        state = {} if module is None else module.state_dict()
        tensors |= {f"{front}.{name}": value.contiguous() for name, value in state.items()}
    with whole_folder(out) as folder:
        checkpoint.model.save(folder)
        if tensors:
            save_file(tensors, folder / OBJECTIVES)


def open_own(source: Path) -> Albef:
    """The checkpoint of ours that `save` or a run wrote. Raises UserError for a model that cannot be published."""
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


def write(checkpoint: Albef, out: Path) -> None:
    """Writes the folder `out` with the file albef.safetensors in the published layout, and the files that `read` reads
    beside it. The temperature comes back to a rounding of float32, all else bit for bit. Names of inputs, the list of
    answers and the token for an absent text are not written."""
    model, teacher, queue = checkpoint
    table = weights(model) + (weights(model, teacher=True) if teacher is not None else [])
    tensors = published(_state(model, teacher), table, fronts(model))
    if "temp" in tensors:
        tensors["temp"] = (-tensors["temp"].double()).exp().float()
    for name in [name for name in tensors if name.endswith("embeddings.position_embeddings.weight")]:
        positions = torch.arange(len(tensors[name]))[None]  # [1, L]
        tensors[name.replace("position_embeddings.weight", "position_ids")] = positions
    if queue is not None:
        columns = (queue.a.T.contiguous(), queue.b.T.contiguous(), queue.pointer[None])
        tensors |= dict(zip(QUEUE, columns, strict=True))
    with whole_folder(out) as folder:
        save_file(tensors, folder / WRITTEN)
        (folder / "config.json").write_text(json.dumps(_config_json(model), indent=1))
        processor = model.encoders[roles(model).text].processor
        if processor is not None:
            (folder / "tokenizer.json").write_text(processor.tokenizer.to_str(pretty=True), encoding="utf-8")


def _config_json(model: Model) -> dict[str, Any]:
    part_names = roles(model)
    image, text = model.encoders[part_names.image].config, model.encoders[part_names.text].config
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
    settings = {"bert": bert, "vit": vit, "pictures": pictures}
    if "answer" in part_names.heads:
        answer = model.heads[part_names.heads["answer"]].config
        settings |= {name: getattr(answer, mark) for mark, name in MARK_KEYS.items()}
    return settings
