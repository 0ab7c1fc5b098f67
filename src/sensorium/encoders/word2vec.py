"""Word vectors learned from texts, or read from a file, by gensim; a model that has them does not need it."""

import gzip
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sensorium.errors import UserError, needs

LONGEST_LINE = 2**20  # bytes
ADVICE = "give one in word2vec's text or binary format, as gensim's KeyedVectors.save_word2vec_format writes it"


class WordVectors(NamedTuple):
    """Words and the vector of each, float32 [V, D]."""

    words: list[str]
    vectors: np.ndarray


def train(texts: list[list[str]], width: int, window: int, at_least: int, epochs: int, seed: int) -> WordVectors:
    """Skip-gram with negative sampling (Mikolov et al. 2013, arXiv:1310.4546) over `texts`, lists of words.

    width: D. window: how many words to either side count as context. at_least: a word seen less often gets no vector.
    The same texts and seed give the same vectors: one thread, and no hash that differs between processes. Raises
    UserError when gensim is missing or no word is seen often enough."""
    gensim = _gensim()
    with _quiet():
        model = gensim.models.Word2Vec(
            vector_size=width, window=window, min_count=at_least, sg=1, seed=seed, workers=1, hashfxn=_hash
        )
        model.build_vocab(texts)
        if len(model.wv) == 0:
            raise UserError(
                f"No word is seen {at_least} times in the training texts, so there are no word vectors to learn;"
                " lower the encoder's setting 'at_least', or take the encoder 'text', which reads letters."
            )
        model.train(texts, total_examples=len(texts), epochs=epochs)
    return WordVectors(list(model.wv.index_to_key), np.array(model.wv.vectors, dtype=np.float32))


def read(path: Path, most: int) -> WordVectors:
    """The first `most` vectors of a file in word2vec's format, text or binary (GloVe's text has no first line). A
    gensim model or KeyedVectors as `save` writes them is a pickle, and is not opened. Raises UserError when there is no
    such file or it is of another format."""
    if not path.is_file():
        raise UserError(f"There is no file of word vectors {path}; mend the encoder's setting 'model'.")
    binary, header = _format(path)
    gensim = _gensim()
    options = {"binary": binary, "no_header": not header, "limit": most, "unicode_errors": "replace"}
    try:
        with _quiet():
            vectors = gensim.models.KeyedVectors.load_word2vec_format(str(path.absolute()), **options)
    except (OSError, EOFError, ValueError, IndexError, AssertionError, MemoryError) as error:
        reason = (str(error) or "it is cut short").splitlines()[0].rstrip(". ")
        raise UserError(f"The file of word vectors {path} cannot be read ({reason}); {ADVICE}.") from error
    if len(vectors) == 0 or not np.isfinite(vectors.vectors).all():
        raise UserError(f"The file of word vectors {path} holds no words, or numbers that are not finite; {ADVICE}.")
    return WordVectors(list(vectors.index_to_key), np.array(vectors.vectors, dtype=np.float32))


def _format(path: Path) -> tuple[bool, bool]:
    """Whether the file is binary, and whether it begins with the count and the width of its vectors."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            first, second = file.readline(LONGEST_LINE), file.readline(LONGEST_LINE)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"The file of word vectors {path} cannot be read ({error}); {ADVICE}.") from error
    if first[:1] == b"\x80":
        raise UserError(f"The file of word vectors {path} is a pickle, which could run any code; {ADVICE}.")
    header = len(first.split()) == 2 and all(field.isdigit() for field in first.split())
    text = _is_row(second if header else first)
    if not header and not text:
        raise UserError(f"The file of word vectors {path} has another format; {ADVICE}.")
    return not text, header


def _is_row(line: bytes) -> bool:
    """Whether a line is a word and numbers."""
    fields = line.split()[1:]
    try:
        return bool(fields) and all(np.isfinite(float(field)) for field in fields)
    except ValueError:
        return False


def _hash(word: str) -> int:
    return zlib.crc32(word.encode())


def _gensim():
    try:
        import gensim.models
    except ImportError as error:
        raise needs("gensim", "gensim") from error
    return gensim


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses gensim's warnings about small texts and repeated words."""
    logger = logging.getLogger("gensim")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
