"""The folder of a run or a comparison: whether there is one in it already, and what of it is replaced."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sensorium.config.schema import Recipe
from sensorium.errors import UserError
from sensorium.files import discard, lock, writing

_RESULTS = ("metrics.json", "scores.parquet")


class RunLayout(NamedTuple):
    """What a verb leaves in its folder.

    what: how it is called. files, folders: their names. started_markers: those that are not there before it has
    read the records.
    """

    what: str
    files: tuple[str, ...]
    folders: tuple[str, ...]
    started_markers: tuple[str, ...]


@contextmanager
def lock_folder(folder: Path, layout: RunLayout) -> Iterator[None]:
    """While entered, no other process writes the folder. Raises UserError when one does."""
    occupied = f"Another process is writing a {layout.what} into {folder}; wait for its end, or choose another --out."
    with lock(folder, occupied):
        yield


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
    bare = not (folder / "recipe.yaml").exists()
    replaced = [name for name in layout.files if (folder / name).exists() and (bare or name in _RESULTS)]
    if replaced and not (taken or overwrite or resume):
        raise UserError(
            f"{folder} holds {replaced[0]} of something else, which a {layout.what} would replace; choose another"
            " --out, or add --overwrite."
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
