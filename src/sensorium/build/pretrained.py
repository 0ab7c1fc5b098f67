"""A fit that begins with the encoders and the fusion of a trained model, by kind of input; its targets are new."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sensorium.data.records import no_tokenizer
from sensorium.data.table import Table
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import UserError, counted
from sensorium.fusion.bert import BertFusion
from sensorium.heads.answer import Answer
from sensorium.model import Model, load
from sensorium.build.beginning import override_encoder_config
from sensorium.build.model import assemble, build_encoders, fusion_class
from sensorium.config.schema import InputSettings, Recipe

LOOKED_AT = 1000  # texts whose length is measured
SHAPE = ("layers", "heads", "ratio", "dropout", "eps")  # what a decoder takes from the fusion that it begins with


def init_from_pretrained(table: Table, recipe: Recipe, facts: dict[str, dict[str, float]]) -> Model:
    """The model for a training table, with what `begin_with` has of it: encoders, the fusion `bert`, a decoder.

    An input takes the encoder of its name there, else of the only one of its kind; one of a kind that is not there is
    built from the records. The decoder of answers begins as that model's own, else as its fusion, whose blocks are its
    blocks (Li et al. 2021, arXiv:2107.07651, section 5). All else is new, drawn by the recipe's seed. Raises UserError
    for settings that the weights do not fit.
    """
    run = Path(recipe.begin_with)
    old = load(run)
    torch.manual_seed(recipe.seed)
    taken, pooled = match_inputs(table, recipe, old), fusion_class(recipe).reads == "pooled"
    found: dict[str, nn.Module] = {}
    for name, theirs in taken.items():
        settings = recipe.inputs.get(name, InputSettings())
        shared = found.get(settings.shares) if settings.shares else None
        found[name] = override_encoder_config(old.encoders[theirs], settings, name, run) if shared is None else shared
        found[name].summary_only = pooled
    rest = [spec for spec in table.schema.inputs if spec.name not in taken]
    if rest:
        narrow = table.under(table.schema.model_copy(update={"inputs": rest}))
        found |= build_encoders(narrow, recipe.inputs, facts, pooled)
    leads = taken.get(recipe.fusion.config.get("query") or table.schema.inputs[0].name)
    follows = recipe.fusion.name == "bert" and isinstance(old.fusion, BertFusion) and leads == old.fusion.query
    ordered = {spec.name: found[spec.name] for spec in table.schema.inputs}
    model = assemble(table, _shaped(recipe, old) if follows else recipe, ordered)
    if follows:
        _load(model.fusion, _fusion_of(model.fusion, old, taken), f"The fusion of {run}")
        for _, head in model.heads.items():
            if isinstance(head, Answer):
                _load(head, head.state_dict() | _decoder_of(head, old), f"The decoder of {run}")
    return model


def check_pretrained(recipe: Recipe, folder: Path) -> None:
    """Sees to it that a run in `folder` begins with one other run at most. Raises UserError."""
    if recipe.begin_with is None:
        return
    if recipe.start_from is not None:
        raise UserError(
            "start_from goes on with a trained run, targets and all, and begin_with takes its encoders and fusion for"
            " other targets; leave one of the two out."
        )
    if Path(recipe.begin_with).resolve() == folder.resolve():
        raise UserError(f"--from and --out are both {folder}; give the run that begins with it a folder of its own.")


def pretrained_sentences(table: Table, recipe: Recipe) -> list[str]:
    """Which input begins with which of the trained model, and which texts are longer than what is read of them.

    Raises UserError as `begun_with` does.
    """
    old = load(recipe.begin_with)
    taken = match_inputs(table, recipe, old)
    shown = ", ".join(f"its {theirs} is {mine!r}" for mine, theirs in taken.items())
    said = [f"Begins with {recipe.begin_with}: {shown}."]
    for mine, theirs in taken.items():
        processor = old.encoders[theirs].processor
        if isinstance(processor, TextProcessor):
            texts = [text for text in table.cells(mine, "text")[:LOOKED_AT] if text is not None]
            cut = sum(bool(one.overflowing) for one in processor.tokenizer.encode_batch(texts))
            if cut:
                said.append(
                    f"Of the first {counted(len(texts), 'text')} of '{mine}' {cut:,} are longer than what is"
                    f" read of them, {processor.max_tokens} tokens; pre-train with more, as --encoder"
                    f" {theirs}=bert_text,context=64."
                )
    return said


def match_inputs(table: Table, recipe: Recipe, old: Model) -> dict[str, str]:
    """By input, that of the trained model whose encoder it begins with.

    Raises UserError when there is none for any input, or several of an input's kind, of which none has its name.
    """
    kinds, taken = {name: encoder.modality for name, encoder in old.encoders.items()}, {}
    for spec in table.schema.inputs:
        fitting = [name for name, kind in kinds.items() if kind == spec.modality]
        shares = recipe.inputs.get(spec.name, InputSettings()).shares
        if spec.name in fitting:
            fitting = [spec.name]
        free = fitting if shares else [name for name in fitting if name not in taken.values()]
        if len(free) > 1:
            raise UserError(
                f"The model in {recipe.begin_with} has several inputs of the kind of '{spec.name}': {', '.join(free)};"
                " give the column the name of the one that is meant."
            )
        if free:
            if old.encoders[free[0]].processor is None:
                raise no_tokenizer(free[0])
            taken[spec.name] = free[0]
    if not taken:
        has = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise UserError(
            f"The model in {recipe.begin_with} has the inputs {has}, none of a kind that {table.source} has; begin with"
            " another, or leave it out."
        )
    return taken


def _shaped(recipe: Recipe, old: Model) -> Recipe:
    """The recipe with the fusion's shape, and that of a decoder, where it does not say otherwise."""
    config = old.fusion.config.model_dump(mode="json", exclude={"query", "context"})
    fusion = recipe.fusion.model_copy(update={"config": config | recipe.fusion.config})
    decoder = next((head.config for _, head in old.heads.items() if isinstance(head, Answer)), old.fusion.config)
    shape = {name: getattr(decoder, name) for name in SHAPE}
    targets = {
        name: one.model_copy(update={"config": shape | one.config}) if one.head == "answer" else one
        for name, one in recipe.targets.items()
    }
    return recipe.model_copy(update={"fusion": fusion, "targets": targets})


def _fusion_of(fusion: BertFusion, old: Model, taken: dict[str, str]) -> dict[str, Tensor]:
    """The old fusion's weights under the names of the new one, whose contexts may be more or in another order."""
    theirs, known, state = old.fusion.state_dict(), old.fusion.context, {}
    order = [known.index(taken[name]) if taken.get(name) in known else 0 for name in fusion.context]
    for name in fusion.state_dict():
        parts = name.split(".")
        for place, part in enumerate(parts[:-1]):
            if part in ("asking", "crossings"):
                parts[place + 1] = str(order[int(parts[place + 1])])
        if ".".join(parts) in theirs:
            state[name] = theirs[".".join(parts)]
    return state


def _decoder_of(head: Answer, old: Model) -> dict[str, Tensor]:
    """What a decoder begins with: that of the trained model, else its fusion, its words and how it fills them in."""
    own = next((one for _, one in old.heads.items() if isinstance(one, Answer)), None)
    if own is not None:
        theirs: dict[str, Tensor] = dict(own.named_parameters())
    else:
        text, words = old.encoders[old.fusion.query], old.heads["words"] if "words" in old.heads else nn.Module()
        parts = {"blocks.": old.fusion.blocks, "asking.": old.fusion.asking[0]}
        parts |= {"embeddings.": getattr(text, "embeddings", nn.Module())}
        parts |= {"network.": getattr(words, "network", nn.Module())}
        theirs = {front + name: value for front, part in parts.items() for name, value in part.state_dict().items()}
    mine = head.state_dict()
    return {name: value for name, value in theirs.items() if name in mine and mine[name].shape == value.shape}


def _load(part: nn.Module, state: dict[str, Any], what: str) -> None:
    try:
        part.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise UserError(
            f"{what} does not fit the recipe ({str(error).splitlines()[1].strip()}); leave the shape of the fusion out,"
            " which is that of the weights."
        ) from error
