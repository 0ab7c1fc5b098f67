"""Short options made into a recipe's settings."""

import pytest
from pydantic import BaseModel

from sensorium.config.options import TOP, apply_options, parse_encoder, section_by_option
from sensorium.errors import UserError


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("vit", {"encoder": "vit", "config": {}}),
        ("timm:resnet50,pretrained=true", {"encoder": "timm", "config": {"model": "resnet50", "pretrained": True}}),
        ("vit,width=64,frozen=true", {"encoder": "vit", "frozen": True, "config": {"width": 64}}),
        ("timm:vgg16,std=[0, 1],size=9", {"encoder": "timm", "config": {"model": "vgg16", "std": [0, 1], "size": 9}}),
        ("text,augmentation={rate: 0.2}", {"encoder": "text", "config": {"augmentation": {"rate": 0.2}}}),
        ("x,a=[[1, 2], [3, 4]],b=[]", {"encoder": "x", "config": {"a": [[1, 2], [3, 4]], "b": []}}),
    ],
)  # fmt: skip
def test_an_encoder_in_one_string(text, settings):
    assert parse_encoder("photo", text) == settings


@pytest.mark.parametrize("text", ["vit,width", "vit,mean=[1,2", "vit,1,2"])
def test_what_is_no_setting_is_refused(text):
    with pytest.raises(UserError, match="encoder of 'photo'"):
        parse_encoder("photo", text)


class _Training(BaseModel):
    epochs: int = 1


class _Data(BaseModel):
    key: str = ""


class _Family(BaseModel):
    dim: int = 1


class _Recipe(BaseModel):
    data: _Data = _Data()
    training: _Training = _Training()
    family: _Family | None = None
    seed: int = 0


def test_each_option_sets_the_setting_of_one_section():
    assert section_by_option(_Recipe) == {"seed": TOP, "key": "data", "epochs": "training", "dim": "family"}


def test_a_name_in_two_sections_is_refused_when_the_options_are_collected():
    class Recipe(_Recipe):
        family: _Family | _Training | None = None

    with pytest.raises(ValueError, match="'epochs' would have two meanings, in 'training' and 'family'"):
        section_by_option(Recipe)


def test_a_setting_with_the_name_of_a_short_option_is_refused():
    class Recipe(_Recipe):
        head: str = ""

    with pytest.raises(ValueError, match="'head' would have two meanings"):
        section_by_option(Recipe)


def test_every_setting_of_data_training_and_the_top_is_an_option_of_its_own_name():
    laid = apply_options({"training": None}, {"validation": 0.2, "epochs": 3, "seed": 7, "target": "y", "key": None})
    assert laid == {"training": {"epochs": 3}, "data": {"validation": 0.2, "target": {"y": None}}, "seed": 7}


def test_options_of_the_other_kind_of_run_are_refused():
    with pytest.raises(UserError, match="Pretraining aligns inputs and has no head; leave it out, or take fit"):
        apply_options({"family": {"name": "clip"}}, {"head": "answer"})
    with pytest.raises(UserError, match="There is no option 'dim'"):
        apply_options({}, {"dim": 3})
    assert apply_options({"family": {"name": "clip"}}, {"dim": 3}) == {"family": {"name": "clip", "dim": 3}}


def test_a_head_is_of_every_target_or_of_one():
    targets = {"data": {"target": {"a": "text", "b": "text"}}}
    of_all = apply_options(targets, {"head": "causal:models/lm,train=frozen"})["targets"]
    assert of_all["a"] == of_all["b"] == {"head": "causal", "config": {"model": "models/lm", "train": "frozen"}}
    settings = apply_options(targets, {"head": ["writer,layers=1", "b=causal:x=y.gguf,adapter={rank: 4}"]})["targets"]
    assert settings["a"] == {"head": "writer", "config": {"layers": 1}}
    assert settings["b"] == {"head": "causal", "config": {"model": "x=y.gguf"}, "adapter": {"rank": 4}}
    assert apply_options(targets, {"head": {"a": "writer"}})["targets"] == {"a": {"head": "writer"}}


def test_a_teacher_adds_distillation_unless_an_objective_learns_from_it():
    assert apply_options({}, {"teacher": "run"})["objectives"] == [{"name": "distillation"}]
    objectives = [{"name": "feature_distillation"}]
    assert apply_options({"objectives": objectives}, {"teacher": "run"})["objectives"] == objectives
    aligning = [{"name": "triplet"}]
    assert apply_options({"objectives": aligning}, {"teacher": "run"})["objectives"][1:] == [{"name": "distillation"}]
