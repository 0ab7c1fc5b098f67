"""Florence as a family that is pretrained: a hierarchical tower of pictures and one of texts, aligned by UniCL."""

import math
from typing import Any, Literal, NamedTuple

from pydantic import Field
from torch import nn

from sensorium.data.schema import Schema
from sensorium.errors import UserError, check_known
from sensorium.families.clip_training import ClipFamily, ClipSettings
from sensorium.families.family import ProjectionSettings, SharedSettings, Tower, picture_and_text
from sensorium.model import Model
from sensorium.objectives.unicl import unicl

SIZE = "tiny"


class Size(NamedTuple):
    """The tower of pictures, and the size of a CLIP whose tower of texts, width of the space and rate it has."""

    image: Tower
    text: str


def _swin(kind: str) -> Size:
    """A Swin transformer (Liu et al. 2021, arXiv:2103.14030) with 12 layers of text 512 wide, as in UniCL."""
    return Size(Tower("timm", {"model": f"swin_{kind}_patch4_window7_224"}), "ViT-B-32")


SIZES = {"tiny": Size(Tower("image_conv", {"quick": True}), "tiny")}
SIZES |= {f"swin-{kind}": _swin(kind) for kind in ("tiny", "small", "base")}


class FlorenceSettings(SharedSettings):
    """A Florence that is pretrained on a picture, a text and a class: of what size, and where the classes stand."""

    name: Literal["florence"] = Field(description="the family")
    size: str | None = Field(
        None,
        description="of the encoders that `inputs` does not name: tiny, swin-tiny, swin-small, swin-base; none: tiny",
    )
    temperature: float | None = Field(
        None, gt=0, le=1, description="at the start, it is learned; none: that of `start_from`, else 0.07"
    )
    projections: dict[str, ProjectionSettings] = Field(
        {}, description="by input, how its summary comes into the shared space where that is more than a linear map"
    )
    labels: str | None = Field(
        None, description="column of classes: pictures are brought to the label of their class as well, as to a text"
    )


class FlorenceFamily:
    """A picture and a text, each with a projection into the shared space, where labels of classes are texts too."""

    Settings = FlorenceSettings
    reads = "pooled"
    labels_are_texts = True
    rebuild_with_inputs = ClipFamily.rebuild_with_inputs

    def __init__(self) -> None:
        self._clip = ClipFamily()

    def towers(self, settings: FlorenceSettings) -> dict[str, Tower]:
        """The towers of the size. Raises UserError for an unknown one."""
        size = _size(settings)
        return self._clip.towers(_as_clip(settings, size.text)) | {"image": size.image}

    def build_model(self, settings: FlorenceSettings, encoders: dict[str, nn.Module], schema: Schema) -> Model:
        """Towers of any kind and width, each with a projection into the shared space."""
        return self._clip.build_model(_as_clip(settings, _size(settings).text), encoders, schema)

    def continue_from(self, settings: FlorenceSettings, trained: Model) -> FlorenceSettings:
        """The settings; `trained` gets their temperature. Raises UserError when they ask for another size or space, and
        for a model that learned by the sigmoid loss."""
        if hasattr(trained, "logit_bias"):
            raise UserError(
                "The model that --from names learned by the sigmoid loss, and UniCL goes on from the softmax loss;"
                " name another, or pretrain clip."
            )
        self._clip.continue_from(_as_clip(settings, settings.size), trained)
        return settings

    def pairs(self, settings: FlorenceSettings, kinds: dict[str, str]) -> list[tuple[str, str]]:
        """The picture and the text. Raises UserError for other inputs, name → kind."""
        sides = picture_and_text(kinds, "Florence")
        return self._clip.pairs(_as_clip(settings, settings.size), {name: kinds[name] for name in sides})

    def objectives(self, settings: FlorenceSettings, model: Model, steps: int) -> list[nn.Module]:
        """UniCL's losses: of captions, and where there are classes of their labels."""
        [(image, text)] = self.pairs(settings, {name: encoder.modality for name, encoder in model.encoders.items()})
        return unicl(image, text, labels=settings.labels is not None)

    def training_defaults(self, settings: FlorenceSettings, continues: bool) -> dict[str, Any]:
        """Those of the CLIP with this tower of texts."""
        return self._clip.training_defaults(_as_clip(settings, _size(settings).text), continues)

    def contrastive_loss(self, settings: FlorenceSettings) -> Literal["softmax"] | None:
        """The softmax loss; with labels there are two, of which `chance_sentences` speak."""
        return "softmax" if settings.labels is None else None

    def chance_sentences(self, settings: FlorenceSettings, model: Model, batch_size: int) -> list[str]:
        """What each of the two losses is at chance, when all records of a step have a text and a class."""
        if settings.labels is None:
            return []
        return [
            f"Pictures are brought to the labels of '{settings.labels}' as well as to their texts. Chance: who cannot"
            f" tell the {batch_size} of a step apart has a loss of ln {batch_size} = {math.log(batch_size):.2f} by"
            " texts and as much by labels; less where some are absent."
        ]


def _size(settings: FlorenceSettings) -> Size:
    check_known(SIZES, "size", settings.size or SIZE)
    return SIZES[settings.size or SIZE]


def _as_clip(settings: FlorenceSettings, size: str | None) -> ClipSettings:
    """The CLIP of a size with these settings."""
    shared = {name: getattr(settings, name) for name in ("dim", "temperature", "projections")}
    return ClipSettings(name="clip", size=size, **shared)
