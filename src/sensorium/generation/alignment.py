"""When the tokens of a text are said: the path of dynamic time warping through a decoder's attention to a sound."""

import numpy as np
from torch import Tensor
from torch.nn import functional as F

MEDIAN = 7  # frames over which attention is smoothed


def token_frames(attention: Tensor) -> np.ndarray:
    """float32 [A, L, S], the attention of A heads from L tokens to S frames -> int64 [L], the frame at which each
    begins. Each head's attention to a frame is normalised over the tokens, then smoothed along the frames.
    """
    deviation, mean = attention.std(dim=1, keepdim=True, correction=0), attention.mean(dim=1, keepdim=True)
    smoothed = (attention - mean) / deviation.clamp(min=1e-8)
    side = MEDIAN // 2
    if smoothed.shape[2] > side:
        padded = F.pad(smoothed, (side, side), mode="reflect")
        smoothed = padded.unfold(2, MEDIAN, 1).sort(dim=3).values[..., side]
    return warp(-smoothed.mean(dim=0).double().cpu().numpy())


def warp(cost: np.ndarray) -> np.ndarray:
    """float64 [L, S] -> int64 [L], the first column of each row on the cheapest path from the first corner to the last
    that goes on by a row, a column, or both (Sakoe and Chiba 1978).
    """
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    step = np.zeros((rows + 1, columns + 1), dtype=np.int8)
    # Cells of one diagonal depend on the two before it alone.
    for diagonal in range(2, rows + columns + 1):
        row = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        column = diagonal - row
        before = np.stack([total[row - 1, column - 1], total[row - 1, column], total[row, column - 1]])
        both, down, right = before
        step[row, column] = np.where((both < down) & (both < right), 0, np.where((down < both) & (down < right), 1, 2))
        total[row, column] = cost[row - 1, column - 1] + before[step[row, column], np.arange(len(row))]
    first = np.zeros(rows, dtype=np.int64)
    row, column = rows, columns
    while row > 0 and column > 0:
        first[row - 1] = column - 1
        direction = step[row, column]
        row, column = row - (direction != 2), column - (direction != 1)
    return first
