"""What is trained of each input's encoder: all of it, adapters beside it, or nothing; and what is cached then."""

from torch import nn

from sensorium.data.records import draw
from sensorium.errors import UserError
from sensorium.model import Model, is_frozen
from sensorium.config.schema import InputSettings, Recipe
from sensorium.training.adapters import adapt


def apply_finetuning(model: Model, recipe: Recipe) -> None:
    """Freezes the encoders that stay as they are, and gives their adapters to those that the recipe says have some.

    Raises UserError when an input's settings ask for what its encoder, as it is trained, cannot do.
    """
    for name, encoder in model.encoders.items():
        settings = recipe.inputs.get(name, InputSettings())
        if settings.shares is not None:  # it was tuned as that input's
            continue
        encoder.requires_grad_(not should_freeze(encoder, settings))
        if settings.adapter is not None and settings.frozen:
            raise UserError(f"The encoder of '{name}' is frozen, and its adapter too; leave frozen or the adapter out.")
        if settings.adapter is not None:
            adapt(encoder, settings.adapter, name, draw(recipe.seed, name, "adapter"))
        if settings.layer_decay is not None and is_frozen(encoder):
            raise UserError(
                f"The encoder of '{name}' is frozen, so layer_decay has no learning rates to grade; state frozen=false,"
                " or leave layer_decay out."
            )
        if settings.views > 1:
            _check_views(name, encoder, recipe)


def should_freeze(encoder: nn.Module, settings: InputSettings) -> bool:
    """Whether the encoder stays as it is: as the input's settings say, else when it is pretrained."""
    return encoder.pretrained if settings.frozen is None else settings.frozen


def cached_inputs(model: Model, recipe: Recipe) -> list[str]:
    """The inputs whose features are computed once and kept."""
    return [name for name, encoder in model.encoders.items() if recipe.cache and is_frozen(encoder)]


def _check_views(name: str, encoder: nn.Module, recipe: Recipe) -> None:
    if not (recipe.cache and is_frozen(encoder)):
        raise UserError(
            f"Only a cached input has stored views, and '{name}' is changed anew in each epoch, for its encoder is"
            " trained or the cache is off; leave views out, or state frozen=true."
        )
    if getattr(encoder.config, "augmentation", None) is None:
        raise UserError(
            f"Nothing changes '{name}' at random, so all its views would be the same; leave views out, or let augment"
            " be true and the encoder have an augmentation."
        )
