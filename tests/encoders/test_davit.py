"""The pictures' part of a Florence-2 by itself, and its prompts."""

from pathlib import Path

import pytest
import torch

from sensorium.encoders.davit import DaViT, DaViTConfig
from sensorium.encoders.prompt_processor import PromptProcessor
from sensorium.errors import UserError
from sensorium.families.florence import florence
from sensorium.model import Model
from tests.florence_scenes import folder_of, picture, published


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return florence(folder_of(published(), tmp_path_factory.mktemp("published") / "florence"))


@torch.no_grad()
def test_it_is_built_of_the_folder_and_summarised(model):
    whole = model.encoders["image"]
    source = whole.config.model
    encoder = DaViT.build(DaViTConfig(model=source), [], {}).eval()
    assert encoder.config == whole.config and encoder.dim == 16
    batch = encoder.processor.pad([encoder.processor(picture(seed)) for seed in range(2)])
    features, expected = encoder(batch), whole(batch)
    assert torch.equal(features.tokens, expected.tokens) and features.tokens.shape == (2, 17, 16)
    summary = DaViT.build(DaViTConfig(model=source), [], {}, summary_only=True).eval()(batch)
    assert torch.equal(summary.tokens[:, 0], features.tokens[:, 0]) and summary.mask.shape == (2, 1)
    alone = encoder({name: tensor[1:] for name, tensor in batch.items()})
    torch.testing.assert_close(alone.tokens[0], features.tokens[1], rtol=1e-5, atol=1e-5)


def test_what_it_lacks_is_said(model, tmp_path: Path):
    with pytest.raises(UserError, match="architecture of 'none' is not known"):
        DaViT(DaViTConfig(model="none"))
    with pytest.raises(UserError, match=r"no folder 'no/such/one' with a Florence-2"):
        DaViT.build(DaViTConfig(model="no/such/one"), [], {})


def test_prompts_are_framed_cut_and_named_by_their_tasks(model, tmp_path: Path):
    processor = model.encoders["prompt"].processor
    frame, spell = (processor.before, processor.after), processor.tokens.tokenizer.decode
    ids = processor("How dark?")["tokens"].tolist()
    assert ([ids[0]], [ids[-1]]) == frame == ([0], [2]) and spell(ids[1:-1]) == "How dark?"
    assert torch.equal(processor("detect")["tokens"], processor(processor.tasks["detect"].prompt)["tokens"])
    assert spell(processor("ground")["tokens"][1:-1].tolist()) == "ground"  # no prompt without its phrase
    assert spell(processor("<s></s>")["tokens"].tolist()[1:-1], skip_special_tokens=False) == "<s></s>"
    longest = model.encoders["prompt"].config.max_tokens
    cut = processor("One. " + "x" * 400)["tokens"]
    assert len(cut) <= longest and [int(cut[0]), int(cut[-1])] == [0, 2]
    processor.save(tmp_path)
    again = PromptProcessor.load(tmp_path)
    assert again.tasks == processor.tasks and torch.equal(again("detect")["tokens"], processor("detect")["tokens"])
