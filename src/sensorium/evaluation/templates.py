"""Prompt templates: sentences that a label is put into, so that it reads like the captions a model was trained on."""

from collections.abc import Sequence
from pathlib import Path

from sensorium.errors import UserError, unknown

PLACE = "{}"

# The 80 that CLIP was evaluated on ImageNet with, and the seven of them found to do nearly as well (Radford et al.
# 2021, arXiv:2103.00020; the list is that of github.com/openai/CLIP, notebooks/Prompt_Engineering_for_ImageNet.ipynb).
IMAGENET = (
    "a bad photo of a {}.",
    "a photo of many {}.",
    "a sculpture of a {}.",
    "a photo of the hard to see {}.",
    "a low resolution photo of the {}.",
    "a rendering of a {}.",
    "graffiti of a {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
    "a tattoo of a {}.",
    "the embroidered {}.",
    "a photo of a hard to see {}.",
    "a bright photo of a {}.",
    "a photo of a clean {}.",
    "a photo of a dirty {}.",
    "a dark photo of the {}.",
    "a drawing of a {}.",
    "a photo of my {}.",
    "the plastic {}.",
    "a photo of the cool {}.",
    "a close-up photo of a {}.",
    "a black and white photo of the {}.",
    "a painting of the {}.",
    "a painting of a {}.",
    "a pixelated photo of the {}.",
    "a sculpture of the {}.",
    "a bright photo of the {}.",
    "a cropped photo of a {}.",
    "a plastic {}.",
    "a photo of the dirty {}.",
    "a jpeg corrupted photo of a {}.",
    "a blurry photo of the {}.",
    "a photo of the {}.",
    "a good photo of the {}.",
    "a rendering of the {}.",
    "a {} in a video game.",
    "a photo of one {}.",
    "a doodle of a {}.",
    "a close-up photo of the {}.",
    "a photo of a {}.",
    "the origami {}.",
    "the {} in a video game.",
    "a sketch of a {}.",
    "a doodle of the {}.",
    "a origami {}.",
    "a low resolution photo of a {}.",
    "the toy {}.",
    "a rendition of the {}.",
    "a photo of the clean {}.",
    "a photo of a large {}.",
    "a rendition of a {}.",
    "a photo of a nice {}.",
    "a photo of a weird {}.",
    "a blurry photo of a {}.",
    "a cartoon {}.",
    "art of a {}.",
    "a sketch of the {}.",
    "a embroidered {}.",
    "a pixelated photo of a {}.",
    "itap of the {}.",
    "a jpeg corrupted photo of the {}.",
    "a good photo of a {}.",
    "a plushie {}.",
    "a photo of the nice {}.",
    "a photo of the small {}.",
    "a photo of the weird {}.",
    "the cartoon {}.",
    "art of the {}.",
    "a drawing of the {}.",
    "a photo of the large {}.",
    "a black and white photo of a {}.",
    "the plushie {}.",
    "a dark photo of a {}.",
    "itap of a {}.",
    "graffiti of the {}.",
    "a toy {}.",
    "itap of my {}.",
    "a photo of a cool {}.",
    "a photo of a small {}.",
    "a tattoo of the {}.",
)

SIMPLE = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)

TEMPLATES = {"plain": (PLACE,), "simple": SIMPLE, "imagenet": IMAGENET}


def templates_of(templates: str | Path | Sequence[str]) -> tuple[str, ...]:
    """The templates of a name of TEMPLATES, of a text file with one a line, or the sequence as it is.

    Raises UserError for an unknown name, for none at all, and for one in which {} does not stand once.
    """
    if isinstance(templates, str | Path):
        if str(templates) in TEMPLATES:
            return TEMPLATES[str(templates)]
        if not Path(templates).suffix:
            raise unknown("set of templates", str(templates), TEMPLATES)
        texts, source = lines_of(Path(templates), "a template a line, as 'a photo of a {}.'"), f" of {templates}"
    else:
        texts, source = [str(template) for template in templates], ""
    if not texts:
        raise UserError("There is no template; give at least one, as 'a photo of a {}.'.")
    for template in texts:
        if template.count(PLACE) != 1:
            raise UserError(
                f"The template '{template}'{source} has {{}} {template.count(PLACE)} times; write it once, where the"
                " label goes, as in 'a photo of a {}.'."
            )
    return tuple(texts)


def labels_of(labels: str | Path | Sequence[str]) -> list[str]:
    """The labels of a text file with one a line, of a string with commas between them, or the sequence as it is.

    Raises UserError for fewer than two, for an empty one, and for one that is given twice.
    """
    if isinstance(labels, str | Path):
        path = Path(labels)
        if isinstance(labels, Path) or (path.suffix and "," not in labels):
            names = lines_of(path, "a label a line")
        else:
            names = [label.strip() for label in labels.split(",")]
    else:
        names = [str(label).strip() for label in labels]
    if "" in names:
        raise UserError(f"Label {names.index('') + 1} of {len(names)} is empty; write a word, or leave out the comma.")
    if len(names) < 2:
        problem = f"'{names[0]}' is the only one" if names else "there is none"
        raise UserError(f'Classifying needs at least two labels, and {problem}; give them as --labels "cat,dog,bird".')
    twice = next((label for index, label in enumerate(names) if label in names[:index]), None)
    if twice is not None:
        raise UserError(f"The label '{twice}' is given twice; name each label once.")
    return names


def lines_of(path: Path, content: str) -> list[str]:
    """The lines of a text file that are not empty. Raises UserError when it cannot be read or has none."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); it should have {content}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text; save it as such, with {content}.") from error
    lines = [line for line in lines if line]
    if not lines:
        raise UserError(f"{path} is empty; it should have {content}.")
    return lines
