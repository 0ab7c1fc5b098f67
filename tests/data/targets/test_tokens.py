"""Texts that are written, as tokens: nothing is unknown, what is long is cut at a sentence, folders give it back."""

import pickle

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from sensorium.data.targets.tokens import Tokens

TEXTS = ["A red Circle at the left.", "Two blue squares at the right.", "A red square at the left."] * 4


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens.train(TEXTS, 64)


@pytest.mark.parametrize("text", [*TEXTS[:2], "Ça va? 你好, 👋 — ÉTÉ", "two\nlines  and  spaces", "e\u0301"])
def test_a_text_is_spelled_as_it_was_written(tokens, text):
    ids = tokens(text)
    assert ids[-1] == tokens.end[0] and tokens.pad not in ids
    expected = text if text != "e\u0301" else "\u00e9"
    assert tokens.spell(ids) == expected == tokens.spell([tokens.start, *ids, tokens.pad, tokens.pad])


def test_a_text_that_spells_a_special_token_means_its_letters(tokens):
    text = "say [END] and [PAD] now"
    assert tokens.spell(tokens(text)) == text and tokens(text).count(tokens.end[0]) == 1


def test_common_words_are_single_tokens_and_the_same_texts_give_the_same_tokenizer(tokens):
    assert len(tokens("A red square")) == 4
    assert Tokens.train(TEXTS, 64).tokenizer.to_str() == tokens.tokenizer.to_str()
    assert len(tokens("A RED square")) > 4


def test_a_long_text_is_cut_after_a_sentence_that_fits_or_else_within_one(tokens):
    short = Tokens(tokens.tokenizer, tokens.start, tokens.end, tokens.pad, 12)
    text = "A red Circle at the left. Two blue squares at the right."
    assert short.spell(short(text)) == "A red Circle at the left."
    assert short(text)[-1] == short.end[0] and short.is_cut(text) and not short.is_cut(text[:25])
    run_on = "A red square at the left Two blue squares at the right"
    assert len(short(run_on)) == 12 and run_on.startswith(short.spell(short(run_on)))


def test_a_folder_and_a_pickle_give_it_back(tokens, tmp_path):
    tokens.save(tmp_path)
    for copy in (Tokens.load(tmp_path), pickle.loads(pickle.dumps(tokens))):
        assert copy(TEXTS[0]) == tokens(TEXTS[0])
        assert (copy.start, copy.end, copy.pad, copy.max_tokens) == (tokens.start, tokens.end, tokens.pad, 64)


def test_the_special_tokens_of_a_decoders_own_tokenizer_are_neither_added_nor_spelled():
    own = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "<stop>": 2, "a": 3, "dog": 4}, unk_token="a"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    own.enable_truncation(2)
    own.enable_padding()
    tokens = Tokens(own, None, [1, 2], 1, 16)
    assert tokens("a dog a dog") == [3, 4, 3, 4, 1]
    assert tokens.spell([3, 4, 2]) == "a dog" and tokens.vocabulary == 5
