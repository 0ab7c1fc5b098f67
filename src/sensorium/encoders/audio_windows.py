"""Long clips in several windows: cut by the processor, each encoded by itself, then put together in time."""

from collections.abc import Callable

from torch import Tensor

from sensorium.encoders.pooling import as_features
from sensorium.features import Features
from sensorium.nn.packing import Packing


def split_windows(samples: Tensor, length: int, most: int) -> list[Tensor]:
    """float [S] -> windows of `length` samples, evenly from the clip's beginning to its end: as many as cover it, but
    at most `most`, two or more; a clip no longer than that is one window as it is."""
    if len(samples) <= length:
        return [samples]
    count, last = min(most, -(-len(samples) // length)), len(samples) - length
    return [samples[start : start + length] for start in (round(last * i / (count - 1)) for i in range(count))]


def encode_windows(
    encode: Callable[[Tensor, Tensor], Features], inputs: dict[str, Tensor], frames: int | None, summary_only: bool
) -> Features:
    """Features of clips [B, L, M], mask bool [B, L], in which windows of `frames` frames follow each other. `encode`
    reads (spectrogram [b, frames, M], mask [b, frames]) of the real windows. Tokens follow each other in time, pooled
    is the mean over the windows of a clip. A batch no longer than one window is encoded as it is."""
    spectrogram, mask = inputs["spectrogram"], inputs["mask"]
    if frames is None or mask.shape[1] <= frames:
        return encode(spectrogram, mask)
    # Only the real windows are encoded.
    windows, window_mask = (tensor.unflatten(1, (-1, frames)) for tensor in (spectrogram, mask))  # [B, N, frames, ...]
    real = window_mask.any(dim=2)  # [B, N]
    packing = Packing.of(real)
    encoded = encode(packing.pack(windows), packing.pack(window_mask))
    # Back to the clips: tokens end to end, the mean of the summaries.
    tokens, token_mask, pooled = (packing.pad(tensor) for tensor in encoded)  # [B, N, T, D], ...
    count = real.sum(dim=1, keepdim=True).clamp(min=1)  # [B, 1]
    return as_features(tokens.flatten(1, 2), token_mask.flatten(1, 2), pooled.sum(dim=1) / count, summary_only)
