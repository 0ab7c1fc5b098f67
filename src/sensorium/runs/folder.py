"""The folder of a run or a comparison: whether there is one in it already, and what of it is replaced."""

from pathlib import Path
from typing import NamedTuple

from sensorium.config.schema import Recipe
from sensorium.errors import UserError
from sensorium.files import discard, writing


class RunLayout(NamedTuple):
    """What a verb leaves in its folder.

    what: how it is called. files, folders: their names. started_markers: those that are not there before it has
    read the records.
    """

    what: str
    files: tuple[str, ...]
    folders: tuple[str, ...]
    started_markers: tuple[str, ...]


def prepare_folder(folder: Path, recipe: Recipe, layout: RunLayout, resume: bool, overwrite: bool) -> None:
    """Makes the folder and puts the recipe in it.

    Raises UserError when it holds one already, neither to be gone on with nor to be replaced, or to be both.
    """
    if resume and overwrite:
        raise UserError(f"--resume goes on with a {layout.what} and --overwrite replaces it; leave one of the two out.")
    # A recipe alone is left by one that found a mistake in the records: the mended command may follow it.
    with writing(folder):
        taken = any((folder / name).exists() for name in layout.started_markers)
    if taken and not (resume or overwrite):
        raise UserError(
            f"{folder} holds a {layout.what} already; add --resume to go on with it, --overwrite to replace it, "
            "or choose another --out."
        )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if taken and overwrite:
            for name in layout.files:
                (folder / name).unlink(missing_ok=True)
            for name in layout.folders:
                discard(folder / name)
    if not (resume and (folder / "recipe.yaml").exists()):
        recipe.save(folder / "recipe.yaml")
