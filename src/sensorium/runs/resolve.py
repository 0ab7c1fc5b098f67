"""The recipe that a run is asked for: of a recipe file, options, and a saved run."""

from pathlib import Path
from typing import Any

from sensorium.config.load import check_recipe, read_recipe
from sensorium.config.options import apply_options
from sensorium.config.schema import Recipe
from sensorium.errors import UserError
from sensorium.tasks.base import Task


def resolve_config(
    task: Task, folder: Path, recipe: dict[str, Any] | str | Path | None, options: dict[str, Any], resume: bool
) -> Recipe:
    """The recipe that is asked for: the saved one of `folder` when resuming, the given one, and options over it.

    Raises UserError.
    """
    base: dict[str, Any] = {}
    saved: dict[str, Any] = {}
    if resume and (folder / "recipe.yaml").exists():
        base = saved = read_recipe(folder / "recipe.yaml")
        if "near_copies" not in (saved.get("data") or {}):  # from before they were looked for: the split stays
            options = {"near_copies": False} | options
    elif resume and recipe is None and all(value is None for value in options.values()):
        raise UserError(
            f"There is no run in {folder} to go on with; check --out, or begin one by naming its table and"
            f" {task.names}."
        )
    if recipe is not None:
        base = base | (dict(recipe) if isinstance(recipe, dict) else read_recipe(recipe))
    start = options.get("start_from")
    if start is not None:
        if recipe is not None and task.inherits:
            raise UserError(
                "--from takes the trained run's settings and --recipe brings others; leave one of the two out,"
                " and say what differs with --set."
            )
        options = options | {"start_from": str(start)}
    where = "the recipe" if base or start is not None else "the settings"
    resolved = check_recipe(apply_options(task.base(base, options), options), where)
    if resolved.data.split is not None and resolved.data.test is not None:
        raise UserError(
            "A split and a share for the test both say which records are held out; leave one of the two out."
        )
    if resolved.teacher is not None and Path(resolved.teacher).resolve() == folder.resolve():
        raise UserError(f"--teacher and --out are both {folder}; give the student a folder of its own.")
    task.check(resolved, folder)
    saved_target = (saved.get("data") or {}).get("target")
    if resolved.data.target == saved_target:  # but for the order, which decides the order of the model's heads
        resolved = resolved.model_copy(update={"data": resolved.data.model_copy(update={"target": saved_target})})
    return resolved
