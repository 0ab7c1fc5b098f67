"""The fusion of a recipe that names none, where a target's head reads tokens."""

from sensorium.config.schema import Recipe, TargetSettings
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.heads import HEADS


def with_usual_fusion(table: Table, recipe: Recipe) -> Recipe:
    """The recipe with the fusion of the first head that says which one it usually has; as it is where a fusion is
    named.
    """
    if "name" in recipe.fusion.model_fields_set:
        return recipe
    for spec in table.schema.targets:
        settings = recipe.targets.get(spec.name, TargetSettings())
        usual = getattr(HEADS.get(settings.head or TARGETS[spec.kind].default_head), "usual_fusion", None)
        if usual is not None:
            name, config = usual(settings.config)
            fusion = recipe.fusion.model_copy(update={"name": name, "config": config | recipe.fusion.config})
            return recipe.model_copy(update={"fusion": fusion})
    return recipe
