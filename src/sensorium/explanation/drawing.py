"""An explanation as a picture: the photo once for the whole text and once for each word, heat laid over it."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from sensorium.errors import UserError
from sensorium.explanation.grad_cam import Explanation
from sensorium.files import whole_file

SIDE = 220  # pixels of a panel's longer side
LINE = 22  # pixels of the line of text above it
GAP = 12
ACROSS = 5  # panels in a row
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
# Heat as a colour, from none to the most: dark blue, magenta, orange, light yellow, told apart without colours too.
HEAT = np.array([(20, 10, 90), (170, 30, 130), (250, 130, 40), (255, 245, 150)], dtype=np.float32)
DOWN, OVER = ("upper", "middle", "lower"), ("left", "centre", "right")


def draw(explanation: Explanation, photo: np.ndarray, title: str, out: str | Path) -> None:
    """Writes the heat maps of `explanation` over `photo`, uint8 [H, W, 3], to `out`, whole or not at all.

    The first panel is of the whole text, under `title`; the others are of its words, and share one scale. In a PNG what
    `said` says is kept as the text `Description`. Raises UserError for a file that is no .png, .jpg or .webp.
    """
    suffix = check_format(out)
    scale = SIDE / max(photo.shape[:2])
    small = Image.fromarray(photo).resize([max(1, round(side * scale)) for side in photo.shape[1::-1]], Image.LANCZOS)
    most = explanation.maps.max()
    panels = [(title, _heated(small, explanation.whole, explanation.whole.max(), explanation.box))]
    panels += [
        (word, _heated(small, heat, most, explanation.box))
        for word, heat in zip(explanation.words, explanation.maps, strict=True)
    ]
    sheet = _sheet(panels, small.size)
    about = PngImagePlugin.PngInfo()
    about.add_text("Description", " ".join(said(explanation)))
    with whole_file(Path(out)) as new:
        sheet.save(new, FORMATS[suffix], **({"pnginfo": about} if suffix == ".png" else {"quality": 92}))


def check_format(out: str | Path) -> str:
    """The ending of a file that can be drawn. Raises UserError for another."""
    suffix = Path(out).suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"--explain {out} is of no known kind; end it in {', '.join(FORMATS)}.")
    return suffix


def said(explanation: Explanation) -> list[str]:
    """A sentence a word, for who does not see the picture: where it looks, and its share of the heat of all words."""
    total = explanation.maps.sum() or 1.0
    return [
        f"{word}: {_place(heat, explanation.box)}, {heat.sum() / total:.0%} of the heat."
        if heat.max() > 0
        else f"{word}: nowhere."
        for word, heat in zip(explanation.words, explanation.maps, strict=True)
    ]


def over(heat: np.ndarray, box: tuple[float, float, float, float], width: int, height: int) -> np.ndarray:
    """float32 [height, width]: a map of patches, [h, w], as it lies over a picture of that size, smoothed; zero outside
    `box`, the square it covers, in shares of the picture's sides.
    """
    left, top, right, bottom = (round(edge * side) for edge, side in zip(box, (width, height) * 2, strict=True))
    size = (max(1, right - left), max(1, bottom - top))
    spread = Image.fromarray(heat.astype(np.float32)).resize(size, Image.BILINEAR)
    whole = np.zeros((height, width), dtype=np.float32)
    whole[top : top + size[1], left : left + size[0]] = np.asarray(spread)[: height - top, : width - left]
    return whole


def _heated(photo: Image.Image, heat: np.ndarray, most: float, box: tuple[float, float, float, float]) -> Image.Image:
    share = np.clip(over(heat, box, *photo.size) / (most or 1.0), 0, 1)[..., None]  # [H, W, 1]
    place = share[..., 0] * (len(HEAT) - 1)
    low = np.minimum(place.astype(int), len(HEAT) - 2)
    colour = HEAT[low] + (HEAT[low + 1] - HEAT[low]) * (place - low)[..., None]  # [H, W, 3]
    grey = np.asarray(photo.convert("L"), dtype=np.float32)[..., None]
    strength = 0.25 + 0.55 * share
    return Image.fromarray((grey * (1 - strength) + colour * strength).round().astype(np.uint8))


def _sheet(panels: list[tuple[str, Image.Image]], size: tuple[int, int]) -> Image.Image:
    """The panels in rows, each under its line of text."""
    across, (width, height) = min(ACROSS, len(panels)), size
    wide = max(width, 2 * SIDE // 3)  # room for the line above a narrow photo
    rows = -(-len(panels) // across)
    sheet = Image.new("RGB", (GAP + across * (wide + GAP), GAP + rows * (LINE + height + GAP)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for place, (line, panel) in enumerate(panels):
        x, y = GAP + place % across * (wide + GAP), GAP + place // across * (LINE + height + GAP)
        pen.text((x, y), _fitting(line, wide, font), fill="black", font=font)
        sheet.paste(panel, (x, y + LINE))
    return sheet


def _fitting(line: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    """As much of the beginning of a line as is at most `width` pixels wide."""
    if font.getlength(line) <= width:
        return line
    return next(cut for end in range(len(line), -1, -1) if font.getlength(cut := line[:end] + "…") <= width)


def _place(heat: np.ndarray, box: tuple[float, float, float, float]) -> str:
    """The ninth of the picture in which the centre of the heat lies."""
    rows, columns = heat.shape
    down = (heat.sum(axis=1) @ (np.arange(rows) + 0.5)) / rows / heat.sum()
    across = (heat.sum(axis=0) @ (np.arange(columns) + 0.5)) / columns / heat.sum()
    left, top, right, bottom = box
    y, x = top + down * (bottom - top), left + across * (right - left)
    vertical, horizontal = DOWN[min(2, int(3 * y))], OVER[min(2, int(3 * x))]
    return "in the middle" if (vertical, horizontal) == ("middle", "centre") else f"{vertical} {horizontal}"
