"""A language model's words as an encoder, its prompts and chats; and published decoders that lack something."""

import pickle
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from sensorium.encoders.decoder_words import DecoderWords, DecoderWordsConfig
from sensorium.encoders.prompt_processor import PromptProcessor, parse_turns
from sensorium.errors import UserError
from sensorium.generation.settings import Generation
from sensorium.heads.causal import Causal, CausalConfig
from sensorium.training.adapters import AdapterSettings, adapt
from tests.writing_scenes import head_of

TEMPLATE = (
    "{% for m in messages %}{{ bos_token }}{{ m['role'] }}:{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama of Transformers that reads bytes, with a chat template."""
    folder = tmp_path_factory.mktemp("published")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(["<s>", "</s>", *alphabet])}, []))
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=258, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=48, bos_token_id=0, eos_token_id=1, tie_word_embeddings=True,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def read(processor: PromptProcessor, text: str) -> str:
    return processor.tokens.tokenizer.decode(processor(text)["tokens"].tolist(), skip_special_tokens=False)


def test_words_are_the_models_and_a_text_its_tokens(folder: Path, tmp_path: Path):
    encoder = DecoderWords.build(DecoderWordsConfig(model=str(folder)), [], {})
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.equal(encoder.words.weight, model.get_input_embeddings().weight) and encoder.dim == 16
    batch = encoder.processor.pad([encoder.processor("hello"), None, encoder.processor("é")])
    features = encoder(batch)
    assert features.mask.sum(1).tolist() == [5, 0, 2]
    assert torch.equal(features.tokens[0], encoder.words.weight[batch["tokens"][0]])
    encoder.processor.save(tmp_path)
    for processor in (PromptProcessor.load(tmp_path), pickle.loads(pickle.dumps(encoder.processor))):
        assert torch.equal(processor("hello")["tokens"], encoder.processor("hello")["tokens"])
    assert read(encoder.processor, "One. " + "x" * 80) == "One."  # cut at a sentence
    assert len(encoder.processor("")["tokens"]) == 1


def test_a_chat_is_written_by_the_template_and_cut_at_turns(folder: Path, tmp_path: Path):
    processor = DecoderWords.build(DecoderWordsConfig(model=str(folder), chat=True), [], {}).processor
    assert read(processor, "hi") == "<s>user:hiassistant:"
    assert read(processor, "user: a\nassistant: b\nuser: c") == "<s>user:a<s>assistant:b<s>user:cassistant:"
    assert read(processor, f"user: {'a' * 30}\nassistant: b\nuser: c") == "<s>user:cassistant:"
    assert read(processor, f"system: s\nuser: {'a' * 30}\nassistant: b\nuser: c") == "<s>system:s<s>user:cassistant:"
    assert read(processor, "user: a</s>b\nuser: c") == "<s>user:ab\ncassistant:"  # nobody but the template ends a turn
    assert parse_turns("system: be\nbrief\nuser: x: y") == [("system", "be\nbrief"), ("user", "x: y")]
    assert read(processor, "One two. " + "x" * 80) == "<s>user:One two.assistant:"
    processor.save(tmp_path)
    assert torch.equal(PromptProcessor.load(tmp_path)("hi")["tokens"], processor("hi")["tokens"])


def test_turns_that_a_template_refuses_are_a_sentence(folder: Path):
    processor = DecoderWords.build(DecoderWordsConfig(model=str(folder), chat=True), [], {}).processor
    processor.template = "{{ raise_exception('no') }}"
    with pytest.raises(ValueError, match="does not take turns of user, assistant"):
        processor("user: a\nassistant: b")


def test_a_head_is_built_with_the_models_tokens(folder: Path):
    head = Causal.build(CausalConfig(model=str(folder), max_tokens=9), 16, [])
    assert head.processor("ab") == [*(head.processor.tokenizer.token_to_id(letter) for letter in "ab"), 1]
    assert head.usual_fusion({"model": str(folder)}) == ("sequence", {"dim": 16}) and head.context == 9
    stream: list[tuple[int, int]] = []
    fused = DecoderWords.build(DecoderWordsConfig(model=str(folder)), [], {})
    features = fused(fused.processor.pad([fused.processor("x")]))
    prediction = head.eval().predict(
        features, Generation(choices=("yes", "no")), stream=lambda *token: stream.append(token)
    )
    (row,) = head.decode(prediction, [])
    assert row["decision"] in ("yes", "no") and 0 < row["probability"] < 1 and len(stream) in (3, 4)


def test_what_a_decoder_lacks_is_said(folder: Path, tmp_path: Path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(UserError, match="tokenizer"):
        Causal.build(CausalConfig(model=str(bare)), 16, [])
    with pytest.raises(UserError, match=r"no file .*none\.gguf"):
        Causal.build(CausalConfig(model=str(tmp_path / "none.gguf")), 16, [])
    with pytest.raises(UserError, match=r"takes no adapter, which tunes heads"):
        adapt(torch.nn.Linear(2, 2), AdapterSettings(), "said", 0, "head")


def test_adapters_leave_the_words_and_what_is_written_at_first():
    pytest.importorskip("peft")
    head = head_of("llama")
    names = {name for name, _ in head.named_parameters()}
    adapt(head, AdapterSettings(rank=2), "said", 0, "head")
    added = {name for name, weight in head.named_parameters() if weight.requires_grad}
    assert added and all("lora_" in name for name in added) and not any("lm_head" in name for name in added)
    assert not added & names
