"""Films made for tests: their frames can be told apart by one number each."""

import io

import av
import numpy as np


def gray(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """uint8 [F, H, W, 3]: frame k is of one gray, 10 k, with a white square of 16 pixels at its top left corner."""
    frames = (
        np.zeros((count, height, width, 3), np.uint8) + (10 * np.arange(count, dtype=np.uint8))[:, None, None, None]
    )
    frames[:, :16, :16] = 255
    return frames


def told(frames: np.ndarray) -> list[int]:
    """Which frames of `gray` these are, whatever their size: by the gray at the bottom right."""
    return [round(float(frame[-8:, -8:].mean()) / 10) for frame in frames]


def film(
    frames: np.ndarray,
    rate: int = 10,
    kind: str = "mp4",
    codec: str = "libx264",
    ticks: list[int] | None = None,
    turned: int = 0,
    sound: np.ndarray | None = None,
    late: int = 0,
) -> bytes:
    """The bytes of a film. `ticks`: when each frame comes, in units of 1 / `rate` s; `turned`: degrees against the
    clock, as a note in the file; `sound`: samples at 16 kHz beside it, from `late` seconds on.
    """
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "12", "preset": "ultrafast"}
        if turned:
            stream.set_display_rotation(turned)
        track = None if sound is None else container.add_stream("aac", rate=16000, layout="mono")
        for place, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts = place if ticks is None else ticks[place]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None and len(sound):
            frame = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 16000, late * 16000
            container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return file.getvalue()
