"""A recording of any length, read a piece at a time, so that memory does not grow with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np

from sensorium.data.media import audio
from sensorium.data.media.content import read_content

PIECE = 1.0  # seconds that are handed on at a time, at least


def read_recording(value: Any, root: Path, rate: int) -> Iterator[np.ndarray]:
    """Pieces of `value`, float32 [channels, S] at `rate` hertz. `value` is what `audio.decode` takes, however long.

    Raises ValueError with a reason when it cannot be read whole, or is empty.
    """
    content = _open(value, root)
    if isinstance(content, tuple):
        samples = np.atleast_2d(content[0])
        if not samples.size:
            raise ValueError(audio.SILENT)
        channels = samples if samples.shape[0] <= samples.shape[1] else samples.T
        yield np.stack([audio.decode((channel, content[1]), root, rate, np.inf) for channel in channels])
        return
    pending: list[np.ndarray] = []
    count = 0
    for piece in _decoded(content, rate):
        if not np.isfinite(piece).all():
            raise ValueError("it has samples that are not finite numbers")
        pending.append(piece.clip(-1.0, 1.0))
        count += piece.shape[1]
        if sum(block.shape[1] for block in pending) >= PIECE * rate:
            yield np.concatenate(pending, axis=1)
            pending = []
    if pending:
        yield np.concatenate(pending, axis=1)
    if not count:
        raise ValueError(audio.SILENT)


def length(value: Any, root: Path) -> float:
    """Its seconds, as its header says; 0 where that does not say, or cannot be read, and of None."""
    if value is None:
        return 0.0
    try:
        content = _open(value, root)
        if isinstance(content, tuple):
            return max(np.shape(content[0])) / content[1]
        with _track(content) as (container, _):
            return (container.duration or 0) / av.time_base
    except (ValueError, OSError):
        return 0.0


def _open(value: Any, root: Path) -> Any:
    """The path of a file as it is, for it to be read as it is needed; bytes, or samples and their rate, of anything
    else. Raises ValueError with a reason when it is no sound.
    """
    path = Path(root) / value if isinstance(value, str | Path) and "\0" not in str(value) else None
    try:
        if path is not None and path.is_file() and path.stat().st_size:
            return path
    except OSError:  # as of a name that is too long, such as that of base64
        pass
    content = read_content(value, root)
    return content if isinstance(content, bytes) else audio.check_array(content)


@contextmanager
def _track(content: Path | bytes) -> Iterator[tuple[Any, Any]]:
    """See `audio.sound_track`."""
    with BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        audio.check_chunks(file, len(content) if isinstance(content, bytes) else content.stat().st_size)
        with audio.sound_track(file) as opened:
            yield opened


def _decoded(content: Path | bytes, rate: int) -> Iterator[np.ndarray]:
    """What FFmpeg decodes, float32 [channels, S] at `rate` hertz."""
    try:
        with _track(content) as (container, track):
            resampler, seconds = av.AudioResampler(format="fltp", rate=rate), 0.0
            for frame in container.decode(track):
                seconds += frame.samples / frame.sample_rate
                frame.pts = None  # gaps in its times are no silence
                yield from (resampled.to_ndarray() for resampled in resampler.resample(frame))
            yield from (resampled.to_ndarray() for resampled in resampler.resample(None))
            audio.check_whole(container.format.name, track, seconds)
    except OSError as error:
        raise ValueError(f"the file cannot be read ({error.strerror or error})") from error
