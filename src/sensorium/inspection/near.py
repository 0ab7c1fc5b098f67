"""Which of many pictures are nearly the same: hashed (pHash, Zauner 2010), looked up by bands, then compared."""

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

PACKAGES = ("ftfy", "imagehash", "datasketch")  # of the extra `inspect`
_SIDE = 8  # of the thumbnails
_BANDS = 8
_MOST_APART = 10  # bits of 64
_NEIGHBOURS = 400  # in a crowded band each hash is compared with so many of its neighbours
_LEAST_SPREAD = 2.0  # levels of gray
_BRIGHTER, _STRONGER = 50.0, 1.6  # a copy is at most so many levels brighter, and has so much more contrast
_SET_BITS = np.array([byte.bit_count() for byte in range(256)], dtype=np.uint8)


def missing_packages() -> list[str]:
    """Those of the extra `inspect` that are not installed."""
    return [package for package in PACKAGES if find_spec(package) is None]


def has_hashes() -> bool:
    """Whether pictures and sounds can be compared."""
    return "imagehash" not in missing_packages()


def fingerprint(picture: Image.Image) -> tuple[np.uint64, np.ndarray]:
    """A picture's perceptual hash, which needs imagehash (0 without it), and its thumbnail, uint8 [8, 8, 3]. Every
    pixel counts, so that another size makes no difference."""
    small = np.asarray(picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))
    try:
        from imagehash import phash
    except ImportError:
        return np.uint64(0), small
    return np.packbits(phash(picture).hash.ravel()).view(np.uint64)[0], small


def near_pairs(hashes: np.ndarray, thumbnails: np.ndarray, most: float) -> np.ndarray:
    """int64 [pairs, 2]: which of M pictures differ in no patch by more than `most` of their contrast. hashes: uint64
    [M], thumbnails: uint8 [M, 8, 8, 3]. Brightness and contrast may differ."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)  # [M, 192]
    mean, spread = flat.mean(axis=1), np.maximum(flat.std(axis=1), _LEAST_SPREAD)
    flat = (flat - mean[:, None]) / spread[:, None]
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for a, b in candidates(hashes):
        near = np.abs(mean[a] - mean[b]) < _BRIGHTER
        near &= np.abs(np.log(spread[a] / spread[b])) < np.log(_STRONGER)
        a, b = a[near], b[near]
        near = np.abs(flat[a] - flat[b]).max(axis=1, initial=0) <= most
        pairs.append(np.sort(np.stack([a[near], b[near]], axis=1), axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def candidates(hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(i, j), int64 [pairs]: positions whose hashes, uint64 [M], agree in one of eight bytes and nearly in all. Two
    that differ in seven bits or fewer always agree in a byte. The work grows with the size of the largest bucket, but
    is bounded by `_NEIGHBOURS` times M."""
    for band in range(_BANDS):
        byte = (hashes >> np.uint64(8 * band)) & np.uint64(0xFF)
        order = np.lexsort((hashes, byte))
        for shift in range(1, min(_NEIGHBOURS, len(hashes))):
            a, b = order[:-shift], order[shift:]
            same_bucket = byte[a] == byte[b]
            if not same_bucket.any():
                break
            a, b = a[same_bucket], b[same_bucket]
            bits = (hashes[a] ^ hashes[b]).view(np.uint8).reshape(len(a), 8)  # [pairs, 8]
            near = _SET_BITS[bits].sum(axis=1) <= _MOST_APART
            yield a[near], b[near]


def clusters(pairs: np.ndarray, count: int) -> np.ndarray:
    """int64 [count]: the cluster of each position, by the pairs [pairs, 2] that join them."""
    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)
