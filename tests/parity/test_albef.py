"""A published ALBEF gives its numbers here, from its own parameter names, and is written back as the same file."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn

from sensorium.errors import UserError
from sensorium.families.albef import MASKED, objectives
from sensorium.families.albef_checkpoints import Albef, open_own
from sensorium.families.checkpoints import convert
from sensorium.features import Batch
from sensorium.model import Model, load
from sensorium.objectives.masked import Masked
from sensorium.objectives.step import Step

WITHIN = 1e-5  # of a tensor's norm


@pytest.fixture
def reference(shared: Path) -> Path:
    return shared / "reference" / "albef"


def near(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    apart, norm = (ours - theirs).norm(), theirs.norm()
    assert apart <= WITHIN * norm, f"{apart / norm:.2e} of its norm"


def published(reference: Path, kind: str, folder: Path) -> Path:
    """The reference as a user has one: the file of weights, and what its own configuration and tokenizer say."""
    folder.mkdir()
    shutil.copy(reference / f"{kind}_weights.safetensors", folder / "weights.safetensors")
    (folder / "config.json").write_text((reference / "config.json").read_text())
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{number}" for number in range(5, 120))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "weights.safetensors"


def converted(reference: Path, kind: str, folder: Path) -> tuple[Albef, dict[str, Tensor]]:
    """The model, its teacher and its queue from our own checkpoint, and what the published code computes."""
    convert(published(reference, kind, folder / "theirs"), folder / "ours")
    found = open_own(folder / "ours")
    for model in (found.model, found.teacher and found.teacher.model):
        if model is not None:
            model.encoders["image"].scale = nn.Identity()  # the reference's pictures are normalised numbers
    return found, load_file(reference / f"{kind}_expected.safetensors")


def batch_of(expected: dict[str, Tensor], ids: str = "input_ids", mask: str = "attention_mask") -> Batch:
    rows, real = len(expected["image"]), expected[mask].bool()
    inputs = {
        "image": {"pixels": expected["image"], "mask": torch.ones(rows, 1, dtype=torch.bool)},
        "text": {"tokens": expected[ids], "mask": real},
    }
    if "masked_input_ids" in expected:
        labels = expected["mlm_labels"]
        inputs[MASKED] = {"tokens": expected["masked_input_ids"], "mask": real, "labels": labels}
    number = {name: torch.arange(rows) for name in ("image", "text")}
    return Batch(inputs, {}, number, [str(row) for row in range(rows)])


@torch.no_grad()
def test_every_number_of_pre_training(reference: Path, tmp_path: Path):
    found, expected = converted(reference, "pretrain", tmp_path)
    batch = batch_of(expected)
    step, real = Step(found.model, batch), expected["attention_mask"].bool()
    near(step.features("image").tokens, expected["image_embeds"])
    near(step.features("text").tokens[real], expected["text_embeds"][real])
    near(step.embedding("image"), expected["image_feat"])
    near(step.embedding("text"), expected["text_feat"])
    near(step.fused().tokens[real], expected["fused"][real])

    model, fusion = found.model, found.model.fusion
    pictures, texts = (place.flatten() for place in torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij"))
    asked = [one.take(pictures) for one in step.asked()]
    fused = fusion({"text": step.features("text").take(texts)}, asked)
    near(model.heads["match"].linear(fused.pooled).unflatten(0, (4, 4)), expected["itm_logits_image_by_text"])

    words = model.heads["words"].logits(step.fused(text=MASKED), real)
    near(words, expected["mlm_logits"][real])
    theirs = found.teacher.step(batch)
    words = found.teacher.model.heads["words"].logits(theirs.fused(text=MASKED), real)
    near(words, expected["mlm_logits_momentum"][real])


@torch.no_grad()
def test_the_losses_of_pre_training(reference: Path, tmp_path: Path):
    found, expected = converted(reference, "pretrain", tmp_path)
    step = Step(found.model, batch_of(expected))
    aligned, _, masked = objectives(found.teacher, found.queue)
    loss = aligned(step)["image_text"]
    assert found.teacher.alpha == 0.4 and loss.count == 4
    near(loss.total / loss.count, expected["loss_ita_alpha0_4"][0])
    loss = masked(step)["words"]
    near(loss.total / loss.count, expected["loss_mlm_alpha0_4"][0])
    loss = Masked("words", MASKED)(step)["words"]
    near(loss.total / loss.count, expected["loss_mlm_alpha0"][0])


@torch.no_grad()
def test_every_number_of_answering(reference: Path, tmp_path: Path):
    found, expected = converted(reference, "vqa", tmp_path)
    batch = batch_of(expected, "question_ids", "question_mask")
    fused, asked = Step(found.model, batch).fused(), expected["question_mask"].bool()
    near(fused.tokens[asked], expected["question_states"][asked])
    head, answers, real = found.model.heads["answer"], expected["answer_ids"], expected["answer_mask"].bool()
    near(head.logits(fused, answers[:4], real[:4])[real[:4]], expected["answer_logits_first_B"][real[:4]])
    target = {"tokens": answers[:4, None], "real": real[:4, None], "weight": torch.ones(4, 1)}
    near(head.loss(fused, target), expected["answer_loss_first_B"])
    places, probabilities = head.rank(fused, answers, real, 3)
    assert torch.equal(places, expected["topk_ids"])
    near(probabilities, expected["topk_probs"])


@pytest.mark.parametrize("kind", ["pretrain", "vqa"])
def test_back_to_the_same_file(reference: Path, tmp_path: Path, kind: str):
    convert(published(reference, kind, tmp_path / "theirs"), tmp_path / "ours")
    assert isinstance(load(tmp_path / "ours"), Model)
    convert(tmp_path / "ours", tmp_path / "back", to="albef")
    before = load_file(tmp_path / "theirs" / "weights.safetensors")
    after = load_file(tmp_path / "back" / "albef.safetensors")
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert value.dtype == after[name].dtype and torch.equal(value, after[name]), name
    stated, config = (json.loads((tmp_path / where / "config.json").read_text()) for where in ("theirs", "back"))
    for part in ("bert", "vit"):
        assert config[part].items() <= stated[part].items()
    convert(tmp_path / "back" / "albef.safetensors", tmp_path / "again")
    assert set(open_own(tmp_path / "again").model.heads.names) == set(load(tmp_path / "ours").heads.names)


def test_a_training_checkpoint_is_read_without_running_code(reference: Path, tmp_path: Path):
    path = published(reference, "pretrain", tmp_path / "theirs")
    torch.save({"model": load_file(path), "epoch": 29}, tmp_path / "theirs" / "ALBEF.pth")
    whole, model = convert(path, tmp_path / "one"), convert(tmp_path / "theirs" / "ALBEF.pth", tmp_path / "other")
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in whole.state_dict().items())


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("itm_head.bias", lambda one: None, "lacks 1 weight, 'itm_head.bias' first"),
        ("text_encoder.pooler", lambda one: torch.zeros(2), "has beyond the model's 1 weight, 'text_encoder.pooler'"),
        ("itm_head.bias", lambda one: one[:1], r"'itm_head.bias' has the shape \[1\], the configuration says \[2\]"),
        ("text_encoder.cls.predictions.bias", lambda one: one + 1, "which are one here"),
    ],
)
def test_a_weight_that_does_not_fit_is_named(reference: Path, tmp_path: Path, name: str, change, said: str):
    path = published(reference, "pretrain", tmp_path / "theirs")
    tensors = load_file(path)
    tensors[name] = change(tensors.get(name))
    torch.save({key: value for key, value in tensors.items() if value is not None}, path.with_suffix(".pth"))
    with pytest.raises(UserError, match=said):
        convert(path.with_suffix(".pth"), tmp_path / "ours")
