"""Which part of a model is which of an ALBEF, whatever its inputs and targets are called."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sensorium.encoders import ENCODERS
from sensorium.encoders.bert_text import BertText
from sensorium.encoders.clip_image import ClipImage
from sensorium.errors import UserError
from sensorium.families.albef import sides
from sensorium.fusion import FUSIONS
from sensorium.fusion.bert import BertFusion
from sensorium.heads import HEADS
from sensorium.heads.answer import Answer
from sensorium.heads.masked_words import MaskedWords
from sensorium.heads.match import Match
from sensorium.model import Model
from sensorium.nn.projection import Projection

ROLES = {Match: "match", MaskedWords: "words", Answer: "answer"}
MARKS = {"start": "[CLS]", "end": "[SEP]", "pad": "[PAD]", "mask": "[MASK]"}  # the tokens that BERT's tokenizers have
PICTURES = {"pooling": "class", "pre_norm": False, "patch_bias": True, "activation": "gelu"}


class Roles(NamedTuple):
    """The names of the picture, of the text, and of the heads by what they do: `match` and `words`, or `answer`."""

    image: str
    text: str
    heads: dict[str, str]


def roles(model: Model) -> Roles:
    """Raises UserError unless the inputs are one picture and one text."""
    image, text = sides({name: encoder.modality for name, encoder in model.encoders.items()})
    return Roles(image, text, {ROLES[type(head)]: name for name, head in model.heads.items() if type(head) in ROLES})


def check_written(model: Model) -> None:
    """Raises UserError for a model that the published layout cannot hold, and says why."""
    obstacle = next(_obstacles(model), None)
    if obstacle is not None:
        raise UserError(
            f"This model cannot be written as an ALBEF: {obstacle}; take one that pretrain albef has trained or, with"
            " the head answer, fit --family albef."
        )


def _obstacles(model: Model) -> Iterator[str]:
    """The obstacles, one after another; each is checked only where there is none before it."""
    image, text, heads = roles(model)
    pictures, texts, fusion = model.encoders[image], model.encoders[text], model.fusion
    for subject, module, registry, expected in (
        (f"the encoder of '{image}'", pictures, ENCODERS, ClipImage),
        (f"the encoder of '{text}'", texts, ENCODERS, BertText),
        ("the fusion", fusion, FUSIONS, BertFusion),
    ):
        if type(module) is not expected:
            names = (_registered_name(module, registry), _registered_name(expected, registry))
            yield f"{subject} is {names[0]}, where ALBEF has {names[1]}"
    if (fusion.query, fusion.context) != (text, [image]):
        asked = ", ".join(f"'{name}'" for name in fusion.context) or "nothing"
        yield f"in its fusion '{fusion.query}' asks {asked}, where in ALBEF the text asks the picture"
    if set(heads) not in ({"match", "words"}, {"answer"}) or len(heads) != len(model.heads):
        has = ", ".join(_registered_name(head, HEADS) for _, head in model.heads.items()) or "none"
        yield f"its heads are {has}, where ALBEF has match and words, or answer"
    yield from _setting_obstacles("its encoder of pictures", pictures.config, PICTURES)
    lower = texts.config
    if fusion.dim != lower.width:
        yield f"its fusion is {fusion.dim} wide, where ALBEF's is as wide as the text, {lower.width}"
    shape = {"heads": lower.heads, "ratio": lower.ratio, "eps": lower.eps}
    yield from _setting_obstacles("its fusion", fusion.config, shape)
    if "answer" in heads:
        yield from _setting_obstacles("its head answer", model.heads[heads["answer"]].config, shape)
    else:
        expected = {"tied": text, "eps": lower.eps, "vocabulary": lower.vocabulary}
        yield from _setting_obstacles("its head words", model.heads[heads["words"]].config, expected)
    yield from _space_obstacles(model, None if "answer" in heads else (image, text))
    if texts.processor is not None:
        for mark in MARKS.values():
            if texts.processor.tokenizer.token_to_id(mark) is None:
                yield f"its tokenizer has no token {mark}, as BERT's has"


def _setting_obstacles(subject: str, config: Any, expected: dict[str, Any]) -> Iterator[str]:
    for name, value in expected.items():
        if getattr(config, name) != value:
            yield f"{subject} has {name} {getattr(config, name)}, where ALBEF's would have {value}"


def _space_obstacles(model: Model, names: tuple[str, str] | None) -> Iterator[str]:
    """Obstacles in the shared space of the two inputs `names`; None for a model without one."""
    if hasattr(model, "logit_bias") or hasattr(model, "logit_scale") != (names is not None):
        yield "its similarities have another temperature or bias than ALBEF's"
    if set(model.projections.names) != set(names or ()):
        has = ", ".join(f"'{name}'" for name in model.projections.names) or "no input"
        yield f"it brings {has} into a shared space, where ALBEF brings {'both' if names else 'none'}"
    widths = {projection.out_features for _, projection in model.projections.items()}
    for name, projection in model.projections.items():
        if (
            projection.shape != Projection(projection.in_features, projection.out_features, bias=True).shape
            or len(widths) > 1
        ):
            yield f"the projection of '{name}' is not ALBEF's linear map with a bias into the space of both"


def _registered_name(module: Any, registry: dict[str, type]) -> str:
    """The name under which a part, or its class, is chosen."""
    part_class = module if isinstance(module, type) else type(module)
    return next((name for name, registered in registry.items() if registered is part_class), "none")
