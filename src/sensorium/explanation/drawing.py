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
COLUMNS = 5  # panels in a row
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
# Heat as a colour, from none to the most: dark blue, magenta, orange, light yellow, which also differ in brightness.
HEAT = np.array([(20, 10, 90), (170, 30, 130), (250, 130, 40), (255, 245, 150)], dtype=np.float32)
VERTICAL, HORIZONTAL = ("upper", "middle", "lower"), ("left", "centre", "right")


def draw(explanation: Explanation, photo: np.ndarray, title: str, out: str | Path) -> None:
    """Writes the heat maps of `explanation` over `photo`, uint8 [H, W, 3], to `out`, whole or not at all.

    The first panel is of the full text, under `title`; the others are of its words and share one scale. A PNG has the
    sentences of `describe_heat` as its text `Description`. Raises UserError for a file that is no .png, .jpg or .webp.
    """
    suffix = check_format(out)
    scale = SIDE / max(photo.shape[:2])
    small = Image.fromarray(photo).resize([max(1, round(side * scale)) for side in photo.shape[1::-1]], Image.LANCZOS)
    hottest = explanation.maps.max()
    panels = [(title, _overlay(small, explanation.whole, explanation.whole.max(), explanation.box))]
    panels += [
        (word, _overlay(small, heat, hottest, explanation.box))
        for word, heat in zip(explanation.words, explanation.maps, strict=True)
    ]
    sheet = _sheet(panels, small.size)
    metadata = PngImagePlugin.PngInfo()
    metadata.add_text("Description", " ".join(describe_heat(explanation)))
    with whole_file(Path(out)) as path:
        sheet.save(path, FORMATS[suffix], **({"pnginfo": metadata} if suffix == ".png" else {"quality": 92}))


def check_format(out: str | Path) -> str:
    """The suffix of `out`, if a picture can be written so. Raises UserError for another."""
    suffix = Path(out).suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"--explain {out} is of no known kind; end it in {', '.join(FORMATS)}.")
    return suffix


def describe_heat(explanation: Explanation) -> list[str]:
    """A sentence for each word, for readers who do not see the picture: where it looks, and its share of all heat."""
    total = explanation.maps.sum() or 1.0
    return [
        f"{word}: {_ninth(heat, explanation.box)}, {heat.sum() / total:.0%} of the heat."
        if heat.max() > 0
        else f"{word}: nowhere."
        for word, heat in zip(explanation.words, explanation.maps, strict=True)
    ]


def resize_heat(heat: np.ndarray, box: tuple[float, float, float, float], width: int, height: int) -> np.ndarray:
    """float32 [height, width]: a map of patches, [h, w], stretched over a picture of that size and smoothed; zero
    outside `box`, the square that the patches cover, in shares of the picture's sides.
    """
    x, y, x_end, y_end = (round(edge * side) for edge, side in zip(box, (width, height) * 2, strict=True))
    size = (max(1, x_end - x), max(1, y_end - y))
    stretched = Image.fromarray(heat.astype(np.float32)).resize(size, Image.BILINEAR)
    canvas = np.zeros((height, width), dtype=np.float32)
    canvas[y : y + size[1], x : x + size[0]] = np.asarray(stretched)[: height - y, : width - x]
    return canvas


def _overlay(
    photo: Image.Image, heat: np.ndarray, hottest: float, box: tuple[float, float, float, float]
) -> Image.Image:
    """The photo in grey with `heat` in colours over it; `hottest` has the last colour of the scale."""
    share = np.clip(resize_heat(heat, box, *photo.size) / (hottest or 1.0), 0, 1)[..., None]  # [H, W, 1]
    position = share[..., 0] * (len(HEAT) - 1)
    low = np.minimum(position.astype(int), len(HEAT) - 2)
    colour = HEAT[low] + (HEAT[low + 1] - HEAT[low]) * (position - low)[..., None]  # [H, W, 3]
    grey = np.asarray(photo.convert("L"), dtype=np.float32)[..., None]
    strength = 0.2 + 0.35 * share  # the photo shows through where it is hottest
    return Image.fromarray((grey * (1 - strength) + colour * strength).round().astype(np.uint8))


def _sheet(panels: list[tuple[str, Image.Image]], size: tuple[int, int]) -> Image.Image:
    """The panels in rows, each under its line of text."""
    columns, height = min(COLUMNS, len(panels)), size[1]
    width = max(size[0], 2 * SIDE // 3)  # room for the line above a narrow photo
    rows = -(-len(panels) // columns)
    sheet = Image.new("RGB", (GAP + columns * (width + GAP), GAP + rows * (LINE + height + GAP)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for index, (line, panel) in enumerate(panels):
        x, y = GAP + index % columns * (width + GAP), GAP + index // columns * (LINE + height + GAP)
        pen.text((x, y), _shorten(line, width, font), fill="black", font=font)
        sheet.paste(panel, (x, y + LINE))
    return sheet


def _shorten(line: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    """As much of the beginning of a line as is at most `width` pixels wide."""
    if font.getlength(line) <= width:
        return line
    return next(cut for end in range(len(line), -1, -1) if font.getlength(cut := line[:end] + "…") <= width)


def _ninth(heat: np.ndarray, box: tuple[float, float, float, float]) -> str:
    """The ninth of the picture in which the centre of the heat lies."""
    rows, columns = heat.shape
    down = (heat.sum(axis=1) @ (np.arange(rows) + 0.5)) / rows / heat.sum()
    across = (heat.sum(axis=0) @ (np.arange(columns) + 0.5)) / columns / heat.sum()
    x_start, y_start, x_end, y_end = box
    y, x = y_start + down * (y_end - y_start), x_start + across * (x_end - x_start)
    vertical, horizontal = VERTICAL[min(2, int(3 * y))], HORIZONTAL[min(2, int(3 * x))]
    return "in the middle" if (vertical, horizontal) == ("middle", "centre") else f"{vertical} {horizontal}"
