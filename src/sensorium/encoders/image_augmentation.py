"""Random changes of a training picture: moved, tinted, greyed, blurred, outlined."""

import math
from typing import Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional

# Grey levels between neighbours: bounds of where an outline begins, and how many more make it black.
FAINTEST, STRONGEST, RAMP = 20.0, 90.0, 60.0


class ImageAugmentation(BaseModel, frozen=True, extra="forbid"):
    """How far a training picture is moved, turned and tinted; drawn uniformly up to these bounds, both ways.

    zoom:     in and out, as a share of the size. shift: as a share of the side. rotation: degrees.
    colour:   of brightness, contrast and saturation, as a share.
    flip:     probability of a left-right flip: 0 by default, for digits, letters and signs are not symmetric.
    hue:      as a share of the colour circle, at most half of it.
    grey:     probability that the picture loses its colours.
    blur:     probability that it is blurred.
    outline:  probability that its edges are drawn in black, thin or thick: for drawings, which are drawn with
              outlines or without.
    around:   what fills the sides: "edge", the pixels there repeated; or "border", the border's median colour."""

    zoom: float = Field(0.12, ge=0, le=0.8)
    shift: float = Field(0.08, ge=0, lt=1)
    rotation: float = Field(10.0, ge=0, le=180)
    colour: float = Field(0.2, ge=0, lt=1)
    flip: float = Field(0.0, ge=0, le=1)
    hue: float = Field(0.0, ge=0, le=0.5)
    grey: float = Field(0.0, ge=0, le=1)
    blur: float = Field(0.0, ge=0, le=1)
    outline: float = Field(0.0, ge=0, le=1)
    around: Literal["edge", "border"] = "edge"


def augmenter(settings: ImageAugmentation, size: int, of_points: bool = False) -> v2.Transform:
    """The transform that changes pictures uint8 [..., 3, size, size] at random, all of them alike; `of_points`: that
    of BoundingBoxes in them, which draws the same numbers."""
    colours = (settings.colour,) * 3
    steps = [
        *(
            _move_steps(settings, size, of_points)
            if settings.around == "edge"
            else [MoveOverBorderColour(settings, size)]
        ),
        v2.RandomHorizontalFlip(settings.flip),
        v2.ColorJitter(*colours, settings.hue) if settings.hue else v2.ColorJitter(*colours),
    ]
    # A step that is never taken draws no random number, so that runs from before it existed resume to the same bits.
    if settings.grey:
        steps.append(v2.RandomGrayscale(settings.grey))
    if settings.outline:
        steps.append(v2.RandomApply([Outline()], settings.outline))
    if settings.blur:
        steps.append(v2.RandomApply([v2.GaussianBlur(2 * (size // 40) + 3, (size / 256, size / 64))], settings.blur))
    return v2.Compose(steps)


def _move_steps(settings: ImageAugmentation, size: int, of_points: bool) -> list[v2.Transform]:
    # The border is first repeated outwards, as far as the farthest corner reaches, so that background moves in and not
    # a black wedge.
    angle = math.radians(min(settings.rotation, 45.0))
    reach = ((math.cos(angle) + math.sin(angle)) / 2 + settings.shift) / (1 - settings.zoom)
    margin = math.ceil(size * (reach - 0.5)) + 1
    shift, scale = (settings.shift * size / (size + 2 * margin),) * 2, (1 - settings.zoom, 1 + settings.zoom)
    affine = v2.RandomAffine(settings.rotation, shift, scale, interpolation=InterpolationMode.BILINEAR)
    return [v2.Pad(margin, padding_mode="constant" if of_points else "edge"), affine, v2.CenterCrop(size)]


class MoveOverBorderColour(nn.Module):
    """A picture zoomed, shifted and turned, with the median colour of its border around it."""

    def __init__(self, settings: ImageAugmentation, size: int):
        super().__init__()
        self.settings, self.size = settings, size

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 [..., 3, size, size] -> the same shape, drawn from torch's global generator."""
        settings = self.settings
        angle, zoom, right, down = ((2 * torch.rand(4) - 1) * torch.tensor(
            [settings.rotation, settings.zoom, settings.shift * self.size, settings.shift * self.size]
        )).tolist()  # fmt: skip
        sides = [pixels[..., 0, :], pixels[..., -1, :], pixels[..., 0], pixels[..., -1]]
        border = torch.cat(sides, dim=-1).movedim(-2, 0).flatten(1)  # [3, pixels of the border]
        fill = border.float().median(dim=1).values.tolist()
        return functional.affine(
            pixels, angle, [right, down], 1 + zoom, [0.0, 0.0], InterpolationMode.BILINEAR, fill=fill
        )


class Outline(nn.Module):
    """The edges of a picture drawn in black: where the brightest and the darkest of neighbouring pixels differ much in
    any colour (the morphological gradient). How wide, and how much, is drawn."""

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 [..., 3, H, W] -> the same shape, drawn from torch's global generator."""
        reach = int(torch.randint(1, 1 + max(2, round(pixels.shape[-1] / 64)), ()))
        threshold = float(torch.empty(()).uniform_(FAINTEST, STRONGEST))
        values = pixels.reshape(-1, *pixels.shape[-3:]).float()  # [B, 3, H, W]
        padded = nn.functional.pad(values, (reach,) * 4, mode="replicate")
        width = 2 * reach + 1
        brightest, darkest = (sign * nn.functional.max_pool2d(sign * padded, width, 1) for sign in (1, -1))
        edge = ((brightest - darkest).amax(dim=1, keepdim=True) - threshold) / RAMP  # [B, 1, H, W]
        outlined = values * (1 - edge.clamp(0, 1))
        return outlined.round().to(torch.uint8).reshape(pixels.shape)
