"""Word vectors: learned alike in every process, read from every form of word2vec's format, unknown words left out."""

import gzip
import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import gensim.models
import numpy as np
import pytest
import torch

from sensorium.encoders import word2vec
from sensorium.encoders.text_processor import TextAugmentation
from sensorium.encoders.word_processor import WordProcessor, words_of
from sensorium.encoders.word_vectors import WordVectors, WordVectorsConfig
from sensorium.errors import UserError
from sensorium.model import Model

TEXTS = ["a good film", "a bad film, and a long one", "The plot is good", "the film is long"] * 5


def build(texts=TEXTS, **options) -> WordVectors:
    torch.manual_seed(0)
    return WordVectors.build(WordVectorsConfig(**{"width": 16} | options), texts, {}).eval()


def batch(encoder: WordVectors, texts: list[str | None]) -> dict[str, torch.Tensor]:
    return encoder.processor.pad([None if text is None else encoder.processor(text) for text in texts])


def vectors(words: list[str], width: int = 5) -> gensim.models.KeyedVectors:
    found = gensim.models.KeyedVectors(width)
    found.add_vectors(words, np.random.default_rng(0).standard_normal((len(words), width)).astype(np.float32))
    return found


def test_learning_in_another_process_gives_the_same_vectors():
    code = (
        "import hashlib, random; from sensorium.encoders import word2vec; random.seed(0);"
        "texts = [random.choices('abcdefghijklmnop', k=8) for _ in range(500)];"
        "found = word2vec.train(texts, 16, 5, 2, 3, seed=1);"
        "digest = hashlib.sha256(repr(found.words).encode() + found.vectors.tobytes()).hexdigest()"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code + "; print(digest)"]
    done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    here: dict = {}
    exec(code, here)
    assert done.stdout.strip() == here["digest"] and done.stderr == ""
    other = word2vec.train(here["texts"], 16, 5, 2, 3, seed=2)
    assert hashlib.sha256(repr(other.words).encode() + other.vectors.tobytes()).hexdigest() != here["digest"]


@pytest.mark.parametrize("form", ["vectors.txt", "vectors.bin", "vectors.txt.gz", "vectors.bin.gz", "glove.txt"])
def test_files_of_every_form_are_read(form, tmp_path):
    words = ["the", "film", "über", "好", "it's"]
    saved, path = vectors(words), tmp_path / form
    saved.save_word2vec_format(str(path), binary=".bin" in form, write_header=not form.startswith("glove"))
    found = word2vec.read(path, 100)
    assert found.words == words
    np.testing.assert_allclose(found.vectors, saved.vectors, rtol=1e-5)
    assert word2vec.read(path, 2).words == words[:2]
    encoder = WordVectors.build(WordVectorsConfig(model=str(path)), [], {})
    assert encoder.pretrained and (encoder.dim, encoder.config.vocabulary) == (5, 5)
    pooled = encoder(batch(encoder, ["The FILM, 好."])).pooled[0]
    np.testing.assert_allclose(pooled.detach(), saved.vectors[[0, 1, 3]].mean(axis=0), rtol=1e-5, atol=1e-6)


class Trap:
    """What runs code when it is unpickled."""

    def __reduce__(self):
        return (open, (os.environ["TRAP"], "w"))


def test_a_pickle_is_never_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAP", str(tmp_path / "ran"))
    (tmp_path / "trap.kv").write_bytes(pickle.dumps(Trap()))
    vectors(["a", "b"]).save(str(tmp_path / "words.kv"))
    for name in ("trap.kv", "words.kv"):
        with pytest.raises(UserError, match="is a pickle.*save_word2vec_format"):
            word2vec.read(tmp_path / name, 10)
    assert not (tmp_path / "ran").exists()


def damaged(path: Path) -> dict[str, bytes]:
    """Files that look like vectors and are not, by name."""
    vectors(["the", "film"]).save_word2vec_format(str(path), binary=True)
    whole = path.read_bytes()
    return {
        "short.bin": whole[:-7],
        "short.txt": b"3 2\na 1 2\nb 3 4\n",
        "ragged.txt": b"2 3\na 1 2 3\nb 3 4\n",
        "prose.txt": b"Once upon a time\nthere was a file\n",
        "empty.txt": b"",
        "nan.txt": b"2 2\na 1 2\nb nan 3\n",
        "short.txt.gz": gzip.compress(b"2 2\na 1 2\nb 3 4\n")[:-12],
        "vast.bin": b"2 99999999999999\n\x00\x01\xff",
    }


def test_files_that_hold_no_vectors_are_sentences(tmp_path):
    for name, content in damaged(tmp_path / "whole.bin").items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"The file of word vectors .*{name}.*word2vec's text or binary format"):
            word2vec.read(tmp_path / name, 10)
    with pytest.raises(UserError, match="There is no file of word vectors"):
        word2vec.read(tmp_path / "nowhere.bin", 10)


def test_gensim_is_needed_to_learn_and_not_to_load_and_predict(tmp_path, monkeypatch):
    encoder = build()
    Model({"review": encoder}).save(tmp_path / "model")
    torch.save(encoder(batch(encoder, TEXTS[:3])).pooled.detach(), tmp_path / "expected.pt")
    code = (
        "import sys, torch; sys.modules['gensim'] = None; import sensorium.model;"
        f"encoder = sensorium.model.load({str(tmp_path / 'model')!r}).encoders['review'];"
        f"pooled = encoder(encoder.processor.pad([encoder.processor(text) for text in {TEXTS[:3]!r}])).pooled;"
        f"assert torch.equal(pooled, torch.load({str(tmp_path / 'expected.pt')!r}, weights_only=True))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    monkeypatch.setitem(sys.modules, "gensim", None)
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(UserError, match=r"pip install 'sensorium\[gensim\]'"):
        build()


@torch.no_grad()
def test_unknown_words_are_left_out_and_a_text_of_them_is_not_absent():
    encoder = build()
    said = encoder(batch(encoder, ["good xyzzy film", "good film", "xyzzy!", "", None]))
    assert torch.equal(said.pooled[0], said.pooled[1])
    assert torch.equal(said.pooled[2], encoder.unknown) and torch.equal(said.pooled[3], encoder.unknown)
    assert said.present.tolist() == [True, True, True, True, False]
    assert said.mask.sum(dim=1).tolist() == [2, 2, 1, 1, 0]


@torch.no_grad()
def test_the_order_of_words_is_not_read():
    encoder = build()
    one, two = encoder(batch(encoder, ["a bad film and a long one", "long a film one and bad a"])).pooled
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_words_are_found_as_they_are_written():
    assert words_of("It's a “good” film -- l’été_ 2024!") == ["It's", "a", "good", "film", "l’été", "2024"]
    assert words_of("今天 weather好") == ["今", "天", "weather", "好"]
    assert words_of("☃ ... '") == []
    processor = WordProcessor(["Apple", "apple", "pear"], 4, None)
    assert processor("Apple APPLE Pear plum apple")["tokens"].tolist() == [1, 2, 3]


def test_augmentation_leaves_words_out_at_its_rate():
    processor = WordProcessor(["a", "b"], 4000, TextAugmentation(rate=0.25))
    torch.manual_seed(0)
    one = processor("a b " * 2000, augment=True)["tokens"]
    assert 0.7 < len(one) / 4000 < 0.8
    torch.manual_seed(0)
    assert torch.equal(processor("a b " * 2000, augment=True)["tokens"], one)
    assert 0 in torch.cat([processor("a", augment=True)["tokens"] for _ in range(50)])


def test_texts_without_a_repeated_word_are_a_sentence():
    with pytest.raises(UserError, match="No word is seen 2 times"):
        build(["one", "two", "☃"])
    with pytest.raises(UserError, match="vocabulary"):
        WordVectors(WordVectorsConfig())


def test_only_tuned_vectors_are_weights():
    assert [name for name, _ in build().named_parameters()] == ["unknown"]
    assert {name for name, _ in build(tune=True).named_parameters()} == {"unknown", "vectors"}
    assert not build().pretrained and build(words=3).config.vocabulary == 3
