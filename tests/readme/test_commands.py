"""Every command and every block of Python of the README and of docs/, run in order, as it stands on the page."""

import io
import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest
import timm
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
)

import sensorium
from sensorium.config import defaults
from tests import florence_scenes, reviews, whisper_scenes
from tests.parity.published import transformers_folder
from tests.readme import example
from tests.readme.pages import ROOT, Piece, pages, pieces, why_not

NOT_RUN = [
    (page, piece.text) for page in pages() for piece in pieces(page) if piece.language == "sh" and why_not(piece.text)
]
# Pages whose commands take half a minute or more.
SLOW = {
    "albef.md", "answers.md", "clip.md", "compare.md", "encoders.md", "florence.md", "florence-pretraining.md",
    "objectives.md", "recipes.md", "report.md", "training.md", "video.md",
}  # fmt: skip
LINK = re.compile(r"\]\(([^)#:]+)\)")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example table, shorter, and the tiny published models that the pages call models/reader, /listener, /pair,
    /whisper, /florence."""
    folder = tmp_path_factory.mktemp("pages") / "example"
    example.make(folder, reviews=60)
    example.folders(folder)
    example.pairs(folder)
    example.scenes(folder)
    example.published(folder)
    example.questions(folder)
    example.turns(folder)
    whisper_scenes.example(folder)
    florence_scenes.example(folder)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(**size, vocab_size=8)).save_pretrained(folder / "models" / "reader")
    words = ["[PAD]", "[UNK]", "lovely", "joy", "good", "broke", "poor", "useless"]
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")
    tokenizer.save_pretrained(folder / "models" / "reader")
    waves = {"conv_dim": (16, 16), "conv_kernel": (40, 4), "conv_stride": (20, 2), "num_feat_extract_layers": 2}
    waves |= {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "feat_extract_norm": "layer"}
    Wav2Vec2Model(Wav2Vec2Config(**waves, **size)).save_pretrained(folder / "models" / "listener")
    Wav2Vec2FeatureExtractor(sampling_rate=8000).save_pretrained(folder / "models" / "listener")
    transformers_folder(folder / "models" / "pair", "clip", "quick_gelu")
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=1)
    torch.save(vit.state_dict(), folder / "models" / "vit.pth")
    return folder


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow if page.name in SLOW else []) for page in pages()],
    ids=lambda page: page.name,
)
def test_what_a_page_says_works(page, made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "here")
    # What a page does not state is the program's to choose; here it chooses three epochs, and to train once, which
    # teaches little, soon.
    monkeypatch.setattr(defaults, "STEPS", 1)
    monkeypatch.setattr(defaults, "REFIT", 0)
    monkeypatch.setattr("sys.stdin", io.StringIO("What is it?\n"))
    monkeypatch.chdir(tmp_path / "here")
    names: dict = {}
    for piece in pieces(page):
        if piece.language == "python":
            exec(compile(piece.text, f"{page.name}, Python", "exec"), names)
        elif piece.language == "yaml":
            first, _, _ = piece.text.partition("\n")
            Path(first.removeprefix("# ")).write_text(piece.text, encoding="utf-8")
        elif not why_not(piece.text):
            run(piece)


def run(piece: Piece) -> None:
    """Types a command. Fails when it does not end well."""
    program, *rest = shlex.split(piece.text)
    if program == "python":
        runpy.run_path(str(ROOT / rest[0]), run_name="__main__")
        return
    assert program == "sensorium", f"no test runs '{piece.text}', and tests/readme/pages.py does not say why"
    said = reviews.sensorium(shlex.join(rest))
    assert said.code == 0, f"{piece.text}\n{said.err}"


@pytest.mark.parametrize(("page", "command"), NOT_RUN, ids=lambda one: one.name if isinstance(one, Path) else one)
def test_what_is_run_elsewhere(page, command):
    pytest.skip(f"{page.name}: {command}: {why_not(command)}")


def test_the_pages_print_what_their_examples_print(tmp_path, monkeypatch, capsys):
    """Tables of columns are the same on every machine; the figures of a model are not, to the last digit."""
    example.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    sensorium.read("reviews.csv", target="sentiment", group="author")
    assert printed(capsys) == place("fit-your-own-table.md", "columns")
    code = next(piece.text for piece in pieces(ROOT / "docs" / "tables.md") if piece.language == "python")
    exec(code, {})
    assert printed(capsys) == place("tables.md", "orders")


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, without blanks at the ends of lines."""
    return "\n".join(line.rstrip() for line in capsys.readouterr().out.strip("\n").splitlines())


def place(page: str, name: str) -> str:
    """What benchmarks/figures.py filled in between the marks `name` of a page of docs/, without its fence."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return text.split(f"<!-- {name} -->\n```text\n")[1].split(f"\n```\n<!-- /{name} -->")[0]


def test_links_lead_somewhere():
    for page in [*pages(), ROOT / "CONTRIBUTING.md"]:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
