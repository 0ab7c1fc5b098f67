"""Pictures through DaViT and the projector of Florence-2, of the Transformers library."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np
from pydantic import BaseModel, Field
from torch import Tensor, nn
from transformers import AutoImageProcessor, Florence2ForConditionalGeneration, Florence2VisionConfig
from transformers.models.florence2.modeling_florence2 import Florence2MultiModalProjector, Florence2VisionBackbone

from sensorium.encoders.image_augmentation import ImageAugmentation
from sensorium.encoders.image_processor import ImageProcessor, Interpolation, Jpeg, settings_of
from sensorium.encoders.pixels import Normalise, needs_size
from sensorium.encoders.pooling import summarise
from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.nn.hub import architecture_of, load, load_with

WHAT = "Florence-2"
_FILTERS: dict[int, Interpolation] = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers


class DaViTConfig(BaseModel, frozen=True, extra="forbid"):
    """The pictures' part of a Florence-2.

    model:        its name on the Hugging Face hub, or the folder that holds it.
    architecture: its Transformers configuration; `build` fills it, so that our checkpoint does not need the source.
    size, interpolation, mean, std: of the pictures as it was trained; `build` reads them. size: the side in pixels.
    jpeg, augmentation: see ImageSettings. Without augmentation boxes stay where they are.
    """

    model: str
    architecture: dict[str, Any] | None = None
    size: int | None = Field(None, ge=32, le=2048)
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    jpeg: Jpeg = "full"
    augmentation: ImageAugmentation | None = None


class DaViT(nn.Module):
    """Windows of positions and groups of channels attend in turn (Ding et al. 2022, arXiv:2204.03645); a projector adds
    places and gives the mean of the last map, then its positions, line by line (Xiao et al. 2023, arXiv:2311.06242).

    The constructor gives random weights in the config's architecture; `build` loads the pretrained ones. Raises
    UserError without architecture or size.
    """

    Config = DaViTConfig
    Processor = ImageProcessor
    modality = "image"
    pretrained = True

    def __init__(self, config: DaViTConfig, processor: ImageProcessor | None = None, summary_only: bool = False):
        super().__init__()
        if config.architecture is None:
            raise UserError(f"The architecture of '{config.model}' is not known; build the encoder, which reads it.")
        self.config, self.summary_only = config, summary_only
        self.processor = processor or ImageProcessor(settings_of(config, needs_size(config.size)))
        self.normalise = Normalise(config.mean, config.std)
        architecture = Florence2VisionConfig(**config.architecture)
        self.body = Florence2VisionBackbone(architecture)
        self.projector = Florence2MultiModalProjector(SimpleNamespace(vision_config=architecture))
        self.dim = architecture.projection_dim

    @classmethod
    def build(
        cls, config: DaViTConfig, values: Iterable[np.ndarray], facts: dict[str, float], summary_only: bool = False
    ) -> "DaViT":
        """The pretrained encoder; `values` and `facts` are not read. Raises UserError when it cannot be loaded."""
        published, _ = load_with(Florence2ForConditionalGeneration, config.model, WHAT, "lm_head")
        return cls.of(published, config.model_copy(update=picture_settings(config.model)), summary_only)

    @classmethod
    def of(
        cls, published: Florence2ForConditionalGeneration, config: DaViTConfig, summary_only: bool = False
    ) -> "DaViT":
        """The encoder of a whole model, whose weights it takes."""
        architecture = architecture_of(published.config.vision_config)
        encoder = cls(config.model_copy(update={"architecture": architecture}), summary_only=summary_only)
        encoder.body, encoder.projector = published.model.vision_tower, published.model.multi_modal_projector
        return encoder

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`pixels` uint8 [B, 3, H, W], `mask` bool [B, 1] -> Features of T = 1 + H W / 32² tokens (1 if summary_only),
        of which the first is the mean of the others."""
        tokens = self.projector(self.body(self.normalise(inputs["pixels"])).last_hidden_state)  # [B, T, D]
        return summarise(tokens, inputs["mask"].expand(-1, tokens.shape[1]), "first", self.summary_only)


def picture_settings(source: str) -> dict[str, Any]:
    """How the folder or model `source` has pictures prepared: settings of DaViTConfig. Raises UserError for a way that
    is not ours."""
    prepared = load(AutoImageProcessor, source, f"preparation of pictures of the {WHAT}")
    height, width = (prepared.size.get(side) for side in ("height", "width"))
    filtered = _FILTERS.get(int(prepared.resample))
    if height is None or height != width or filtered is None or getattr(prepared, "do_center_crop", False):
        raise UserError(
            f"The {WHAT} '{source}' prepares pictures in another way than to squares by bicubic or bilinear filters;"
            " bring the preprocessor_config.json that belongs to it."
        )
    return {
        "size": height,
        "interpolation": filtered,
        "mean": tuple(prepared.image_mean),
        "std": tuple(prepared.image_std),
    }


def count_tokens(config: DaViTConfig) -> int:
    """How many tokens a picture has."""
    side = config.size
    steps = (config.architecture[f"patch_{name}"] for name in ("size", "stride", "padding"))
    for kernel, stride, padding in zip(*steps, strict=True):
        side = (side + 2 * padding - kernel) // stride + 1
    return 1 + side * side
