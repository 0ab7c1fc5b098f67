"""Films: frames against PyAV read plainly, times, turning, bounds, damage; the sound track and its absence."""

import io
import struct

import av
import numpy as np
import pytest
from PIL import Image

from sensorium.data.media import audio, video
from tests.data.media.films import film, gray, told

KINDS = [
    ("libx264", "mp4"),
    ("mpeg4", "mp4"),
    ("libx264", "mov"),
    ("libx264", "matroska"),
    ("libvpx", "webm"),
    ("mpeg4", "avi"),
    ("libx264", "avi"),
    ("mpeg2video", "mpegts"),
    ("libx264", "flv"),
    ("gif", "gif"),
]


def plainly(data: bytes) -> np.ndarray:
    """uint8 [F, H, W, 3]: every frame, as PyAV gives it."""
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize(("codec", "kind"), KINDS)
def test_every_frame_is_what_pyav_reads_plainly(codec, kind, tmp_path):
    data = film(gray(20), 25, kind, codec)
    (tmp_path / "a").write_bytes(data)
    got = video.decode("a", tmp_path)
    assert got.frames.dtype == np.uint8 and got.frames.shape == (20, 48, 64, 3)
    np.testing.assert_array_equal(got.frames, plainly(data))
    np.testing.assert_allclose(got.seconds, np.arange(20) / 25, atol=0.0015)  # FLV and MKV round to milliseconds
    measures = video.measure(data, tmp_path)
    assert (measures["height"], measures["width"]) == (48, 64)
    assert measures["seconds"] == pytest.approx(0.8, abs=0.005) and measures["rate"] == pytest.approx(25, rel=0.01)


@pytest.mark.parametrize("kind", ["mp4", "matroska"])
@pytest.mark.parametrize(
    ("rate", "frames", "expected"),
    [
        (20, None, list(range(20))),
        (10, None, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]),
        (4, None, [2, 7, 12, 17]),
        (40, None, [one for one in range(20) for _ in range(2)]),
        (10, 4, [2, 7, 12, 17]),
        (10, 1, [10]),
        (0.1, None, [10]),
        (None, 5, [2, 6, 10, 14, 18]),
    ],
)
def test_which_frames_are_taken(kind, rate, frames, expected, tmp_path):
    got = video.decode(film(gray(20), 20, kind), tmp_path, rate, frames)
    assert told(got.frames) == expected
    np.testing.assert_allclose(got.seconds, np.array(expected) / 20, atol=0.0015)
    again = video.decode((gray(20), 20.0), tmp_path, rate, frames)
    assert told(again.frames) == expected
    np.testing.assert_allclose(again.seconds, np.array(expected) / 20)


def test_a_variable_rate_is_followed(tmp_path):
    ticks = [0, 1, 2, 3, 4, 20, 40, 60, 61, 62, 63, 64]  # tenths of a second: held for two seconds three times
    data = film(gray(12), 10, ticks=ticks)
    got = video.decode(data, tmp_path, rate=1.0)
    seconds = np.arange(0.5, 6.5)
    expected = [max(k for k, tick in enumerate(ticks) if tick / 10 <= second) for second in seconds]
    assert told(got.frames)[:6] == expected
    np.testing.assert_allclose(got.seconds[:6], np.array(ticks)[expected] / 10, atol=1e-3)
    assert video.measure(data, tmp_path)["seconds"] == pytest.approx(6.5, abs=0.11)


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_a_film_to_be_shown_turned_is_turned(turned, tmp_path):
    data = film(gray(3), turned=turned)
    got = video.decode(data, tmp_path)
    np.testing.assert_array_equal(got.frames, np.rot90(plainly(data), turned // 90, axes=(1, 2)))
    height, width = (64, 48) if turned % 180 else (48, 64)
    assert video.measure(data, tmp_path) | {"height": height, "width": width} == video.measure(data, tmp_path)
    assert video.decode(data, tmp_path, size=20, fit="crop").frames.shape[1:3] == (
        (27, 20) if turned % 180 else (20, 27)
    )


def test_a_quarter_turn_with_the_clock_is_what_phones_write(tmp_path):
    data = film(gray(2), turned=270)
    place = data.index(b"tkhd") + 44
    matrix = np.frombuffer(data[place : place + 20], ">i4") / 65536
    assert matrix.tolist() == [0, 1, 0, -1, 0]  # right becomes down, down becomes left (ISO/IEC 14496-12, 8.3.2)
    frame = video.decode(data, tmp_path).frames[0]
    assert frame[:16, -16:].min() > 240 and frame[:16, :16].max() < 20


@pytest.mark.parametrize(("fit", "shape"), [("squash", (24, 24)), ("crop", (24, 32))])
def test_frames_are_scaled_while_decoding(fit, shape, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (4, 48, 64, 3), np.uint8)
    got = video.decode((noise, 4.0), tmp_path, size=24, fit=fit).frames
    assert got.shape == (4, *shape, 3)
    if fit == "crop":  # halved: antialiased, so near the means of squares of four pixels
        means = noise.reshape(4, 24, 2, 32, 2, 3).mean(axis=(2, 4))
        assert np.corrcoef(got.ravel(), means.ravel())[0, 1] > 0.9
        assert got.std() < 0.7 * noise.std()
    filmed = video.decode(film(gray(4)), tmp_path, size=24, fit=fit).frames
    assert filmed.shape == (4, *shape, 3) and told(filmed) == [0, 1, 2, 3]


@pytest.mark.parametrize("fit", ["squash", "crop"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3000), (1, 20_000), (20_000, 1)])
def test_thin_frames_are_scaled_within_bounds(shape, fit, tmp_path):
    file = io.BytesIO()
    frames = [Image.new("RGB", shape[::-1], (gray, gray, gray)) for gray in (40, 200)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=100)
    for value in (file.getvalue(), (np.stack([np.array(frame) for frame in frames]), 10)):
        scaled = video.decode(value, tmp_path, size=16, fit=fit).frames
        assert abs(scaled[:, 8, 8].astype(int) - [[40], [200]]).max() <= 4
        assert min(scaled.shape[1:3]) == 16 and max(scaled.shape[1:3]) <= (16 * 32 if fit == "crop" else 16)


def test_transparency_is_on_white(tmp_path):

    pictures = [Image.new("RGBA", (32, 32), (200, 0, 0, 0)) for _ in range(3)]
    for place, picture in enumerate(pictures):
        picture.paste((200, 0, 0, 255), (0, 0, 8 + place, 16))
    file = io.BytesIO()
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=100, disposal=2)
    frames = video.decode(file.getvalue(), tmp_path).frames
    assert len(frames) == 3
    assert (frames[:, -8:, -8:] == 255).all() and (abs(frames[:, :8, :8].astype(int) - [200, 0, 0]) < 8).all()


@pytest.mark.parametrize("first", [50, -3])
@pytest.mark.parametrize("kind", ["mp4", "mov", "matroska", "webm", "avi", "flv", "mpegts"])
def test_a_film_that_begins_late_or_before_zero_is_whole(kind, first, tmp_path):
    codec = {"webm": "libvpx"}.get(kind, "libx264")
    data = film(gray(10), 10, kind, codec, ticks=list(range(first, first + 10)))
    decoded = video.decode(data, tmp_path)
    hidden = 3 if first < 0 and kind in ("mp4", "mov") else 0  # their edit lists begin at zero
    assert told(decoded.frames) == list(range(hidden, 10)) and decoded.seconds[0] == 0
    video.measure(data, tmp_path)


@pytest.mark.parametrize(("picture", "track"), [(20, 0), (0, 2), (50, 7)])
@pytest.mark.parametrize("kind", ["mp4", "matroska"])
def test_tracks_may_begin_at_different_times(kind, picture, track, tmp_path):
    data = film(gray(20), 10, kind, ticks=list(range(picture, picture + 20)), sound=np.ones(16_000), late=track)
    assert video.measure(data, tmp_path)["seconds"] == pytest.approx(2, abs=0.01)
    assert video.measure_audio(data, tmp_path)["seconds"] == pytest.approx(1, abs=0.1)


def test_a_film_in_an_unknown_codec_is_refused(tmp_path):
    data = film(gray(10), 10, "avi", "mpeg4").replace(b"FMP4", b"ZZZZ")
    for act in (video.decode, video.measure):
        with pytest.raises(ValueError, match="codec that cannot be read"):
            act(data, tmp_path)


@pytest.mark.parametrize("kind", ["mp4", "matroska", "avi", "webm", "gif", "flv"])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_a_film_cut_short_is_refused(kind, share, tmp_path):
    codec = {"webm": "libvpx", "gif": "gif"}.get(kind, "libx264")
    frames = np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), np.uint8)
    data = film(frames, 10, kind, codec)
    with pytest.raises(ValueError):
        video.decode(data[: int(share * len(data))], tmp_path)
    with pytest.raises(ValueError):
        video.measure(data[: int(share * len(data))], tmp_path)


def test_an_index_at_the_front_counts_the_frames(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height = stream.width = 64
        for _ in range(20):
            pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    with pytest.raises(ValueError, match=r"cut short: \d+ of 20 frames"):
        video.decode(data[: int(0.6 * len(data))], tmp_path)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "not a film that can be read"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not a film that can be read"),
        (b"hello" * 100, "not a film that can be read"),
        (b"", "it is empty"),
        ("none.mp4", "no such file"),
        ("https://example.org/a.mp4", "only files are read"),
        (np.zeros((4, 8, 8, 3), np.uint8), "a film is a path, bytes or"),
        ((np.zeros((4, 8, 8), np.uint8), 5), "a film as an array is"),
        ((np.zeros((4, 8, 8, 3)), 5), "a film as an array is"),
        ((np.zeros((4, 8, 8, 3), np.uint8), 0), "a film as an array is"),
        ((np.zeros((0, 8, 8, 3), np.uint8), 5), "no frames"),
        ((np.zeros((700, 8, 8, 3), np.uint8), 1), "longer than the bound of 600 seconds"),
        ((np.zeros((1, 1, 64_000_001, 3), np.uint8), 1), "more than the bound of 64 million"),
    ],
)
def test_what_is_no_film(value, why, tmp_path, capfd):
    for act in (video.decode, video.measure):
        with pytest.raises(ValueError, match=why):
            act(value, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_film_longer_than_the_bound_is_refused_by_its_times(tmp_path):
    data = film(gray(4), 1, ticks=[0, 1, 2, 700])
    with pytest.raises(ValueError, match="longer than the bound of 600 seconds"):
        video.decode(data, tmp_path)


def test_frames_that_cost_far_more_than_their_bytes_are_refused(tmp_path):
    header = b"GIF89a" + struct.pack("<HHBBB", 7999, 7999, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\0\x02\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    for act in (video.decode, video.measure):
        with pytest.raises(ValueError, match="frames of 7,999 x 7,999 pixels are more than the bound for a file of"):
            act(header + frame * 100 + b";", tmp_path)


def test_a_sound_alone_is_no_film(tmp_path):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        track = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    with pytest.raises(ValueError, match="no pictures, only sound"):
        video.decode(file.getvalue(), tmp_path)


@pytest.mark.parametrize("kind", ["mp4", "matroska", "avi", "mpegts", "flv"])
def test_the_sound_of_a_film_is_the_sound_of_its_file(kind, tmp_path):
    wave = (0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.float32)
    data = film(gray(10), kind=kind, sound=wave)
    assert video.has_audio(data, tmp_path)
    np.testing.assert_array_equal(video.decode_audio(data, tmp_path, rate=8000), audio.decode(data, tmp_path, 8000))
    assert video.measure_audio(data, tmp_path)["rate"] == 16000
    assert told(video.decode(data, tmp_path).frames) == list(range(10))


@pytest.mark.parametrize("silent", [film(gray(3)), (gray(3), 3.0), film(gray(3), sound=np.zeros(0))])
def test_a_film_without_sound_lacks_it(silent, tmp_path):
    assert not video.has_audio(silent, tmp_path)
    assert video.decode_audio(silent, tmp_path, rate=8000) is None
    assert video.measure_audio(silent, tmp_path) is None
