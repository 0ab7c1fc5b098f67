"""CLIP: two towers and a shared space, and SigLIP, which differs from it in a few settings."""

from pydantic import BaseModel, Field

from sensorium.data.schema import Column, Schema, make_inputs
from sensorium.encoders.clip_image import ClipImage, ClipImageConfig
from sensorium.encoders.clip_text import ClipText, ClipTextConfig
from sensorium.encoders.image_processor import ImageProcessor
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import check_known
from sensorium.model import Model
from sensorium.nn.projection import Projection


class ClipConfig(BaseModel, frozen=True, extra="forbid"):
    """Two towers and a shared space.

    dim:         of the shared space.
    image_projection: whether the picture's summary is mapped into it; SigLIP's is there already, its tower being `dim`
                 wide.
    text_bias:   whether the map of the text's summary has a bias, as SigLIP's.
    temperature: at the start.
    logit_bias:  at the start, for the sigmoid loss; None for the softmax loss, which has none."""

    image: ClipImageConfig
    text: ClipTextConfig
    dim: int = Field(ge=1)
    image_projection: bool = True
    text_bias: bool = False
    temperature: float = Field(0.07, gt=0)
    logit_bias: float | None = None


def _preset(patch: int, image: tuple[int, int, int], text: tuple[int, int, int], dim: int) -> ClipConfig:
    """The published sizes: (width, depth, heads) of each tower."""
    shapes = [dict(zip(("width", "depth", "heads"), shape, strict=True)) for shape in (image, text)]
    picture = ClipImageConfig(size=224, patch=patch, **shapes[0])
    return ClipConfig(image=picture, text=ClipTextConfig(vocabulary=49_408, end_token=49_407, **shapes[1]), dim=dim)


PRESETS = {
    "tiny": ClipConfig(image=ClipImageConfig(size=64, patch=8), text=ClipTextConfig(), dim=128),
    "ViT-B-32": _preset(32, (768, 12, 12), (512, 12, 8), 512),
    "ViT-B-16": _preset(16, (768, 12, 12), (512, 12, 8), 512),
    "ViT-L-14": _preset(14, (1024, 24, 16), (768, 12, 12), 768),
}


def preset(name: str) -> ClipConfig:
    """A published size, or "tiny" for a laptop. Raises UserError for an unknown name."""
    check_known(PRESETS, "size", name)
    return PRESETS[name]


def clip(config: ClipConfig, tokenizer: TextProcessor | None = None, pictures: ImageProcessor | None = None) -> Model:
    """Two towers and a shared space (Radford et al. 2021, arXiv:2103.00020; SigLIP: Zhai et al. 2023,
    arXiv:2303.15343), inputs `image` and `text`, with random weights. Without `tokenizer` it takes token numbers only.
    Raises UserError when towers and tokenizer do not fit."""
    image, text = config.image, config.text
    if text.vocabulary is None and tokenizer is not None:
        text = text.model_copy(update={"vocabulary": tokenizer.vocabulary})
    projections = {"text": Projection(text.width, config.dim, config.text_bias)}
    if config.image_projection:
        projections["image"] = Projection(image.width, config.dim)
    encoders = {"image": ClipImage(image, pictures, True), "text": ClipText(text, tokenizer, True)}
    similarity = {"temperature": config.temperature, "logit_bias": config.logit_bias}
    return Model(encoders, projections, **similarity, schema=SCHEMA)


_COLUMNS = [Column(name=name, kind=name, reason="what the model was trained on") for name in ("image", "text")]
SCHEMA = Schema(columns=_COLUMNS, inputs=make_inputs(_COLUMNS))
