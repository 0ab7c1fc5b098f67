"""Films: a file, its bytes or an array made frames, uint8 [F, H, W, 3], with their times; and the sound beside them."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from sensorium.data.media import audio
from sensorium.data.media.content import opened
from sensorium.data.media.image import MOST_PIXELS

MOST_SECONDS = 600.0

# Playlists and the like, which make FFmpeg open other files or addresses, are not among these.
_FORMATS = "mov,mp4,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,ogg,gif"
_SLACK = 0.002  # some containers round times to milliseconds, so a frame due now may be written as due a moment later
_CUT = 0.5  # seconds that the tracks of a film may end apart
_COUNTED = ("mov", "avi")  # their headers count the frames
_TIMED = ("mov", "matroska")  # their headers state the length, the longest track's

Fit = Literal["squash", "crop"]


class Film(NamedTuple):
    """`frames`, uint8 [F, H, W, 3], and when each is shown, `seconds`, float32 [F], from the film's beginning."""

    frames: np.ndarray
    seconds: np.ndarray


class _Span(NamedTuple):
    """Where a film begins, in seconds of its own clock, how long it lasts, and how many frames it has."""

    start: float
    seconds: float
    count: int


def decode(
    value: Any,
    root: Path,
    rate: float | None = None,
    frames: int | None = None,
    size: int | None = None,
    fit: Fit = "squash",
    seconds: float = MOST_SECONDS,
) -> Film:
    """The frames of `value` that are on the screen at the moments of `moments(length, rate, frames)`.

    `value` is a path, the bytes of an MP4, MOV, MKV, WebM, AVI, MPEG, FLV, OGG or GIF file, or (frames uint8
    [F, H, W, 3], frames a second). Times are those written in the file, so a variable rate is followed. `rate` is in
    frames a second, the film's own when None. With `size` each frame is scaled while decoding: to a square of that many
    pixels, or, with the fit "crop", until the shorter side has that many; memory then holds no more than what is asked
    for. A film that is to be shown turned is turned; transparency is on white. Raises ValueError with a reason when the
    film cannot be read whole, has no frames, lasts longer than `seconds`, or has frames of more than 64 million pixels.
    """
    value = opened(value, root)
    if isinstance(value, bytes):
        return _decode_file(value, rate, frames, seconds, _Scale(size, fit))
    pixels, own = _array(value)
    span = _Span(0.0, len(pixels) / own, len(pixels))
    _check_length(span.seconds, seconds)
    index = [min(int((second + _SLACK) * own), len(pixels) - 1) for second in moments(span, rate, frames)]
    scale = _Scale(size, fit)
    shown = np.stack([scale(av.VideoFrame.from_ndarray(pixels[one], "rgb24")) for one in index])
    return Film(shown, np.array(index, np.float32) / np.float32(own))


def measure(value: Any, root: Path) -> dict[str, float]:
    """`height`, `width` in pixels, length in `seconds`, own `rate` in frames a second; decodes all and raises so."""
    value = opened(value, root)
    if not isinstance(value, bytes):
        pixels, own = _array(value)
        _check_length(len(pixels) / own, MOST_SECONDS)
        return {"height": pixels.shape[1], "width": pixels.shape[2], "seconds": len(pixels) / own, "rate": own}
    span, height, width, count = _span(value, MOST_SECONDS), 0, 0, 0
    for _, frame in _shown(value, span):
        height, width = (frame.width, frame.height) if _turns(frame) % 2 else (frame.height, frame.width)
        count += 1
    if not count:
        raise ValueError("it holds no frames")
    return {"height": height, "width": width, "seconds": span.seconds, "rate": count / span.seconds}


def moments(span: _Span, rate: float | None, frames: int | None) -> list[float]:
    """The seconds after the film's beginning at which it is looked at: `rate` times a second, in the middle of each
    1 / rate of a second; if that gives more than `frames`, so many spread evenly over the whole film instead. A film
    shorter than 1 / rate is looked at in its middle.
    """
    count = span.count if rate is None else max(1, round(span.seconds * rate))
    count = min(count, frames or count)
    if rate is None or count < round(span.seconds * rate) or span.seconds * rate < 1:
        rate = count / span.seconds
    return [(place + 0.5) / rate for place in range(count)]


def decode_sound(value: Any, root: Path, **options: Any) -> np.ndarray | None:
    """The sound track of a film as `audio.decode` gives it, float32 [S]; None when the film has none."""
    value = opened(value, root)
    return audio.decode(value, root, **options) if has_sound(value, root) else None


def measure_sound(value: Any, root: Path) -> dict[str, float] | None:
    """The measures of a film's sound track as `audio.measure` gives them; None when the film has none."""
    value = opened(value, root)
    return audio.measure(value, root) if has_sound(value, root) else None


def has_sound(value: Any, root: Path) -> bool:
    """Whether a film has a sound track with something in it. Raises ValueError when it cannot be opened."""
    value = opened(value, root)
    if not isinstance(value, bytes):
        return False
    with _container(value) as container:
        tracks = container.streams.audio
        return bool(tracks) and any(packet.size for packet in container.demux(tracks[0]))


class _Scale:
    """An upright array, uint8 [h, w, 3], of a frame, scaled as `decode` says."""

    def __init__(self, size: int | None, fit: Fit):
        self.size, self.fit = size, fit
        self.convert = VideoReformatter()  # it keeps its tables from frame to frame, which cost more than their use

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        height, width = frame.height, frame.width
        if self.size is not None:
            scale = self.size / min(height, width)
            cropped = max(self.size, round(height * scale)), max(self.size, round(width * scale))
            height, width = cropped if self.fit == "crop" else (self.size, self.size)
        clear = any(component.is_alpha for component in frame.format.components) or frame.format.name == "pal8"
        kind = "rgba" if clear else "rgb24"
        small = self.convert.reformat(frame, width, height, kind, interpolation="BICUBIC")
        pixels = small.to_ndarray()
        if clear:
            alpha = pixels[..., 3:].astype(np.float32) / 255
            pixels = (pixels[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
        return np.ascontiguousarray(np.rot90(pixels, _turns(frame)))


def _turns(frame: av.VideoFrame) -> int:
    """How many quarter turns, against the clock, bring a frame upright."""
    return round(frame.rotation / 90) % 4


def _array(value: Any) -> tuple[np.ndarray, float]:
    """The frames and frames a second of a film in memory."""
    if not (isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Real)):
        raise ValueError(f"a film is a path, bytes or (frames, frames a second), not {type(value).__name__}")
    pixels, own = np.asarray(value[0]), float(value[1])
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3 or not own > 0 or math.isinf(own):
        shape = f"{pixels.dtype} {list(pixels.shape)}"
        raise ValueError(f"a film as an array is (uint8 [F, H, W, 3], frames a second), not ({shape}, {value[1]})")
    if not pixels.size:
        raise ValueError("it holds no frames")
    _check_pixels(*pixels.shape[1:3])
    return np.ascontiguousarray(pixels), own


def _decode_file(data: bytes, rate: float | None, frames: int | None, seconds: float, scale: _Scale) -> Film:
    span = _span(data, seconds)
    wanted = moments(span, rate, frames)
    found: list[np.ndarray] = []
    times: list[float] = []
    shown = None
    with _closing(_shown(data, span)) as film:
        for second, frame in film:
            while shown is not None and len(found) < len(wanted) and second > wanted[len(found)] + _SLACK:
                _keep(found, times, shown, scale)
            shown = second, frame
            if len(found) == len(wanted):
                break
    if shown is None:
        raise ValueError("it holds no frames")
    while len(found) < len(wanted):
        _keep(found, times, shown, scale)
    if len({one.shape for one in found}) > 1:
        raise ValueError("the size of its frames changes on the way")
    return Film(np.stack(found), np.array(times, np.float32))


def _keep(found: list[np.ndarray], times: list[float], shown: tuple[float, av.VideoFrame], scale: _Scale) -> None:
    second, frame = shown
    found.append(found[-1] if times and times[-1] == second else scale(frame))
    times.append(second)


@contextmanager
def _closing(film: Iterator[Any]) -> Iterator[Any]:
    try:
        yield film
    finally:
        film.close()


def _span(data: bytes, most: float) -> _Span:
    """The span of a film by the times of its packets, without decoding; a header may say what it likes."""
    start, end, last, count = math.inf, -math.inf, -math.inf, 0
    with _container(data) as container:
        pictures = _pictures(container)
        for packet in container.demux():
            time = packet.pts if packet.pts is not None else packet.dts
            if time is None or not packet.size or packet.is_discard:
                continue
            base = float(packet.time_base)
            last = max(last, (time + (packet.duration or 0)) * base)
            if packet.stream_index == pictures.index:
                start, end, count = min(start, time * base), max(end, (time + (packet.duration or 0)) * base), count + 1
                _check_length(end - start, most)
        if not count:
            raise ValueError("it holds no frames")
        if end <= start:
            end = start + count / float(pictures.average_rate or 25)
        span = _Span(start, end - start, count)
        _check_whole(container, pictures.frames, span, last)
    if data.startswith(b"GIF8") and not data.rstrip(b"\0").endswith(b";"):
        raise ValueError("the film is cut short")
    return span


def _check_whole(container: Any, frames: int, span: _Span, last: float) -> None:
    """Complains of fewer frames than a header counts, or of an end before the one that it states."""
    name = container.format.name
    if name.startswith(_COUNTED) and span.count < frames:
        raise ValueError(f"the film is cut short: {span.count} of {frames} frames")
    if name.startswith(_TIMED) and container.duration:
        stated = (container.duration + (container.start_time or 0)) / av.time_base
        if last < stated - (_CUT if len(container.streams) > 1 else 1.5 * span.seconds / span.count):
            raise ValueError(f"the film is cut short: {last:.2f} of {stated:.2f} seconds")


def _shown(data: bytes, span: _Span) -> Iterator[tuple[float, av.VideoFrame]]:
    """Each frame, in the order of showing, and when it comes: seconds after the film's beginning."""
    with _container(data) as container:
        pictures = _pictures(container)
        pictures.thread_type = "NONE"
        step, expected = span.seconds / span.count, 0.0
        timed = container.format.name != "avi"  # AVI has times of decoding alone; its rate is constant
        for frame in container.decode(pictures):
            _check_pixels(frame.height, frame.width)
            if frame.is_corrupt:
                raise ValueError(f"the frame at {expected:.2f} seconds is damaged")
            second = expected if frame.pts is None or not timed else float(frame.pts * frame.time_base) - span.start
            yield second, frame
            expected = second + step


@contextmanager
def _container(data: bytes) -> Iterator[Any]:
    try:
        with av.open(io.BytesIO(data), options={"format_whitelist": _FORMATS}) as container:
            yield container
    except av.FFmpegError as error:
        raise ValueError(f"the file is not a film that can be read ({error.strerror})") from error


def _pictures(container: Any) -> Any:
    if not container.streams.video:
        raise ValueError("it holds no pictures, only sound" if container.streams.audio else "it holds no pictures")
    pictures = container.streams.video[0]
    _check_pixels(pictures.codec_context.height, pictures.codec_context.width)
    return pictures


def _check_pixels(height: int, width: int) -> None:
    if height * width > MOST_PIXELS:
        millions = f"{height * width / 1e6:.0f} million pixels"
        raise ValueError(f"its frames have {millions}, more than the bound of {MOST_PIXELS // 10**6} million")


def _check_length(seconds: float, most: float) -> None:
    if seconds > most:
        raise ValueError(f"it is longer than the bound of {most:g} seconds")
