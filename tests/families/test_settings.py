"""A family's settings: each has its own, and a recipe keeps the keys that fingerprints hash."""

import json

import pytest

from sensorium.config.load import check_recipe
from sensorium.errors import UserError
from sensorium.families import FAMILIES, AlbefSettings, ClipSettings, FlorenceSettings
from sensorium.families.family import RECIPE_KEYS

# What recipes of all families have held since the first version.
KEYS = ["name", "size", "dim", "pairs", "loss", "temperature", "projections", "labels", "queue", "momentum", "alpha"]
STATED = {
    "clip": {
        "size": "ViT-B-32",
        "dim": 64,
        "pairs": [["a", "b"]],
        "loss": "sigmoid",
        "temperature": 0.1,
        "labels": "c",
    },
    "albef": {"size": "base", "dim": 32, "temperature": 0.5, "queue": 8, "momentum": 0.0, "alpha": 0.0},
    "florence": {"size": "swin-base", "dim": 32, "temperature": 0.5, "labels": "c"},
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("states", [False, True])
def test_a_recipe_keeps_its_keys_and_is_read_again(name, states):
    stated = {"name": name} | (STATED[name] if states else {})
    recipe = check_recipe({"family": stated})
    assert isinstance(recipe.family, {"clip": ClipSettings, "albef": AlbefSettings, "florence": FlorenceSettings}[name])
    written = recipe.model_dump(mode="json")
    assert list(written["family"]) == KEYS == list(RECIPE_KEYS)
    assert written["family"] == RECIPE_KEYS | stated
    again = check_recipe(json.loads(json.dumps(written)))
    assert again == recipe and again.model_dump(mode="json") == written


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ({"name": "clip", "queue": 8}, "^The family clip has no setting 'queue'; leave it out.$"),
        ({"name": "albef", "loss": "softmax"}, "^The family albef has no setting 'loss'; leave it out.$"),
        ({"name": "albef", "pairs": [["a", "b"]]}, "^The family albef has no setting 'pairs'; leave it out.$"),
        ({"name": "clipp"}, "^There is no family 'clipp'; did you mean 'clip'"),
        ({"size": "tiny"}, "^In the recipe, family.name is .*: Field required.$"),
        ({"name": "albef", "queue": 0}, "^In the recipe, family.queue is 0: it should be greater"),
        ({"name": "clip", "projections": {"a": {"hidden": 0}}}, "^In the recipe, family.projections.a.hidden is 0"),
        (
            {"name": "albef", "queues": 8},
            "no setting 'family.queues'; did you mean 'family.queue'.* family.size, family",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_place_in_the_recipe(family, message):
    with pytest.raises(UserError, match=message):
        check_recipe({"family": family})


def test_every_family_builds_and_trains():
    for family in FAMILIES.values():
        settings = family.Settings(name=next(name for name, one in FAMILIES.items() if one is family))
        assert set(family.towers(settings)) == {"image", "text"} and family.reads in ("tokens", "pooled")
        assert family.training_defaults(settings, True)["learning_rate"] < 1e-4
        assert family.training_defaults(settings, False)["learning_rate"] > 1e-4
