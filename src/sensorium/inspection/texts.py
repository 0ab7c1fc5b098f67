"""Which of many texts are nearly the same: most of their letters in a row, by MinHash (Broder 1997)."""

import re
import unicodedata
from zlib import crc32

import numpy as np

_SHINGLE = 4  # letters
_LEAST_LETTERS = 12  # of a text that can be nearly another
_MARGIN = 0.15  # candidates overlap by so much less than is asked for, so that few are missed
_PERMUTATIONS = 64
_MOST_CANDIDATES = 10  # of a text, on average: where all are that alike, likeness says nothing


def normalise(text: str) -> str:
    """The words of a text in small letters, without marks and accents of spelling."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", plain)) or plain.strip()


def near_pairs(texts: list[str], least: float) -> np.ndarray:
    """int64 [pairs, 2]: different normalised texts whose shingles of letters overlap by at least `least`. Overlap is
    Jaccard's index. None without datasketch, or where nearly all texts are alike."""
    none = np.zeros((0, 2), dtype=np.int64)
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError:
        return none
    long = [position for position, text in enumerate(texts) if len(text) >= _LEAST_LETTERS]
    shingles = (_shingles(texts[position]) for position in long)
    signatures = MinHash.generator(shingles, num_perm=_PERMUTATIONS, hashfunc=crc32)
    index = MinHashLSH(threshold=least - _MARGIN, num_perm=_PERMUTATIONS)
    pairs, compared = [], 0
    for position, signature in zip(long, signatures, strict=True):
        candidates = index.query(signature)
        compared += len(candidates)
        if compared > _MOST_CANDIDATES * len(long):
            return none
        pairs += [(earlier, position) for earlier in candidates if _overlap(texts[earlier], texts[position]) >= least]
        index.insert(position, signature)
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def _shingles(text: str) -> set[bytes]:
    """Every four letters in a row."""
    padded = f" {text} "
    return {padded[start : start + _SHINGLE].encode() for start in range(len(padded) - _SHINGLE + 1)}


def _overlap(a: str, b: str) -> float:
    first, second = _shingles(a), _shingles(b)
    return len(first & second) / len(first | second)
