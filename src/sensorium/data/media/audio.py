"""Audio: a file, its bytes, or samples made float32 [S], one channel at the rate asked for."""

import io
import math
import struct
import wave
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import av
import numpy as np

from sensorium.data.media.content import read_content

MOST_SECONDS = 600.0
TOO_LOUD = 1.5  # times full scale; lossy formats reach a little more than 1

# Playlists and the like, which make FFmpeg open other files or addresses, are not among these.
_FORMATS = "wav,w64,flac,mp3,ogg,aac,mov,mp4,matroska,webm,asf,avi,mpeg,mpegts,flv,aiff,au,caf"
_BLOCK = 2**16
SILENT = "it holds no sound"
# Formats whose headers count their samples; those of all other formats only estimate them.
_COUNTED = ("wav", "w64", "flac", "aiff", "au", "caf", "mov,mp4,m4a,3gp,3g2,mj2")
_PADDING = 0.25  # seconds that a lossy or blockwise encoder may put in front or behind
# Formats made of chunks: the offset of the first chunk, the layout of a chunk's header, the chunk with the samples.
_CHUNKS = {b"RIFF": (12, "<4sI", b"data"), b"FORM": (12, ">4sI", b"SSND"), b"caff": (8, ">4sQ", b"data")}
_UNKNOWN = 2**31 - 2**16  # a chunk of this size or more was written before its size was known


class Block(NamedTuple):
    """A stretch of audio: `samples`, float32 [S], the mean of its channels, at `rate` hertz."""

    samples: np.ndarray
    rate: int


def decode(value: Any, root: Path, rate: int, seconds: float = MOST_SECONDS) -> np.ndarray:
    """`value` as float32 [S]: the mean of its channels, at `rate` hertz, in [-1, 1].

    `value` is a path, the bytes of an audio file (WAV, AIFF, AU, CAF, FLAC, MP3, OGG, AAC, M4A, WMA) or of a video
    (MP4, MOV, MKV, WebM, AVI, MPEG), whose first audio track is read, or (samples, rate in hertz) with samples [S],
    [S, C] or [C, S] (the shorter axis is the channels), floats or integers of full scale. Raises ValueError with a
    reason when it cannot be read whole, is empty, or lasts longer than `seconds`, which are counted while decoding and
    not taken from a header."""
    blocks = _check_blocks(_blocks(read_content(value, root)), seconds)
    return np.clip(_resample(blocks, rate), -1.0, 1.0)


def measure(value: Any, root: Path) -> dict[str, float]:
    """The `rate` in hertz, the length in `seconds` and the `peak` of all of `value`, decoded: the largest magnitude, in
    units of full scale, beyond which `decode` cuts off. Raises as `decode` does."""
    return measure_and_decode(value, root, 1, 0.0)[0]


def measure_and_decode(value: Any, root: Path, rate: int, seconds: float) -> tuple[dict[str, float], np.ndarray]:
    """What `measure` gives, and the first `seconds` at `rate` hertz, as `decode` gives them."""
    beginning, count, source_rate, peak = [], 0, rate, 0.0
    for block in _check_blocks(_blocks(read_content(value, root)), MOST_SECONDS):
        source_rate = block.rate
        missing = max(0, math.ceil(seconds * source_rate) - count)
        beginning += [Block(block.samples[:missing], source_rate)] if missing else []
        count += len(block.samples)
        peak = max(peak, float(np.abs(block.samples).max(initial=0)))
    samples = np.clip(_resample(beginning, rate), -1.0, 1.0) if beginning else np.zeros(0, np.float32)
    return {"rate": source_rate, "seconds": count / source_rate, "peak": peak}, samples


def encode_mp3(samples: np.ndarray, rate: int, bit_rate: int) -> bytes:
    """float32 [S] at `rate` hertz, in [-1, 1], as an MP3 file of `bit_rate` bits a second."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=rate)
        stream.bit_rate, stream.codec_context.layout = bit_rate, "mono"
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def _blocks(value: Any) -> Iterator[Block]:
    if isinstance(value, bytes):
        check_chunks(io.BytesIO(value), len(value))
        wave_block = _read_wave(value)
        return _decode_with_ffmpeg(value) if wave_block is None else iter([wave_block])
    return iter([_from_array(*check_array(value))])


def _check_blocks(blocks: Iterable[Block], seconds: float) -> Iterator[Block]:
    """Yields the blocks; raises ValueError when they are too long or empty, change their rate or are not finite."""
    count, rate = 0, None
    for block in blocks:
        rate = rate or block.rate
        count += len(block.samples)
        if block.rate != rate:
            raise ValueError(f"its rate changes on the way, from {rate} to {block.rate} Hz")
        if count > seconds * rate:
            raise ValueError(f"it is longer than the bound of {seconds:g} seconds")
        if not np.isfinite(block.samples).all():
            raise ValueError("it has samples that are not finite numbers")
        yield block
    if count == 0:
        raise ValueError(SILENT)


def _read_wave(data: bytes) -> Block | None:
    """All samples of a plain 16-bit WAV, fifty times faster than through FFmpeg; None for any other file."""
    if not data.startswith(b"RIFF"):
        return None
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate, count = file.getparams()[:4]
            frames = file.readframes(count) if width == 2 else b""
    except (wave.Error, EOFError, RuntimeError):
        return None
    if not frames or len(frames) != 2 * channels * count or rate < 1:
        return None
    samples = np.frombuffer(frames, "<i2").reshape(count, channels)  # [S, channels]
    return Block(samples.astype(np.float32).mean(axis=1) / 32768, rate)


def _decode_with_ffmpeg(data: bytes) -> Iterator[Block]:
    """The samples that FFmpeg decodes, gathered into blocks."""
    with sound_track(io.BytesIO(data)) as (container, track):
        count, rate, pending = 0, 0, []
        for frame in container.decode(track):
            if pending and (frame.sample_rate != rate or sum(map(len, pending)) >= _BLOCK):
                yield Block(np.concatenate(pending), rate)
                pending = []
            pending.append(_mono(frame))
            count, rate = count + frame.samples, frame.sample_rate
        if pending:
            yield Block(np.concatenate(pending), rate)
        check_whole(container.format.name, track, count / max(rate, 1))


@contextmanager
def sound_track(file: BinaryIO) -> Iterator[tuple[Any, Any]]:
    """FFmpeg's container in `file` and its first track of sound. Raises ValueError with a reason when there is none, or
    it cannot be read, also while it is decoded.

    FFmpeg gets an open file, not a name, and no playlist, so that none makes it open other files or addresses."""
    try:
        with av.open(file, options={"format_whitelist": _FORMATS}, metadata_errors="replace") as container:
            if not container.streams.audio:
                raise ValueError("it is a film without a sound track" if container.streams.video else SILENT)
            track = container.streams.audio[0]
            check_codec(track, "sound")
            track.thread_type = "NONE"
            yield container, track
    except av.FFmpegError as error:
        raise ValueError(f"the file is not a sound that can be read ({error.strerror})") from error


def check_codec(stream: Any, noun: str) -> None:
    """Raises ValueError for a track in a codec that FFmpeg does not know."""
    if stream.codec_context is None:
        raise ValueError(f"the {noun} is in a codec that cannot be read; write it again in a common one")


def check_whole(name: str, stream: Any, seconds: float) -> None:
    """Raises ValueError when fewer `seconds` were decoded than the header of a format `name` counts."""
    expected = float(stream.duration * stream.time_base) if stream.duration else 0.0
    if name in _COUNTED and seconds < expected - (1 / stream.rate if name == "flac" else _PADDING):
        raise ValueError(f"the sound is cut short: {seconds:.2f} of {expected:.2f} seconds")


def check_chunks(file: BinaryIO, size: int) -> None:
    """Raises ValueError when the chunk of samples is longer than its file, of `size` bytes, which FFmpeg reads without
    an error. The file is then at its beginning again.
    """
    kind = file.read(4)
    start, layout, samples_chunk = _CHUNKS.get(kind, (0, "", b""))
    header = struct.calcsize(layout)
    while layout and start + header <= size:
        file.seek(start)
        name, length = struct.unpack(layout, file.read(header))
        start += header
        if name == samples_chunk and size - start < length < _UNKNOWN:
            raise ValueError(f"the sound is cut short: {size - start} of {length} bytes of samples are there")
        start += length + (length % 2 if kind != b"caff" else 0)
    file.seek(0)


def _mono(frame: av.AudioFrame) -> np.ndarray:
    """float32 [S], the mean of the channels of a frame in any of FFmpeg's sample formats."""
    array = frame.to_ndarray()  # [channels, S], or [1, S * channels] when packed
    if frame.format.is_packed:
        array = array.reshape(frame.samples, -1).T  # [channels, S]
    return _to_floats(array).mean(axis=0)


def _to_floats(array: np.ndarray) -> np.ndarray:
    """float32 in [-1, 1] of samples of any type; integers are of full scale."""
    if np.issubdtype(array.dtype, np.floating):
        return array.astype(np.float32)
    if array.dtype == np.uint8:
        return (array.astype(np.float32) - 128) / 128
    if np.issubdtype(array.dtype, np.signedinteger):
        return (array / -float(np.iinfo(array.dtype).min)).astype(np.float32)
    raise ValueError(f"samples are floats or signed integers, not {array.dtype}")


def check_array(value: Any) -> tuple[np.ndarray, int]:
    """Samples [S], [S, C] or [C, S] and their rate. Raises ValueError with a reason for any other value."""
    if not (isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Real)):
        raise ValueError(f"a sound is a path, bytes or (samples, rate), not {type(value).__name__}")
    samples, rate = np.asarray(value[0]), value[1]
    if samples.ndim not in (1, 2) or rate < 1 or rate % 1:
        raise ValueError(f"a sound as an array is ([S], [S, C] or [C, S], hertz), not ({list(samples.shape)}, {rate})")
    return samples, int(rate)


def _from_array(samples: np.ndarray, rate: int) -> Block:
    """The mean of the channels of samples [S], [S, C] or [C, S]."""
    samples = _to_floats(samples)
    return Block(samples.mean(axis=int(np.argmin(samples.shape))) if samples.ndim == 2 else samples, rate)


def _resample(blocks: Iterable[Block], rate: int) -> np.ndarray:
    """float32 [ceil(S * rate / source rate)]: the samples of `blocks` at `rate` hertz, in time with the original."""
    resampled, count, source_rate, resampler = [], 0, rate, None
    for block in blocks:
        count, source_rate = count + len(block.samples), block.rate
        if source_rate == rate:
            resampled.append(block.samples)
            continue
        resampler = resampler or av.AudioResampler(format="fltp", layout="mono", rate=rate)
        resampled += _push(resampler, block)
    if resampler is not None:
        # The filter looks ahead; silence after the end brings out the last samples, however short the audio is.
        silence = np.zeros(64 + 64 * source_rate // rate, np.float32)
        resampled += _push(resampler, Block(silence, source_rate))
    return np.concatenate(resampled)[: math.ceil(count * rate / source_rate)]


def _push(resampler: av.AudioResampler, block: Block) -> list[np.ndarray]:
    """The samples that the resampler gives back for those of `block`."""
    resampled = []
    for start in range(0, len(block.samples), _BLOCK):
        frame = av.AudioFrame.from_ndarray(block.samples[None, start : start + _BLOCK], format="fltp", layout="mono")
        frame.sample_rate = block.rate
        resampled += [output.to_ndarray()[0] for output in resampler.resample(frame)]
    return resampled
