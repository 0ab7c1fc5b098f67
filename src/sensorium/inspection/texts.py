"""Which of many texts are nearly the same: the same words, or most of the same letters in a row (MinHash)."""

import re
import unicodedata

import numpy as np

_SHINGLE = 4  # letters
_BANDS, _ROWS = 20, 3
_LEAST_LETTERS = 12  # of a text that can be nearly another
_BUCKET = 20  # in a crowded bucket each text is compared with so many of its neighbours
_CHANCE = 0.15
_PRIME = np.uint64((1 << 31) - 1)


def normal(text: str) -> str:
    """The words of a text in small letters, without marks and accents of spelling."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", plain)) or plain.strip()


def near_pairs(texts: list[str], least: float) -> np.ndarray:
    """int64 [pairs, 2]: different normal texts whose shingles of letters overlap by at least `least`.

    Overlap is Jaccard's index, found by MinHash (Broder 1997) over bands of signatures, then counted.
    """
    long = [place for place, text in enumerate(texts) if len(text) >= _LEAST_LETTERS]
    if len(long) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    sets = [_shingles(texts[place]) for place in long]
    signatures = _signatures(sets)
    pairs = _looked_up(signatures)
    # The share of equal entries is Jaccard's index but for chance, and far quicker to count.
    agreed = [
        (signatures[some[:, 0]] == signatures[some[:, 1]]).mean(axis=1)
        for some in np.array_split(pairs, len(pairs) // 100_000 + 1)
    ]
    pairs = pairs[np.concatenate(agreed) >= least - _CHANCE]
    overlap = np.array([_jaccard(sets[one], sets[two]) for one, two in pairs])
    keep = overlap >= least if len(pairs) else np.zeros(0, dtype=bool)
    return np.array(long, dtype=np.int64)[pairs[keep]].reshape(-1, 2)


def _shingles(text: str) -> np.ndarray:
    """uint64 [n], sorted: a hash of every four letters in a row."""
    letters = np.frombuffer(f" {text} ".encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    rolled = np.zeros(len(letters) - _SHINGLE + 1, dtype=np.uint64)
    for step in range(_SHINGLE):
        rolled = rolled * np.uint64(1_000_003) + letters[step : len(letters) - _SHINGLE + 1 + step]
    rolled ^= rolled >> np.uint64(29)
    return np.unique((rolled * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(33))


def _signatures(sets: list[np.ndarray]) -> np.ndarray:
    """uint64 [texts, _BANDS * _ROWS]: the least of each of several permutations of every set."""
    chance = np.random.default_rng(0)
    factors, offsets = (chance.integers(1, int(_PRIME), _BANDS * _ROWS, dtype=np.uint64) for _ in range(2))
    signatures = np.empty((len(sets), _BANDS * _ROWS), dtype=np.uint64)
    for start in range(0, len(sets), 2000):
        some = sets[start : start + 2000]
        flat, starts = np.concatenate(some), np.cumsum([0, *(len(one) for one in some[:-1])])
        for place, (factor, offset) in enumerate(zip(factors, offsets, strict=True)):
            signatures[start : start + len(some), place] = np.minimum.reduceat(
                (flat * factor + offset) % _PRIME, starts
            )
    return signatures


def _looked_up(signatures: np.ndarray) -> np.ndarray:
    """int64 [pairs, 2], the first less than the second: texts that agree in a whole band."""
    found = [np.zeros((0, 2), dtype=np.int64)]
    for band in range(_BANDS):
        code = np.zeros(len(signatures), dtype=np.uint64)
        for place in range(band * _ROWS, (band + 1) * _ROWS):
            code = code * np.uint64(0x9E3779B97F4A7C15) + signatures[:, place]
        order = np.argsort(code, kind="stable")
        for shift in range(1, min(_BUCKET, len(order))):
            one, two = order[:-shift], order[shift:]
            same = code[one] == code[two]
            if not same.any():
                break
            found.append(np.sort(np.stack([one[same], two[same]], axis=1), axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _jaccard(one: np.ndarray, two: np.ndarray) -> float:
    both = len(np.intersect1d(one, two, assume_unique=True))
    return both / (len(one) + len(two) - both)
