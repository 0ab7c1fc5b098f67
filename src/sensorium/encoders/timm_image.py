"""Pictures through any timm model, pretrained or not."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import timm
import torch
from pydantic import BaseModel, Field, model_validator
from safetensors.torch import load_file
from torch import Tensor, nn

from sensorium.encoders.image_augmentation import ImageAugmentation
from sensorium.encoders.image_processor import Fit, ImageProcessor, Interpolation, Jpeg, settings_of
from sensorium.encoders.pixels import Normalise, needs_size
from sensorium.encoders.pooling import add_positions, as_features
from sensorium.errors import UserError, unknown
from sensorium.features import Features
from sensorium.nn.packs import resolve

Channels = tuple[float, float, float]


class TimmConfig(BaseModel, frozen=True, extra="forbid"):
    """Which timm model, and with which weights.

    model:      timm's name, `tf_efficientnet_lite0` for one.
    pretrained: fetch timm's published weights from the hub when the encoder is built.
    weights:    a local file of weights instead: .safetensors, or a torch file (.pth, .pt, .bin), of which only tensors
                are read; or `efficientnet-lite0`, which a package brings. A torch file whose names are not timm's may
                be read by order: see `TimmImage.build`.
    size:       the side of the square each picture is brought to, in pixels; None is what the model was trained at.
    mean, std:  by channel (RGB, of values in [0, 1]); None is what the model was trained with.
    interpolation: None is what the model was trained with, bicubic where that is neither of ours.
    stages:     how many of its last feature maps the summary reads too, each as the mean over its positions; 0 is only
                what the model's classifier reads. Earlier maps say more about shape and colour: for drawings and other
                pictures that are not what the model was trained on.
    positions:  whether the tokens of a convolutional model say where in the picture they are, see `add_positions`; None
                lets `build` say yes, and is no in the checkpoints of before.
    fit, jpeg, augmentation: see ImageSettings.

    Weights are read by `build` alone: an encoder made from the config of a built one needs neither file nor hub."""

    model: str
    pretrained: bool = False
    weights: str | None = None
    size: int | None = Field(None, ge=8, le=2048)
    fit: Fit = "squash"
    interpolation: Interpolation | None = None
    jpeg: Jpeg = "reduced"
    augmentation: ImageAugmentation | None = ImageAugmentation()
    mean: Channels | None = None
    std: Channels | None = None
    stages: int = Field(0, ge=0)
    positions: bool | None = Field(None, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _one_source(self) -> "TimmConfig":
        if self.pretrained and self.weights:
            raise ValueError("state pretrained or weights, not both")
        return self


class TimmImage(nn.Module):
    """A timm model (Wightman 2019) without its classifier.

    Tokens are the positions (and class tokens) of the last feature map; pooled is what its classifier would read, and
    after it the means of the last `stages` maps, each brought to mean 0 and variance 1 when there are several.
    The narrower of tokens and pooled is filled with zeros to the width of the other (MobileNetV3's). The model stays in
    evaluation mode in training too: batch-norm statistics are the published ones, its dropout is off. Raises UserError
    for a name timm does not know, for a size the model cannot take, and for more stages than it has maps."""

    Config = TimmConfig
    Processor = ImageProcessor
    modality = "image"
    gives_map = True

    def __init__(self, config: TimmConfig, processor: ImageProcessor | None = None, summary_only: bool = False):
        super().__init__()
        config = _resolve(config)
        self.config, self.summary_only = config, summary_only
        self.processor = processor or ImageProcessor(settings_of(config, needs_size(config.size)))
        self.normalise = Normalise(config.mean, config.std)
        self.model = _create(config, num_classes=0).to(memory_format=torch.channels_last)
        self.dim = self._feature_width()
        self.train()

    @property
    def pretrained(self) -> bool:
        """Whether its weights were learned elsewhere."""
        return self.config.pretrained or self.config.weights is not None

    def train(self, mode: bool = True) -> "TimmImage":
        """Sets the mode of everything but the timm model, which stays in evaluation mode."""
        super().train(mode)
        self.model.eval()
        return self

    @torch.no_grad()
    def _feature_width(self) -> int:
        """The wider of tokens and summary, found by running a black picture. Raises UserError when the model cannot."""
        self.model.eval()
        self._check_stages()
        try:
            black = torch.zeros(1, 3, self.config.size, self.config.size)
            return max(features.shape[-1] for features in self._run(black))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise UserError(
                f"The timm model '{self.config.model}' cannot read pictures of size {self.config.size}"
                f" ({_first_line(error)}); state another size."
            ) from error

    def _check_stages(self) -> None:
        if self.config.stages:
            maps = getattr(self.model, "feature_info", [])
            if not hasattr(self.model, "forward_intermediates") or self.config.stages > len(maps):
                raise UserError(
                    f"The timm model '{self.config.model}' has {len(maps)} feature maps to read, not the"
                    f" {self.config.stages} of the option 'stages'; state fewer."
                )

    @classmethod
    def build(
        cls, config: TimmConfig, values: Iterable[np.ndarray], facts: dict[str, float], summary_only: bool = False
    ) -> "TimmImage":
        """An encoder for training, with its weights read; `values` and `facts` are not.

        A file's names must be the model's, less those of its classifier. Failing that, a torch file is read by order,
        which it keeps, if it has exactly as many tensors as the model with its own classifier and each has the same
        shape as its counterpart: another library's port of the same architecture. Raises UserError when the file cannot
        be read or fits in neither way, when the hub cannot be reached and when it has no such weights."""
        if config.positions is None:
            config = config.model_copy(update={"positions": True})
        encoder = cls(config, summary_only=summary_only)
        if config.pretrained:
            encoder.model.load_state_dict(_create(encoder.config, num_classes=0, pretrained=True).state_dict())
        elif config.weights:
            encoder.model.load_state_dict(_match(_read(Path(resolve(config.weights))), encoder.config, encoder.model))
        return encoder

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`pixels` uint8 [B, 3, H, W], `mask` bool [B, 1] -> Features of the map's T positions (1 if summary_only)."""
        features = self._run(self.normalise(inputs["pixels"]))
        tokens, pooled = (nn.functional.pad(x.float(), (0, self.dim - x.shape[-1])) for x in features)  # [..., D]
        return as_features(tokens, inputs["mask"], pooled, self.summary_only)

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """float [B, 3, H, W] -> tokens [B, T, ...], pooled [B, ...], of the model's own widths."""
        if self.config.stages:
            features, maps = self.model.forward_intermediates(x, indices=self.config.stages, norm=False)
        else:
            features, maps = self.model.forward_features(x), []
        pooled = self.model.forward_head(features, pre_logits=True)
        if maps:
            # Their scales differ a hundredfold, so that one would outweigh the others.
            summaries = [pooled, *(feature_map.float().mean(dim=(2, 3)) for feature_map in maps)]
            pooled = torch.cat([nn.functional.layer_norm(x.float(), x.shape[1:]) for x in summaries], dim=1)  # [B, D]
        # A map's positions become tokens, line by line.
        if features.ndim == 4:
            if getattr(self.model, "output_fmt", "NCHW") == "NCHW":
                features = features.permute(0, 2, 3, 1)  # [B, H, W, C]
            height, width = features.shape[1:3]
            features = features.flatten(1, 2)  # [B, H * W, C]
            if self.config.positions and not self.summary_only:
                features = add_positions(features, height, width)
        return features, pooled


def _resolve(config: TimmConfig) -> TimmConfig:
    """The config with size, interpolation, mean and std stated, from what timm knows of the model."""
    name = config.model.split(".")[0]
    if not timm.is_model(name):
        raise unknown("timm model", config.model, timm.list_models())
    published: Any = timm.get_pretrained_cfg(config.model, allow_unregistered=False)
    if published is None:
        raise unknown("timm model", config.model, timm.list_models(f"{name}*", pretrained=True) or [name])
    interpolation = published.interpolation if published.interpolation in get_args(Interpolation) else "bicubic"
    size = published.input_size[1]
    defaults = {"size": size, "interpolation": interpolation, "mean": published.mean, "std": published.std}
    return config.model_copy(update={name: getattr(config, name) or value for name, value in defaults.items()})


def _create(config: TimmConfig, **options: Any) -> nn.Module:
    """The timm model of a resolved config. Raises UserError when weights cannot be fetched or the size is refused."""
    published: Any = timm.get_pretrained_cfg(config.model)
    if published.fixed_input_size and config.size != published.input_size[1]:
        options["img_size"] = config.size
    try:
        return timm.create_model(config.model, **options)
    except Exception as error:  # the hub's client raises its transport's errors, which differ by version
        if options.get("pretrained"):
            raise UserError(
                f"The weights of the timm model '{config.model}' cannot be fetched ({_first_line(error)}); connect to"
                " the hub, or give a local file as the option 'weights'."
            ) from error
        raise UserError(
            f"The timm model '{config.model}' cannot be made for pictures of size {config.size}"
            f" ({_first_line(error)}); state another size."
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file, in the file's order. Raises UserError when it is missing or not of tensors."""
    if not path.is_file():
        raise UserError(f"There is no file of weights {path}; mend the option 'weights'.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the two readers raise more than a dozen kinds of errors for a wrong file
        raise UserError(f"The file of weights {path} cannot be read ({_first_line(error)}); give another.") from error
    tensors = tensors.get("state_dict", tensors) if isinstance(tensors, dict) else None
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise UserError(f"The file of weights {path} is not a dictionary of tensors; give another.")
    return dict(tensors)


def _match(tensors: dict[str, Tensor], config: TimmConfig, model: nn.Module) -> dict[str, Tensor]:
    """The state of `model`, which has no classifier, from the tensors of a file: by name, or else by order."""
    state = model.state_dict()
    full_state = _create(config).state_dict()
    classifier = set(full_state) - set(state)
    if tensors.keys() - classifier == state.keys():
        # By name.
        wrong = [name for name, tensor in state.items() if tensors[name].shape != tensor.shape]
        if not wrong:
            return {name: tensors[name] for name in state}
        why = f"'{wrong[0]}' is {list(tensors[wrong[0]].shape)} and not {list(state[wrong[0]].shape)}"
    else:
        # By order, which only a torch file keeps.
        by_order = config.weights is not None and not config.weights.endswith(".safetensors")
        shapes = [tensor.shape for tensor in full_state.values()]
        if by_order and shapes == [tensor.shape for tensor in tensors.values()]:
            renamed = dict(zip(full_state, tensors.values(), strict=True))
            return {name: renamed[name] for name in state}
        odd = sorted(tensors.keys() ^ state.keys() - classifier)
        why = f"its names differ, '{odd[0]}' for one, and its shapes are not the model's in order"
    raise UserError(
        f"The file of weights {config.weights} does not fit the timm model '{config.model}': {why}; give another."
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(". ")
