"""What a recipe leaves open, filled in by what is learned."""

from sensorium.config.defaults import fill_defaults
from sensorium.config.load import check_recipe
from sensorium.config.options import apply_options
from sensorium.config.schema import Recipe
from sensorium.data.schema import TargetSpec


def filled(kind: str, **options):
    recipe = check_recipe(apply_options({}, options), "the settings")
    return fill_defaults(recipe, 3_400, [TargetSpec(name="says", kind=kind)]).training


def test_a_text_is_learned_in_more_and_smaller_steps_than_a_class():
    text, decision = filled("text"), filled("class")
    assert (text.batch_size, text.learning_rate) == (32, 3e-4)
    assert (decision.batch_size, decision.learning_rate) == (256, 1e-3)
    assert filled("text", learning_rate=1e-3).learning_rate == 1e-3
    assert filled("text", batch_size=64).batch_size == 64
    saved = check_recipe(Recipe().model_dump(mode="json"))  # as a run's folder has it before it knows the table
    assert fill_defaults(saved, 3_400, [TargetSpec(name="says", kind="text")]).training.learning_rate == 3e-4


def test_places_are_learned_in_small_batches_at_the_usual_rate():
    boxes = filled("boxes")
    assert (boxes.batch_size, boxes.learning_rate, boxes.epochs) == (32, 1e-3, 28)
