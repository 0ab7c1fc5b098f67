"""Conversations with a model that was fitted on dialogues."""

import io
from pathlib import Path

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

import sensorium
from sensorium.data.schema import Column, InputSpec, Schema, TargetSpec
from sensorium.encoders.decoder_words import DecoderWords, DecoderWordsConfig
from sensorium.errors import UserError
from sensorium.fusion.sequence import Sequence, SequenceConfig
from sensorium.generation import packed as generation_steps
from sensorium.generation.transformers import CausalSteps
from sensorium.heads.causal import Causal, CausalConfig
from sensorium.model import Model
from tests.encoders import test_decoder_words
from tests.readme import example
from tests.reviews import sensorium as command

published = test_decoder_words.folder  # a fixture
SMALL = {"config": {"width": 16, "depth": 1, "heads": 2}}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run that knows how to answer about red pictures, on a few dialogues."""
    folder = tmp_path_factory.mktemp("talk")
    example.make(folder, reviews=4)
    example.pairs(folder)
    example.turns(folder)
    frame = sensorium.dialogues(folder / "turns.csv").head(40)
    frame["photo"] = [str(Path(path).resolve()) for path in frame["photo"]]
    recipe = {"inputs": {"dialogue": SMALL}, "data": {"columns": {"dialogue": "text", "photo": "image"}}}
    recipe["data"] |= {"inputs": ["dialogue", "photo"], "target": {"answer": "text"}, "group": "conversation"}
    sensorium.fit(frame, out=folder / "run", recipe=recipe, epochs=2, quiet=True)
    return folder / "run"


def test_what_was_said_goes_with_every_question(run):
    picture = next(run.parent.rglob("red-*.png"))
    pieces: list[str] = []
    talk = sensorium.chat(run, context=12, max_tokens=8)
    first = talk.say("What  is it?", pieces.append, photo=str(picture))
    assert "".join(pieces).strip() == first.strip()
    assert talk.turns == ["user: What is it?", f"assistant: {first}"]
    alone = talk.model.predict([{"dialogue": "user: What is it?", "photo": str(picture)}])
    assert alone[0]["answer"]["decision"].startswith(first[:5])
    talk.say("And its colour?")
    assert len(talk.turns) == 4 and talk.inputs == {"photo": str(picture)}
    assert talk.say("And its colour?") and talk.cut > 0


@pytest.mark.parametrize("packed", [True, False])
def test_a_causal_head_reads_only_what_is_new(published, packed, monkeypatch):
    if not packed:
        monkeypatch.setattr(generation_steps, "can_pack", lambda model: False)
    encoder = DecoderWords.build(DecoderWordsConfig(model=str(published), chat=True, max_tokens=48), [], {})
    head = Causal.build(CausalConfig(model=str(published), max_tokens=5), 16, [])
    column, spec = Column(name="dialogue", kind="text", reason="stated"), TargetSpec(name="answer", kind="text")
    inputs = [InputSpec(name="dialogue", modality="text", columns=["dialogue"])]
    schema = Schema(columns=[column], inputs=inputs, targets=[spec])
    fusion = Sequence(SequenceConfig(dim=16), {"dialogue": 16})
    model = Model({"dialogue": encoder}, fusion=fusion, heads={"answer": head}, schema=schema).eval()
    lengths: list[int] = []
    run = CausalSteps._run

    def counted(self, state, positions, **tensors):
        lengths.append(positions.shape[-1])
        return run(self, state, positions, **tensors)

    monkeypatch.setattr(CausalSteps, "_run", counted)
    talk, plain = sensorium.chat(model), sensorium.chat(model)
    plain.decoder = head
    for text in ("a?", "b?", "c?"):
        del lengths[:]
        answer, read = talk.say(text), [length for length in lengths if length > 1]
        assert plain.say(text) == answer
        again = [length for length in lengths[len(read) :] if length > 1]
        assert text == "a?" or max(read, default=1) < again[-1] - 5


def test_a_cache_that_forgets_is_not_gone_on_from():
    config = MistralConfig(
        vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, sliding_window=4,
    )  # fmt: skip
    steps = CausalSteps(MistralForCausalLM(config).eval())
    _, state = steps.begin(torch.randn(1, 6, 16), torch.ones(1, 6, dtype=torch.bool))
    assert not steps.keeps_all(state)


def test_what_cannot_be_said_is_a_sentence_and_changes_nothing(run):
    talk = sensorium.chat(run)
    with pytest.raises(UserError, match="Nothing was said"):
        talk.say("  ")
    with pytest.raises(UserError, match="no input 'foto'"):
        talk.say("Hi.", foto="a.png")
    with pytest.raises(UserError):
        talk.say("Hi.", photo="missing.png")
    assert talk.turns == [] and talk.inputs == {}
    with pytest.raises(UserError, match="temperatur"):
        sensorium.chat(run, temperatur=1)
    with pytest.raises(UserError, match="did you mean"):
        sensorium.chat(run, dialogue="dialog")


def test_the_verb_answers_a_line_a_question(run, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", io.StringIO("What is it?\n\nAnd its colour?\n"))
    ended = command(f"chat {run} --max-tokens 4")
    assert ended.code == 0 and len(ended.out.splitlines()) == 2
    assert command(f"chat {run} --image {tmp_path / 'none.png'}").code == 2
