"""An ALBEF that begins with a BERT of Transformers and a vision transformer of timm computes what they do."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast

import sensorium
from sensorium.errors import UserError
from sensorium.families.checkpoints import convert
from tests.reviews import sensorium as typed

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "is", "there", "a", "red", "circle", "?"]
QUESTION = "is there a red circle ?"


def bert(folder: Path, kind: type = BertModel, **more) -> BertModel | BertForMaskedLM:
    """Writes a BERT of random weights with its tokenizer, as Transformers does."""
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
    model = kind(BertConfig(**size | more, vocab_size=len(WORDS), max_position_embeddings=16)).eval()
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, "[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    named = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    PreTrainedTokenizerFast(tokenizer_object=backend, **named).save_pretrained(folder)
    return model


def vit(path: Path, name: str = "vit_tiny_patch16_224", **more) -> torch.nn.Module:
    """Writes the weights of a small vision transformer of timm, with its classifier, as DeiT's are published."""
    torch.manual_seed(1)
    model = timm.create_model(name, img_size=32, patch_size=8, depth=2, **more).eval()
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.05)
    torch.save({"model": model.state_dict()}, path)
    return model


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("start")
    return folder, bert(folder / "bert"), vit(folder / "vit.pth")


def near(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape and (ours - theirs).norm() <= 1e-5 * theirs.norm()


@torch.no_grad()
def test_without_a_picture_text_layers_and_fusion_are_all_of_bert(world):
    folder, theirs, _ = world
    convert(folder / "bert", folder / "ours", picture=folder / "vit.pth", overwrite=True)
    ours = sensorium.load(folder / "ours")
    batch = next(ours.batches(ours.read([{"text": QUESTION}]), 1))
    found = ours.encode(batch.inputs)
    tokens = batch.inputs["text"]["tokens"]
    assert tokens.tolist() == [[2, 5, 6, 7, 8, 9, 10, 3]]
    layers = theirs(tokens, output_hidden_states=True).hidden_states
    near(found["text"].tokens, layers[1])
    near(ours.fuse(found).tokens, layers[3])
    assert ours.fusion.config.layers == 2 and ours.heads.names == ["match", "words"]


@torch.no_grad()
def test_the_picture_is_read_as_timm_reads_it(world):
    folder, _, theirs = world
    ours = convert(folder / "bert", folder / "picture", picture=folder / "vit.pth", overwrite=True)
    pixels = torch.randn(2, 3, 32, 32)
    encoder = ours.encoders["image"]
    encoder.scale = torch.nn.Identity()
    found = encoder({"pixels": pixels, "mask": torch.ones(2, 1, dtype=torch.bool)})
    near(found.tokens, theirs.forward_features(pixels))


@torch.no_grad()
def test_masked_words_begin_with_berts_decision_where_it_has_one(world, tmp_path):
    folder = world[0]
    theirs = bert(tmp_path / "headed", BertForMaskedLM)
    ours = convert(tmp_path / "headed", tmp_path / "ours", picture=folder / "vit.pth")
    decides, network = theirs.cls.predictions, ours.heads["words"].network
    assert torch.equal(network.dense.weight, decides.transform.dense.weight)
    assert torch.equal(network.norm.bias, decides.transform.LayerNorm.bias)
    assert torch.equal(network.bias, decides.bias) and decides.bias.any()
    batch = next(ours.batches(ours.read([{"text": QUESTION}]), 1))
    fused = ours.fuse(ours.encode(batch.inputs))
    near(ours.heads["words"].logits(fused, fused.mask), theirs(batch.inputs["text"]["tokens"]).logits[0])
    drawn = convert(folder / "bert", tmp_path / "drawn", picture=folder / "vit.pth").heads["words"].network
    assert not drawn.bias.any() and torch.equal(drawn.norm.weight, torch.ones(32))


def test_it_is_trained_further_and_fitted(world, monkeypatch):
    folder = world[0]
    monkeypatch.chdir(folder)
    assert typed("convert bert begun --picture vit.pth --overwrite").code == 0
    from tests import question_scenes

    question_scenes.make(folder, 12)
    line = (
        "fit questions.csv --family albef --image photo --question question --answer question_type=class --from begun"
    )
    done = typed(f"{line} --encoder photo=clip_image,size=48 --epochs 1 --out run --set workers=0 --set refit=false")
    assert done.code == 0, done.err
    model = sensorium.load("run")
    assert len(model.encoders["photo"].position) == 1 + 36 and model.fusion.config.layers == 2
    assert model.encoders["question"].processor.vocabulary == len(WORDS)
    assert np.isfinite(
        list(model.predict([{"question": QUESTION}])[0]["question_type"]["probabilities"].values())
    ).all()


def test_another_model_is_refused_with_a_sentence(world, tmp_path):
    folder = world[0]
    bert(tmp_path / "relu", hidden_act="relu")
    for source, picture, said in (
        (tmp_path / "relu", None, r"\(bert, relu\) is no BERT with gelu"),
        (folder / "bert", tmp_path / "no.pth", "There is no file .*no.pth with the weights of the pictures' encoder"),
        (folder / "bert", folder / "bert" / "model.safetensors", "holds no vision transformer of timm's layout"),
    ):
        with pytest.raises(UserError, match=said):
            convert(source, tmp_path / "ours", picture=picture)
    vit(tmp_path / "narrow.pth", embed_dim=96, num_heads=3)
    with pytest.raises(UserError, match=r"narrow.pth is 96 wide, no multiple of the usual 64 .*; take a DeiT or a ViT"):
        convert(folder / "bert", tmp_path / "ours", picture=tmp_path / "narrow.pth")
    vit(tmp_path / "scaled.pth", init_values=0.1)
    with pytest.raises(UserError, match=r"has beyond the model's 4 weights, 'blocks.0.ls1.gamma' first"):
        convert(folder / "bert", tmp_path / "ours", picture=tmp_path / "scaled.pth")
    assert not (tmp_path / "ours").exists()
