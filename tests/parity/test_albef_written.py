"""Runs of ours, whatever their columns are called, written in the published layout of ALBEF and read back."""

from pathlib import Path

import pandas as pd
import pytest
import torch

import sensorium
from sensorium.errors import UserError
from sensorium.families.albef import albef
from sensorium.families.albef_checkpoints import Albef, open_own, save
from sensorium.families.checkpoints import convert
from sensorium.fusion.bert import BertFusion
from sensorium.fusion.cross_attention import CrossAttention
from sensorium.heads.answer import Answer, AnswerConfig
from sensorium.model import Model
from sensorium.nn.named import Named
from sensorium.nn.projection import Projection
from sensorium.objectives.momentum import Queue
from tests import question_scenes
from tests.objectives.test_albef import CONFIG, tiny
from tests.pretraining import pairs
from tests.reviews import sensorium as typed

PICTURE = "clip_image,size=16,patch=8,width=32,depth=1,heads=2,pre_norm=false,patch_bias=true,augmentation=null"
TEXT = "bert_text,width=32,depth=1,heads=2,context=12"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each kind; in that of answers the target is called as an input of the published model."""
    folder = tmp_path_factory.mktemp("written")
    options = {"workers": 0, "quiet": True, "epochs": 1, "refit": False}
    towers = {"photo": PICTURE, "caption": TEXT}
    names = {"image": "photo", "text": "caption", "encoders": towers, "queue": 60, "dim": 16, "batch_size": 21}
    sensorium.pretrain("albef", pairs(folder / "pairs"), out=folder / "pairs_run", **options | names)
    table = pd.read_csv(question_scenes.make(folder, 16)).rename(columns={"answer": "text"})
    table.to_csv(folder / "questions.csv", index=False)
    settings = {
        "inputs": {
            "photo": {"encoder": "clip_image", "config": {"size": 16, "patch": 8, "width": 32, "depth": 1, "heads": 2}},
            "question": {"encoder": "bert_text", "config": {"width": 32, "depth": 1, "heads": 2}},
        },
        "fusion": {"config": {"dim": 32, "layers": 2, "heads": 2}},
        "targets": {"text": {"head": "answer", "config": {"layers": 3, "heads": 2}}},
    }
    family = {"family": "albef", "image": "photo", "question": "question", "answer": "text", "recipe": settings}
    sensorium.fit(folder / "questions.csv", folder / "answers_run", **options | family)
    return folder


def returned(run: Path, folder: Path) -> tuple[Albef, Albef]:
    """The run's model, and what comes back when it is written for others and read again."""
    convert(run, folder / "theirs", to="albef")
    convert(folder / "theirs" / "albef.safetensors", folder / "back")
    return open_own(run), open_own(folder / "back")


def read(model: Model, records: list[dict], *names: str) -> dict:
    """The inputs of records, whose columns are `names`."""
    given = [dict(zip(names, record, strict=True)) for record in records]
    return next(model.batches(model.read(given), len(given))).inputs


@torch.no_grad()
def test_a_run_of_pairs_comes_back_with_teacher_and_queue(world: Path, tmp_path: Path):
    own, back = returned(world / "pairs_run", tmp_path)
    table = pd.read_csv(world / "pairs" / "pairs.csv")[:4]
    records = [(str(world / "pairs" / row.photo), row.caption) for row in table.itertuples()]
    inputs = read(own.model, records, "photo", "caption")
    back_inputs = read(back.model, records, "image", "text")
    assert torch.equal(inputs["photo"]["pixels"], back_inputs["image"]["pixels"])
    assert torch.equal(inputs["caption"]["tokens"], back_inputs["text"]["tokens"])
    for one, other in ((own.model, back.model), (own.teacher.model, back.teacher.model)):
        features, back_features = one.encode(inputs), other.encode(back_inputs)
        for mine, theirs in (("photo", "image"), ("caption", "text")):
            assert torch.equal(one.embedding(mine, features[mine]), other.embedding(theirs, back_features[theirs]))
        fused, back_fused = one.fuse(features), other.fuse(back_features)
        assert torch.equal(fused.tokens, back_fused.tokens)
        words, back_words = one.heads["words"], other.heads["words"]
        assert torch.equal(words.logits(fused, fused.mask), back_words.logits(fused, fused.mask))
    assert any(
        not torch.equal(one, other)
        for one, other in zip(own.model.state_dict().values(), own.teacher.model.state_dict().values(), strict=True)
    )
    assert torch.equal(own.model.heads["match"].linear(fused.pooled), back.model.heads["match"].linear(fused.pooled))
    torch.testing.assert_close(own.model.logit_scale, back.model.logit_scale)
    assert torch.equal(own.queue.a, back.queue.a) and torch.equal(own.queue.b, back.queue.b)


@pytest.mark.parametrize("pairs", [0, 5, 9])
def test_of_a_queue_that_is_filled_in_part_no_more_comes_back(tmp_path: Path, pairs: int):
    queue = Queue(7, 6)
    queue.push(*torch.randn(2, pairs, 6), *torch.arange(2 * pairs).view(2, pairs))
    save(Albef(tiny(), None, queue), tmp_path / "ours")
    back = returned(tmp_path / "ours", tmp_path)[1].queue
    assert (back.filled, back.pointer) == (min(pairs, 7), pairs % 7)
    assert torch.equal(back.a, queue.a) and torch.equal(back.b, queue.b)


@torch.no_grad()
def test_a_run_of_answers_comes_back(world: Path, tmp_path: Path):
    own, back = returned(world / "answers_run", tmp_path)
    table = pd.read_csv(world / "questions.csv")[:4]
    records = [(str(world / row.photo), row.question) for row in table.itertuples()]
    fused = own.model.fuse(own.model.encode(read(own.model, records, "photo", "question")))
    fused_back = back.model.fuse(back.model.encode(read(back.model, records, "image", "text")))
    assert torch.equal(fused.tokens, fused_back.tokens)
    one, other = own.model.heads["text"], back.model.heads["answer"]
    assert torch.equal(
        one.logits(fused, one.answers[:4], one.real[:4]), other.logits(fused_back, one.answers[:4], one.real[:4])
    )
    marks = ("start", "end", "pad", "context", "layers", "vocabulary")
    assert all(getattr(one.config, name) == getattr(other.config, name) for name in marks)
    found, found_back = one.generate(fused), other.generate(fused_back)
    assert torch.equal(found.tokens, found_back.tokens)


def changed(**more) -> Model:
    """A tiny ALBEF with other settings of its pictures."""
    return albef(CONFIG.model_copy(update={"image": CONFIG.image.model_copy(update=more)}))


def with_fusion(kind: type, **config) -> Model:
    model = tiny()
    model.fusion = kind(kind.Config(**config), {name: one.dim for name, one in model.encoders.items()})
    return model


def decoder(**more) -> AnswerConfig:
    return AnswerConfig(**{"vocabulary": 20, "context": 8, "start": 1, "end": 2, "heads": 2} | more)


def answering(**more) -> Model:
    return albef(CONFIG.model_copy(update={"answer": decoder(**more)}))


def wider() -> Model:
    fusion = with_fusion(BertFusion, query="text", dim=16, heads=2).fusion
    return Model(dict(tiny().encoders.items()), fusion=fusion, heads={"said": Answer(decoder(), 16)})


def with_projection(**more) -> Model:
    model = tiny()
    projections = {name: Projection(one.dim, 6, bias=True) for name, one in model.encoders.items()}
    projections["text"] = Projection(8, 6, bias=True, **more)
    model.projections = Named(projections)
    return model


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (changed(pre_norm=True), "its encoder of pictures has pre_norm True, where ALBEF's would have False"),
        (changed(patch_bias=False), "has patch_bias False"),
        (changed(pooling="mean"), "has pooling mean, where ALBEF's would have class"),
        (changed(activation="quick_gelu"), "has activation quick_gelu"),
        (with_fusion(CrossAttention, dim=8, heads=2), "the fusion is cross_attention, where ALBEF has bert"),
        (with_fusion(BertFusion, query="image", dim=8, heads=2), "'image' asks 'text', where in ALBEF the text asks"),
        (with_fusion(BertFusion, query="text", context=[], dim=8, heads=2), "in its fusion 'text' asks nothing"),
        (with_fusion(BertFusion, query="text", dim=8, heads=4), "its fusion has heads 4, where ALBEF's would have 2"),
        (wider(), "its fusion is 16 wide, where ALBEF's is as wide as the text, 8"),
        (answering(heads=4), "its head answer has heads 4"),
        (with_projection(hidden=5), "the projection of 'text' is not ALBEF's linear map"),
    ],
)  # fmt: skip
def test_what_the_layout_has_no_place_for_is_said(tmp_path: Path, model: Model, said: str):
    model.save(tmp_path / "ours")
    with pytest.raises(UserError, match=f"cannot be written as an ALBEF: .*{said}"):
        convert(tmp_path / "ours", tmp_path / "theirs", to="albef")
    assert not (tmp_path / "theirs").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--answer text --encoder photo=image_conv", "of 'photo' is image_conv, where ALBEF has clip_image"),
        ("--answer text=class", "its heads are classes, where ALBEF has match and words, or answer"),
    ],
)
def test_a_run_that_is_another_model_gets_one_sentence(world: Path, tmp_path: Path, monkeypatch, options, said):
    monkeypatch.chdir(world)
    line = "fit questions.csv --family albef --image photo --question question --workers 0 --epochs 1"
    small = "--set refit=false --encoder question=bert_text,width=32,depth=1,heads=2"
    assert typed(f"{line} {small} {options} --out {tmp_path}/run").code == 0
    done = typed(f"convert {tmp_path}/run {tmp_path}/theirs --to albef")
    assert done.code == 2 and said in done.err and len(done.err.strip().splitlines()) == 1
