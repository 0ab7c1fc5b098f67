"""`fit --family albef`: plain settings of a recipe; and what a fit begins with of a pre-trained model."""

import json
from pathlib import Path

import pytest
import torch
import yaml

import sensorium
from sensorium.build.pretrained import init_from_pretrained
from sensorium.config.load import check_recipe
from sensorium.config.options import apply_options
from sensorium.config.presets import expand_family
from sensorium.errors import UserError
from sensorium.explanation.answer import answer
from sensorium.families import FAMILIES
from sensorium.families.albef_training import SIZES
from sensorium.fusion.bert import BertFusion
from sensorium.model import Model
from tests import question_scenes
from tests.pretraining import SMALL, pairs
from tests.reviews import sensorium as typed
from tests.tasks.test_contrastive_albef import albef

NAMED = {"family": "albef", "image": "photo", "question": "question", "answer": "answer=class"}
ENCODERS = {"photo": SMALL["photo"], "question": "bert_text,width=32,depth=1,heads=2,dropout=0.0"}
QUICK = {"workers": 0, "quiet": True, "refit": False, "epochs": 1}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with questions.csv, of one answer each, and pretrained/, an ALBEF of pairs."""
    folder = tmp_path_factory.mktemp("presets")
    question_scenes.make(folder, 30)
    table = sensorium.read(folder / "questions.csv", target={"answer": "answer"}, quiet=True).frame
    table["answer"] = [json.loads(said)[0] for said in table["answer"]]
    table.to_csv(folder / "questions.csv", index=False)
    albef(pairs(folder / "pairs"), folder / "pretrained", epochs=1, batch_size=21)
    return folder


def new(world: Path, **more) -> Model:
    """The untrained model that a fit of the table begins with."""
    recipe, options = expand_family(None, NAMED | {"start_from": world / "pretrained"})
    assert options == {}
    table = sensorium.read(
        world / "questions.csv", target={"answer": "class"}, inputs=["photo", "question"], quiet=True,
        columns={"question": "text"},
    )  # fmt: skip
    facts = {"photo": {}, "question": {}}
    return init_from_pretrained(table, check_recipe(recipe | more), facts, sensorium.load(world / "pretrained"))


def test_the_settings_of_a_size_are_written_out():
    recipe, options = expand_family(None, NAMED | {"answer": "said", "size": "base", "epochs": 3})
    settled = check_recipe(recipe)
    assert options == {"epochs": 3} and settled.family is None and settled.data.target == {"said": "answer"}
    assert settled.data.columns == {"question": "text"} and settled.data.group == "photo"
    assert settled.training.sampling == "grouped"
    other = check_recipe(expand_family(None, NAMED | {"group": "author"})[0])
    assert other.data.columns["photo"] == "image" and other.training.sampling == "permutation"
    assert settled.inputs["photo"].config == SIZES["base"].image and settled.inputs["question"].encoder == "bert_text"
    assert settled.fusion.name == "bert" and settled.targets["said"].head == "answer"
    wanted = {"query": "question", "context": ["photo"], "dim": 768, "layers": 6, "heads": 12}
    assert settled.fusion.config == wanted and settled.targets["said"].config == {"layers": 6, "heads": 12}


def test_another_head_has_none_of_the_settings_of_the_head_answer():
    stated = {"targets": {"answer": {"head": "frequent", "config": {"most": 5}}}}
    for recipe, options in ((stated, {}), (None, {"head": "frequent"}), (None, {"head": {"answer": "frequent"}})):
        below, left = expand_family(recipe, NAMED | {"answer": "answer"} | options)
        settings = check_recipe(apply_options(below, left))
        assert settings.targets["answer"].head == "frequent"
        assert settings.targets["answer"].config == (stated["targets"]["answer"]["config"] if recipe else {})


def test_the_head_answer_keeps_the_settings_of_the_family_when_it_is_stated():
    recipe, rest = expand_family(None, NAMED | {"answer": "answer", "head": "answer"})
    settings = check_recipe(apply_options(recipe, rest))
    assert settings.targets["answer"].config == {"layers": 2, "heads": 2}


def test_a_family_from_outside_says_itself_how_a_fit_takes_its_composition(monkeypatch):
    class Pairing:
        fit_columns = ("sound",)
        fit_options = (*fit_columns, "depth")

        def fit_settings(self, *, sound, depth, group, begin_with):
            return {"data": {"inputs": [sound], "group": group}, "training": {"epochs": depth}}

    monkeypatch.setitem(FAMILIES, "pairing", Pairing())
    options = {"family": "pairing", "sound": "clip", "depth": 3, "group": "who", "image": None, "seed": 1}
    recipe, rest = expand_family({"training": {"pieces": 2}}, options)
    assert recipe == {"data": {"inputs": ["clip"], "group": "who"}, "training": {"epochs": 3, "pieces": 2}}
    assert rest == {"group": "who", "image": None, "seed": 1}
    with pytest.raises(UserError, match="--family pairing needs --sound"):
        expand_family(None, {"family": "pairing"})
    with pytest.raises(UserError, match="--sound belongs to a family; add --family pairing"):
        expand_family(None, {"sound": "clip"})
    with pytest.raises(UserError, match=r"no family that can be fitted 'clip'; known: albef, pairing"):
        expand_family(None, {"family": "clip"})


def test_a_recipe_lies_over_the_family_and_options_over_both():
    given = {"fusion": {"config": {"layers": 1}}, "training": {"epochs": 2}}
    recipe, _ = expand_family(given, NAMED)
    assert recipe["fusion"]["config"]["layers"] == 1 and recipe["fusion"]["config"]["query"] == "question"
    assert recipe["training"] == {"learning_rate": 5e-4, "epochs": 2, "sampling": "grouped"}
    assert given["training"] == {"epochs": 2}


def test_the_saved_recipe_names_no_family_and_repeats_the_run(world):
    run = sensorium.fit(world / "questions.csv", out=world / "run", **NAMED, encoders=ENCODERS, **QUICK)
    saved = yaml.safe_load((world / "run" / "recipe.yaml").read_text())
    assert saved["family"] is None and saved["fusion"]["name"] == "bert"
    again = sensorium.fit(recipe=world / "run" / "recipe.yaml", out=world / "again", quiet=True)
    assert again.metrics["targets"] == run.metrics["targets"]
    assert sensorium.load(world / "run").schema.targets[0].kind == "class"


def test_encoders_and_fusion_are_those_of_the_pretrained_model_by_kind_of_input(world):
    made, old = new(world), sensorium.load(world / "pretrained")
    for mine, theirs in (("photo", "photo"), ("question", "caption")):
        for name, value in made.encoders[mine].state_dict().items():
            assert torch.equal(value, old.encoders[theirs].state_dict()[name]), name
    assert (made.fusion.query, made.fusion.context) == ("question", ["photo"])
    for name, value in made.fusion.state_dict().items():
        assert torch.equal(value, old.fusion.state_dict()[name]), name
    assert made.heads.names == ["answer"] and made.encoders["photo"].summary_only is False


def test_pictures_may_be_of_another_size_and_a_fusion_may_ask_two(world):
    made = new(world, inputs={"photo": {"config": {"size": 32}}})
    assert len(made.encoders["photo"].position) == 1 + 16
    old = sensorium.load(world / "pretrained").fusion
    question_scenes.make(world, 6, "two")
    frame = sensorium.read(world / "two.csv", target={"answer": "answer"}, quiet=True).frame
    frame["answer"], frame["other"] = ["yes", "no"] * 9, frame["photo"]
    table = sensorium.read(frame, target="answer", inputs=["photo", "other", "question"], root=world, quiet=True,
        columns={"question": "text", "other": "image"})  # fmt: skip
    recipe = {
        "begin_with": str(world / "pretrained"), "inputs": {"other": {"shares": "photo"}},
        "fusion": {"name": "bert", "config": {"query": "question", "context": ["photo", "other"]}},
    }  # fmt: skip
    made = init_from_pretrained(table, check_recipe(recipe), {}, sensorium.load(recipe["begin_with"]))
    assert made.encoders["photo"] is made.encoders["other"] and isinstance(made.fusion, BertFusion)
    for place in range(2):
        assert torch.equal(made.fusion.asking[place].linear.weight, old.asking[0].linear.weight)
        assert torch.equal(made.fusion.blocks[0].crossings[place].out.weight, old.blocks[0].crossings[0].out.weight)


def test_a_decoder_of_answers_begins_as_the_fusion_and_answers_when_it_is_asked(world):
    options = NAMED | {"answer": "answer", "start_from": world / "pretrained", "group": "photo"}
    run = sensorium.fit(world / "questions.csv", out=world / "decoder", **options, **QUICK)
    old = sensorium.load(world / "pretrained")
    begun, own = run.model.heads["answer"], old.fusion
    assert begun.config.layers == own.config.layers and begun.config.answers
    for mine, theirs in (
        (begun.blocks[0].rise.weight, own.blocks[0].rise.weight),
        (begun.embeddings.words.weight, old.encoders["caption"].embeddings.words.weight),
        (begun.network.dense.weight, old.heads["words"].network.dense.weight),
    ):
        assert 0 < (mine - theirs).abs().max() < 0.02
    photo, question = world / "pictures" / "questions-0.png", "What colour is the shape?"
    ranked = answer(run.model, str(photo), question, quiet=True)
    wanted = run.model.predict([{"photo": str(photo), "question": question}])[0]["answer"]
    assert (ranked["by"], ranked["answer"]) == ("ranking", wanted["decision"])
    assert ranked["probability"] == pytest.approx(wanted["probability"], rel=1e-4) and len(ranked["next"]) == 4
    out = world / "heat.png"
    written = answer(run.model, str(photo), question, by="generation", beams=2, explain=out, quiet=True)
    assert written["by"] == "generation" and len(written["next"]) == 1 and out.exists()
    assert len(written["explanation"]["words"]) >= 1


def test_a_run_that_begins_with_it_is_trained_and_says_so(world, capsys):
    options = QUICK | {"quiet": False, "start_from": world / "pretrained"}
    run = sensorium.fit(world / "questions.csv", out=world / "begun", **NAMED, **options)
    said = capsys.readouterr().out
    assert "Begins with" in said and "longer than what is read of them" in said and "context=" in said
    old = sensorium.load(world / "pretrained").fusion.asking[0].linear.weight
    change = (run.model.fusion.asking[0].linear.weight - old).abs().max()
    assert 0 < change < 0.02
    again = sensorium.fit(recipe=world / "begun" / "recipe.yaml", out=world / "begun-again", quiet=True)
    assert again.metrics["targets"] == run.metrics["targets"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--family clip --image photo", "There is no family that can be fitted 'clip'; known: albef."),
        ("--family albef --image photo --answer answer", "--family albef needs --question: the column of the table"),
        ("--image photo --target answer", "--image belongs to a family; add --family albef, or leave it out."),
        ("--family albef --image photo --question question --answer answer --size huge", "There is no size 'huge'"),
        (
            "--family albef --image photo --question question --answer answer --size tiny --from pretrained",
            "The model that --from names has its size already",
        ),
        (
            "--family albef --image photo --question question --answer answer=class --from pretrained --out pretrained",
            "--from and --out are both pretrained",
        ),
        (
            "--family albef --image photo --question question --answer answer=class --from pretrained"
            " --encoder photo=clip_image,width=24",
            "do not fit the setting width",
        ),
    ],
)
def test_a_mistake_is_a_sentence(options, said, world, monkeypatch):
    monkeypatch.chdir(world)
    done = typed(f"fit questions.csv --column question_type=ignored {options}")
    assert done.code == 2 and said in done.err, done.err


def test_a_model_that_has_nothing_to_begin_with_is_named(world):
    table = sensorium.read([{"a": float(i), "b": "yn"[i % 2]} for i in range(9)], target="b", quiet=True)
    with pytest.raises(UserError, match=r"has the inputs photo \(image\), caption \(text\), none of a kind"):
        begin = check_recipe({"begin_with": str(world / "pretrained")})
        init_from_pretrained(table, begin, {}, sensorium.load(world / "pretrained"))
