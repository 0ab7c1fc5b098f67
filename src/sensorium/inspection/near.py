"""Which of many small pictures are nearly the same: hashed, looked up by bands, then compared."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import fft
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 32  # of the small picture [SIDE, SIDE, channels] that is kept of each
_BITS = 8  # hash: the _BITS x _BITS lowest frequencies
_MARGIN = 0.1
_BANDS = 8
_MOST_APART = 10  # bits of 64
_NEIGHBOURS = 400  # in a crowded band each is compared with so many of its neighbours
_LEAST_SPREAD = 2.0  # levels of gray
_BRIGHTER, _STRONGER, _SAME_SHAPE = 50.0, 1.6, 0.85  # a copy is at most so many levels brighter, so much stronger


def hashes(small: np.ndarray) -> np.ndarray:
    """uint64 [M] of small pictures, uint8 [M, SIDE, SIDE, C]: the signs of their lowest frequencies.

    After pHash (Zauner 2010).
    """
    found = np.zeros(len(small), dtype=np.uint64)
    weights = np.uint64(1) << np.arange(_BITS * _BITS, dtype=np.uint64)
    for start in range(0, len(small), 4096):
        gray = small[start : start + 4096].astype(np.float32).mean(axis=3)  # [m, SIDE, SIDE]
        low = fft.dctn(gray, axes=(1, 2), norm="ortho")[:, 1 : _BITS + 1, :_BITS].reshape(len(gray), -1)  # [m, 64]
        # Above a margin, not above zero: in a symmetrical picture half of the frequencies are nothing but noise.
        bits = low > _MARGIN * low.std(axis=1, keepdims=True)
        found[start : start + 4096] = (bits * weights).sum(axis=1, dtype=np.uint64)
    return found


def candidates(found: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(i, j), int64 [pairs]: positions whose hashes, uint64 [M], agree in one of eight bytes and nearly in all.

    Two that differ in seven bits or fewer always agree in a byte. The work grows with the size of the largest bucket,
    but is bounded by `_NEIGHBOURS` times M.
    """
    for band in range(_BANDS):
        part = (found >> np.uint64(8 * band)) & np.uint64(0xFF)
        order = np.lexsort((found, part))
        for shift in range(1, min(_NEIGHBOURS, len(found))):
            one, two = order[:-shift], order[shift:]
            together = part[one] == part[two]
            if not together.any():
                break
            one, two = one[together], two[together]
            near = _apart(found[one], found[two]) <= _MOST_APART
            yield one[near], two[near]


_SET_BITS = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


def _apart(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """uint8 [pairs]: in how many bits two hashes differ."""
    return _SET_BITS[(one ^ two).view(np.uint8).reshape(len(one), 8)].sum(axis=1)


def near_pairs(small: np.ndarray, most: float) -> np.ndarray:
    """int64 [pairs, 2]: which small pictures, uint8 [M, SIDE, SIDE, C], differ by at most `most` of their contrast.

    Brightness and contrast may differ; the largest difference left in any patch of 4 x 4 counts.
    """
    if len(small) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    looks = describe(small)
    kept = [np.zeros((0, 2), dtype=np.int64)]
    for one, two in candidates(hashes(small)):
        close = np.abs(looks.coarse[one] - looks.coarse[two]).max(axis=1, initial=0) <= most
        one, two = one[close], two[close]
        near = _difference(looks, one, two) <= most
        kept.append(np.sort(np.stack([one[near], two[near]], axis=1), axis=1))
    return np.unique(np.concatenate(kept), axis=0)


class Looks(NamedTuple):
    """What is compared of M small pictures at equal brightness and contrast, and these two, float32 [M].

    fine: [M, 64 C], the means of 8 x 8 patches; coarse: [M, 16], of 4 x 4 patches and all channels.
    shape: [M, 64 C], `fine` without the mean of each channel, of unit length.
    """

    fine: np.ndarray
    coarse: np.ndarray
    shape: np.ndarray
    mean: np.ndarray
    spread: np.ndarray


def describe(small: np.ndarray) -> Looks:
    """The looks of small pictures, uint8 [M, SIDE, SIDE, C]."""
    parts = [_looks(small[start : start + 4096].astype(np.float32)) for start in range(0, len(small), 4096)]
    return Looks(*(np.concatenate(one) for one in zip(*parts, strict=True)))


def _looks(whole: np.ndarray) -> Looks:
    count = len(whole)
    flat = whole.reshape(count, -1)  # [m, SIDE * SIDE * C]
    mean, spread = flat.mean(axis=1), np.maximum(flat.std(axis=1), _LEAST_SPREAD)
    patches = whole.reshape(count, 8, SIDE // 8, 8, SIDE // 8, -1).mean(axis=(2, 4))  # [m, 8, 8, C]
    patches = (patches - mean[:, None, None, None]) / spread[:, None, None, None]
    coarse = patches.reshape(count, 4, 2, 4, 2, -1).mean(axis=(2, 4, 5)).reshape(count, -1)  # [m, 16]
    shape = (patches - patches.mean(axis=(1, 2), keepdims=True)).reshape(count, -1)  # [m, 64 * C]
    shape /= np.maximum(np.sqrt((shape**2).sum(axis=1, keepdims=True)), 1e-6)
    return Looks(patches.reshape(count, -1), coarse, shape, mean, spread)


def _difference(looks: Looks, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """float [pairs]: the largest difference in a patch of two pictures, int64 [pairs], of the contrast, which is 1.

    Infinite where brightness or contrast are too far apart for a copy, or the shapes differ: two different pictures of
    about one colour are not alike for that.
    """
    agree = np.abs(looks.mean[one] - looks.mean[two]) < _BRIGHTER
    agree &= np.abs(np.log(looks.spread[one] / looks.spread[two])) < np.log(_STRONGER)
    found = np.full(len(one), np.inf)
    one, two = one[agree], two[agree]
    same = (looks.shape[one] * looks.shape[two]).sum(axis=1) > _SAME_SHAPE
    apart = np.abs(looks.fine[one] - looks.fine[two]).max(axis=1, initial=0)
    found[agree] = np.where(same, apart, np.inf)
    return found


def clusters(pairs: np.ndarray, count: int) -> np.ndarray:
    """int64 [count]: the cluster of each position, by the pairs [pairs, 2] that join them."""
    joined = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(joined, directed=False)[1].astype(np.int64)
