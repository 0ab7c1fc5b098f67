"""Videos: a file, its bytes or an array made frames, uint8 [F, H, W, 3], with their times; and their audio."""

import io
import math
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from numbers import Real
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from sensorium.data.media import audio
from sensorium.data.media.content import read_content
from sensorium.data.media.image import MOST_ASPECT, MOST_PIXELS

MOST_SECONDS = 600.0
# Pixels of all frames: so many are never too much, and else a byte of a file may stand for so many. Frames that repeat
# the one before take almost no bytes, and as long to decode as others.
_CHEAP_PIXELS, _PIXELS_PER_BYTE = 4e9, 20_000

# Playlists and the like, which make FFmpeg open other files or addresses, are not among these.
_FORMATS = "mov,mp4,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,ogg,gif,asf"
_SLACK = 0.002  # seconds; some containers round times to milliseconds, so a frame may be due a little later than shown
_TRACKS_APART = 0.5  # seconds that the tracks of a video may end apart
_COUNTED = ("mov", "avi")  # their headers count the frames
_TIMED = ("mov", "matroska")  # their headers state the length of the longest track

Fit = Literal["squash", "crop"]


class Video(NamedTuple):
    """`frames`, uint8 [F, H, W, 3], and when each is shown, `seconds`, float32 [F], from the video's beginning."""

    frames: np.ndarray
    seconds: np.ndarray


class _Span(NamedTuple):
    """Where a video begins, in seconds of its own clock, how long it lasts, and how many frames it has."""

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
) -> Video:
    """The frames of `value` that are on the screen at the times of `frame_times(span, rate, frames)`.

    `value` is a path, the bytes of an MP4, MOV, MKV, WebM, AVI, MPEG, FLV, OGG or GIF file, or (frames uint8
    [F, H, W, 3], frames a second). Times are those written in the file, so a variable rate is followed. `rate` is in
    frames a second, the video's own when None. With `size` each frame is scaled while decoding: to a square of that
    many pixels, or, with the fit "crop", until the shorter side has that many; memory then holds only the scaled frames
    that are returned. A video whose file says that it is turned is turned upright; transparency is on white. Raises
    ValueError with a reason when the video cannot be read whole, has no frames, lasts longer than `seconds`, or has
    frames of more than 64 million pixels."""
    value = read_content(value, root)
    if isinstance(value, bytes):
        return _decode_file(value, rate, frames, seconds, _Scale(size, fit))
    pixels, source_rate = _check_array(value)
    span = _Span(0.0, len(pixels) / source_rate, len(pixels))
    _check_length(span.seconds, seconds)
    numbers = [min(int((second + _SLACK) * source_rate), len(pixels) - 1) for second in frame_times(span, rate, frames)]
    scale = _Scale(size, fit)
    scaled = np.stack([scale(av.VideoFrame.from_ndarray(pixels[number], "rgb24")) for number in numbers])
    return Video(scaled, np.array(numbers, np.float32) / np.float32(source_rate))


def measure(value: Any, root: Path) -> dict[str, float]:
    """`height`, `width` in pixels, length in `seconds`, `rate` in frames a second; decodes all. Raises as `decode`."""
    value = read_content(value, root)
    if not isinstance(value, bytes):
        pixels, rate = _check_array(value)
        _check_length(len(pixels) / rate, MOST_SECONDS)
        return {"height": pixels.shape[1], "width": pixels.shape[2], "seconds": len(pixels) / rate, "rate": rate}
    span, height, width, count = _measure_span(value, MOST_SECONDS), 0, 0, 0
    for _, frame in _decode_frames(value, span):
        height, width = (frame.width, frame.height) if _quarter_turns(frame) % 2 else (frame.height, frame.width)
        count += 1
    if not count:
        raise ValueError("it holds no frames")
    return {"height": height, "width": width, "seconds": span.seconds, "rate": count / span.seconds}


def frame_times(span: _Span, rate: float | None, frames: int | None) -> list[float]:
    """The seconds after the video's beginning of the frames to take: `rate` a second, in the middle of each 1 / rate of
    a second; if that gives more than `frames`, that many spread evenly over all of the video instead. Of a video
    shorter than 1 / rate the frame in its middle is taken."""
    count = span.count if rate is None else max(1, round(span.seconds * rate))
    count = min(count, frames or count)
    if rate is None or count < round(span.seconds * rate) or span.seconds * rate < 1:
        rate = count / span.seconds
    return [(number + 0.5) / rate for number in range(count)]


def decode_audio(value: Any, root: Path, **options: Any) -> np.ndarray | None:
    """The audio track of a video as `audio.decode` gives it, float32 [S]; None when the video has none."""
    value = read_content(value, root)
    return audio.decode(value, root, **options) if has_audio(value, root) else None


def measure_audio(value: Any, root: Path) -> dict[str, float] | None:
    """The measures of a video's audio track as `audio.measure` gives them; None when the video has none."""
    value = read_content(value, root)
    return audio.measure(value, root) if has_audio(value, root) else None


def has_audio(value: Any, root: Path) -> bool:
    """Whether a video has an audio track that is not empty. Raises ValueError when it cannot be opened."""
    value = read_content(value, root)
    if not isinstance(value, bytes):
        return False
    with _open_container(value) as container:
        tracks = container.streams.audio
        return bool(tracks) and any(packet.size for packet in container.demux(tracks[0]))


class _Scale:
    """An upright array, uint8 [h, w, 3], of a frame, scaled as `decode` says."""

    def __init__(self, size: int | None, fit: Fit):
        self.size, self.fit = size, fit
        self.converter = VideoReformatter()  # reused, as its tables cost more to make than to use

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        turns = _quarter_turns(frame)
        transparent = any(component.is_alpha for component in frame.format.components) or frame.format.name == "pal8"
        pixel_format = "rgba" if transparent else "rgb24"
        if self.size is not None and self.fit == "crop":
            frame = _cut_thin(frame, pixel_format)
        height, width = frame.height, frame.width
        if self.size is not None:
            scale = self.size / min(height, width)
            cropped = max(self.size, round(height * scale)), max(self.size, round(width * scale))
            height, width = cropped if self.fit == "crop" else (self.size, self.size)
        scaled = self.converter.reformat(frame, width, height, pixel_format, interpolation="BICUBIC")
        pixels = scaled.to_ndarray()
        if transparent:
            alpha = pixels[..., 3:].astype(np.float32) / 255
            pixels = (pixels[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
        return np.ascontiguousarray(np.rot90(pixels, turns))


def _cut_thin(frame: av.VideoFrame, pixel_format: str) -> av.VideoFrame:
    """A frame; of one that is thinner than MOST_ASPECT, the middle, in `pixel_format`."""
    most = MOST_ASPECT * min(frame.height, frame.width)
    if max(frame.height, frame.width) <= most:
        return frame
    top, left = (max(0, side - most) // 2 for side in (frame.height, frame.width))
    pixels = frame.to_ndarray(format=pixel_format)[top : top + most, left : left + most]
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), pixel_format)


def _quarter_turns(frame: av.VideoFrame) -> int:
    """How many quarter turns, against the clock, bring a frame upright."""
    return round(frame.rotation / 90) % 4


def _check_array(value: Any) -> tuple[np.ndarray, float]:
    """The frames, uint8 [F, H, W, 3], and the frames a second of a video in memory. Raises ValueError for others."""
    if not (isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Real)):
        raise ValueError(f"a film is a path, bytes or (frames, frames a second), not {type(value).__name__}")
    pixels, rate = np.asarray(value[0]), float(value[1])
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3 or not rate > 0 or math.isinf(rate):
        shape = f"{pixels.dtype} {list(pixels.shape)}"
        raise ValueError(f"a film as an array is (uint8 [F, H, W, 3], frames a second), not ({shape}, {value[1]})")
    if not pixels.size:
        raise ValueError("it holds no frames")
    _check_pixels(*pixels.shape[1:3])
    return np.ascontiguousarray(pixels), rate


def _decode_file(data: bytes, rate: float | None, frames: int | None, seconds: float, scale: _Scale) -> Video:
    span = _measure_span(data, seconds)
    due_times = frame_times(span, rate, frames)
    images: list[np.ndarray] = []
    times: list[float] = []
    on_screen = None
    with closing(_decode_frames(data, span)) as decoded:
        for second, frame in decoded:
            # The frame on the screen is taken for every time that is due before the next frame is shown.
            while on_screen is not None and len(images) < len(due_times) and second > due_times[len(images)] + _SLACK:
                _append_frame(images, times, on_screen, scale)
            on_screen = second, frame
            if len(images) == len(due_times):
                break
    if on_screen is None:
        raise ValueError("it holds no frames")
    while len(images) < len(due_times):
        _append_frame(images, times, on_screen, scale)
    if len({image.shape for image in images}) > 1:
        raise ValueError("the size of its frames changes on the way")
    return Video(np.stack(images), np.array(times, np.float32))


def _append_frame(
    images: list[np.ndarray], times: list[float], on_screen: tuple[float, av.VideoFrame], scale: _Scale
) -> None:
    """Adds a frame and its time; one that is taken a second time is not scaled again."""
    second, frame = on_screen
    images.append(images[-1] if times and times[-1] == second else scale(frame))
    times.append(second)


def _measure_span(data: bytes, most: float) -> _Span:
    """The span of a video by the times of its packets, without decoding; its header may be wrong."""
    start, end, last, count, discarded = math.inf, -math.inf, -math.inf, 0, 0
    with _open_container(data) as container:
        stream = _video_stream(container)
        for packet in container.demux():
            time = packet.pts if packet.pts is not None else packet.dts
            discarded += packet.is_discard and packet.stream_index == stream.index  # an edit list begins behind them
            if time is None or not packet.size or packet.is_discard:
                continue
            base = float(packet.time_base)
            packet_end = (time + (packet.duration or 0)) * base
            last = max(last, packet_end)
            if packet.stream_index == stream.index:
                start, end, count = min(start, time * base), max(end, packet_end), count + 1
                _check_length(end - start, most)
        if not count:
            raise ValueError("it holds no frames")
        _check_work(count, stream.codec_context, len(data))
        if end <= start:
            end = start + count / float(stream.average_rate or 25)
        span = _Span(start, end - start, count)
        # AVI counts the frames that are not stored, as the one before is shown on: by the rate, up to the last one.
        shown = round(end * float(stream.average_rate or 0)) if container.format.name == "avi" else count + discarded
        _check_whole(container, stream.frames - shown + count, span, last)
    if data.startswith(b"GIF8") and not data.rstrip(b"\0").endswith(b";"):
        raise ValueError("the film is cut short")
    return span


def _check_whole(container: Any, frames: int, span: _Span, last: float) -> None:
    """Raises ValueError for fewer frames than the header counts, or when the video ends before the header says."""
    name = container.format.name
    if name.startswith(_COUNTED) and span.count < frames:
        raise ValueError(f"the film is cut short: {span.count} of {frames} frames")
    if name.startswith(_TIMED) and container.duration:
        # Of a film that begins late, the header states the end by some writers, and the length by others.
        header_end = (container.duration + min(container.start_time or 0, 0)) / av.time_base
        if last < header_end - (_TRACKS_APART if len(container.streams) > 1 else 1.5 * span.seconds / span.count):
            raise ValueError(f"the film is cut short: {last:.2f} of {header_end:.2f} seconds")


def _decode_frames(data: bytes, span: _Span) -> Generator[tuple[float, av.VideoFrame], None, None]:
    """Yields when each frame is shown, in seconds after the video's beginning, and the frame, in that order."""
    with _open_container(data) as container:
        stream = _video_stream(container)
        stream.thread_type = "NONE"
        step, expected = span.seconds / span.count, 0.0
        timed = container.format.name != "avi"  # AVI has only times of decoding; its rate is constant
        for frame in container.decode(stream):
            _check_pixels(frame.height, frame.width)
            if frame.is_corrupt:
                raise ValueError(f"the frame at {expected:.2f} seconds is damaged")
            second = expected if frame.pts is None or not timed else float(frame.pts * frame.time_base) - span.start
            yield second, frame
            expected = second + step


@contextmanager
def _open_container(data: bytes) -> Iterator[Any]:
    try:
        options = {"format_whitelist": _FORMATS}
        with av.open(io.BytesIO(data), options=options, metadata_errors="replace") as container:
            yield container
    except av.FFmpegError as error:
        raise ValueError(f"the file is not a film that can be read ({error.strerror})") from error


def _video_stream(container: Any) -> Any:
    """The first video track. Raises ValueError when there is none, or its frames are too large."""
    if not container.streams.video:
        raise ValueError("it holds no pictures, only sound" if container.streams.audio else "it holds no pictures")
    stream = container.streams.video[0]
    audio.check_codec(stream, "film")
    _check_pixels(stream.codec_context.height, stream.codec_context.width)
    return stream


def _check_pixels(height: int, width: int) -> None:
    if height * width > MOST_PIXELS:
        millions = f"{height * width / 1e6:.0f} million pixels"
        raise ValueError(f"its frames have {millions}, more than the bound of {MOST_PIXELS // 10**6} million")


def _check_work(count: int, frame: Any, size: int) -> None:
    """Raises ValueError when `count` frames cost far more to decode than a film of `size` bytes should."""
    if count * frame.height * frame.width > max(_CHEAP_PIXELS, _PIXELS_PER_BYTE * size):
        raise ValueError(
            f"its {count:,} frames of {frame.width:,} x {frame.height:,} pixels are more than the bound for a file of"
            f" {size:,} bytes; make the frames smaller"
        )


def _check_length(seconds: float, most: float) -> None:
    if seconds > most:
        raise ValueError(f"it is longer than the bound of {most:g} seconds")
