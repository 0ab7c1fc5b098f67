"""Sound: every format against what was written, resampling against SciPy, bounds, damage, silence on the terminal."""

import io
import os
import struct
import wave

import av
import librosa
import numpy as np
import pytest
import scipy.signal
import soundfile

from sensorium.data.media import audio


def sine(rate, seconds, hertz=440.0, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def encoded(samples, rate, codec="pcm_s16le", kind="wav"):
    """The bytes of a file of `samples`, [C, S] or [S]."""
    samples = np.atleast_2d(samples)
    layout = "mono" if len(samples) == 1 else "stereo" if len(samples) == 2 else "5.1"
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if codec == "wmav2":
            stream.bit_rate = 96_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
        frame.sample_rate = rate
        size = stream.codec_context.frame_size or None
        fit = av.AudioResampler(stream.codec_context.format, stream.codec_context.layout, rate, size)
        for piece in [*fit.resample(frame), *fit.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return file.getvalue()


def peak(samples, rate):
    """The frequency in hertz and the amplitude of the strongest sine in the middle of `samples`."""
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 18))
    place = spectrum.argmax()
    return place * rate / (1 << 18), 4 * spectrum[place] / len(middle)


LOSSLESS = [
    ("pcm_s16le", "wav"),
    ("pcm_s24le", "wav"),
    ("pcm_f32le", "wav"),
    ("pcm_u8", "wav"),
    ("pcm_s32le", "wav"),
    ("flac", "flac"),
    ("pcm_s16be", "aiff"),
    ("pcm_s16be", "au"),
    ("pcm_s24be", "caf"),
    ("alac", "ipod"),
]
LOSSY = [
    ("libmp3lame", "mp3"),
    ("libopus", "ogg"),
    ("aac", "mp4"),
    ("aac", "ipod"),
    ("aac", "adts"),
    ("libopus", "webm"),
    ("wmav2", "asf"),
    ("pcm_mulaw", "wav"),
    ("pcm_alaw", "wav"),
    ("aac", "mov"),
    ("aac", "matroska"),
    ("libmp3lame", "avi"),
    ("mp2", "mpeg"),
    ("aac", "mpegts"),
]


@pytest.mark.parametrize("codec, kind", LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_lossless_formats_give_the_mean_of_the_channels(codec, kind, channels, tmp_path):
    written = np.stack([sine(22050, 0.7, 300 * (c + 1), 0.6) for c in range(channels)])
    (tmp_path / "a").write_bytes(encoded(written, 22050, codec, kind))
    got = audio.decode("a", tmp_path, 22050)
    assert got.dtype == np.float32 and got.shape == (written.shape[1],)
    np.testing.assert_allclose(got, written.mean(axis=0), atol=1 / 100 if codec == "pcm_u8" else 1 / 32000)


@pytest.mark.parametrize("codec, kind", LOSSY)
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_formats_keep_length_frequency_and_amplitude(codec, kind, channels, tmp_path):
    data = encoded(np.tile(sine(48000, 2.0), (channels, 1)), 48000, codec, kind)
    got = audio.decode(data, tmp_path, 16000)
    assert abs(len(got) - 32000) < 1500  # encoders pad the ends
    hertz, amplitude = peak(got, 16000)
    assert abs(hertz - 440) < 1 and abs(amplitude - 0.5) < 0.03  # LAME takes 5 % off


def film(kind, video, codec, samples=None, rate=48000):
    """A second of grey pictures, with `samples` as its sound track when given."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        pictures = container.add_stream(video, rate=25)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        sound = None if samples is None else container.add_stream(codec, rate=rate, layout="mono")
        for _ in range(25):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 99, np.uint8))))
        container.mux(pictures.encode(None))
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate = rate
            fit = av.AudioResampler(sound.codec_context.format, "mono", rate, sound.codec_context.frame_size or None)
            for piece in [*fit.resample(frame), *fit.resample(None)]:
                container.mux(sound.encode(piece))
            container.mux(sound.encode(None))
    return file.getvalue()


FILMS = [
    ("mp4", "mpeg4", "aac"),
    ("mov", "mpeg4", "pcm_s16le"),
    ("matroska", "mpeg4", "libopus"),
    ("webm", "libvpx", "libopus"),
    ("avi", "mpeg4", "libmp3lame"),
    ("mpeg", "mpeg1video", "mp2"),
    ("mpegts", "mpeg2video", "aac"),
]


@pytest.mark.parametrize("kind, video, codec", FILMS)
def test_of_a_film_the_sound_track_is_read(kind, video, codec, tmp_path):
    got = audio.decode(film(kind, video, codec, sine(48000, 1.0)), tmp_path, 16000)
    assert abs(len(got) - 16000) < 1500
    hertz, amplitude = peak(got, 16000)
    assert abs(hertz - 440) < 1 and abs(amplitude - 0.5) < 0.03
    with pytest.raises(ValueError, match="it is a film without a sound track"):
        audio.decode(film(kind, video, codec), tmp_path, 16000)


@pytest.mark.parametrize(
    "form, subtype, apart",
    [
        ("WAV", "ULAW", 0.02), ("WAV", "ALAW", 0.02), ("WAV", "PCM_U8", 0.01), ("WAV", "PCM_24", 1e-6),
        ("WAV", "FLOAT", 1e-6), ("WAV", "DOUBLE", 1e-6), ("AIFF", "PCM_24", 1e-6),
        ("AU", "PCM_16", 1e-6), ("CAF", "ALAC_16", 1e-6), ("W64", "PCM_16", 1e-6), ("FLAC", "PCM_24", 1e-6),
    ],
)  # fmt: skip
def test_every_sound_file_is_what_libsndfile_reads(form, subtype, apart, tmp_path):
    stereo = np.stack([sine(16000, 0.5), sine(16000, 0.5, 700, 0.3)], axis=1)
    soundfile.write(tmp_path / "a", stereo, 16000, format=form, subtype=subtype)
    expected, _ = soundfile.read(tmp_path / "a", dtype="float32")
    got = audio.decode("a", tmp_path, 16000)
    assert abs(len(got) - len(expected)) < 1024
    common = min(len(got), 8000)  # FFmpeg leaves out the last, short block of ALAC in a CAF
    np.testing.assert_allclose(got[:common], expected.mean(axis=1)[:common], atol=1e-4)
    np.testing.assert_allclose(expected[:8000], stereo, atol=max(apart, 1e-4))


@pytest.mark.parametrize(
    "codec, kind", [("pcm_s16le", "wav"), ("pcm_s16be", "caf"), ("pcm_s16be", "aiff"), ("pcm_s24le", "wav")]
)
def test_a_counted_file_cut_short_is_an_error(codec, kind, tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 32000).astype(np.float32)
    data = encoded(noise, 16000, codec, kind)
    assert abs(len(audio.decode(data, tmp_path, 16000)) - 32000) < 3000
    for share in (0.1, 0.5, 0.501, 0.8):
        with pytest.raises(ValueError):
            audio.decode(data[: int(len(data) * share)], tmp_path, 16000)


@pytest.mark.parametrize("codec", ["alac", "aac"])
def test_an_m4a_cut_short_is_an_error_even_with_its_index_in_front(codec, tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 160_000).astype(np.float32)
    (tmp_path / "back.m4a").write_bytes(encoded(noise, 16000, codec, "ipod"))
    options = {"movflags": "faststart"}
    with av.open(tmp_path / "back.m4a") as back, av.open(tmp_path / "front.m4a", "w", "ipod", options) as front:
        stream = front.add_stream_from_template(back.streams.audio[0])
        for packet in back.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                front.mux(packet)
    for name in ("back.m4a", "front.m4a"):
        data = (tmp_path / name).read_bytes()
        assert abs(len(audio.decode(data, tmp_path, 16000)) - 160_000) < 3000
        for share in (0.1, 0.5, 0.9):
            with pytest.raises(ValueError):
                audio.decode(data[: int(len(data) * share)], tmp_path, 16000)


def test_a_file_that_names_other_files_opens_none(tmp_path):
    (tmp_path / "secret.wav").write_bytes(encoded(sine(16000, 1.0), 16000))
    for text in (
        f"ffconcat version 1.0\nfile {tmp_path}/secret.wav\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n",
        f"<MPD><Period><BaseURL>{tmp_path}/secret.wav</BaseURL></Period></MPD>",
    ):
        with pytest.raises(ValueError, match="not a sound that can be read"):
            audio.decode(text.encode(), tmp_path, 16000)


def test_the_plain_wave_path_equals_ffmpeg(tmp_path):
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 5000)).astype(np.float32)
    data = encoded(noise, 8000)
    fast = audio._read_wave(data)
    slow = np.concatenate([block.samples for block in audio._decode_with_ffmpeg(data)])
    assert fast is not None and fast.rate == 8000
    np.testing.assert_array_equal(fast.samples, slow)


@pytest.mark.parametrize(
    "own, rate", [(8000, 16000), (44100, 16000), (48000, 8000), (7999, 16000), (16000, 44100), (22050, 22050)]
)
@pytest.mark.parametrize("seconds", [0.0001, 0.01, 1.3, 9.0])
def test_resampling_loses_no_samples(own, rate, seconds, tmp_path):
    samples = sine(own, max(seconds, 1.01 / own))
    assert len(audio.decode((samples, own), tmp_path, rate)) == int(np.ceil(len(samples) * rate / own))


@pytest.mark.parametrize("own, rate", [(8000, 16000), (44100, 16000), (48000, 8000), (16000, 22050)])
def test_resampling_agrees_with_scipy_and_librosa(own, rate, tmp_path):
    rng = np.random.default_rng(0)
    band = scipy.signal.butter(8, 0.6 * min(own, rate) / 2, fs=own, output="sos")
    samples = scipy.signal.sosfiltfilt(band, rng.normal(0, 0.1, own * 5)).astype(np.float32)
    got = audio.decode((samples, own), tmp_path, rate)
    common = np.gcd(own, rate)
    middle = slice(200, -200)
    by_scipy = scipy.signal.resample_poly(samples, rate // common, own // common)
    by_librosa = librosa.resample(samples, orig_sr=own, target_sr=rate, res_type="polyphase")
    for other in (by_scipy, by_librosa):
        assert abs(len(got) - len(other)) <= 1
        error = (got[: len(other)] - other[: len(got)])[middle]
        assert np.sqrt(np.mean(error**2)) < 0.01 * np.sqrt(np.mean(got**2))


@pytest.mark.parametrize("hertz", [50, 440, 3000])
def test_a_sine_keeps_frequency_amplitude_and_time(hertz, tmp_path):
    got = audio.decode((sine(44100, 3, hertz), 44100), tmp_path, 16000)
    np.testing.assert_allclose(got[100:-100], sine(16000, 3, hertz)[100:-100], atol=1e-3)
    assert peak(got, 16000) == pytest.approx((hertz, 0.5), rel=1e-2)


def test_above_the_new_rates_half_nothing_is_left(tmp_path):
    assert np.abs(audio.decode((sine(44100, 1, 12000), 44100), tmp_path, 16000)[200:-200]).max() < 1e-3


def test_arrays_of_any_type_and_axis(tmp_path):
    stereo = np.stack([sine(8000, 1), sine(8000, 1, 700)])
    expected = stereo.mean(axis=0)
    for samples in (stereo, stereo.T, stereo.astype(np.float64)):
        np.testing.assert_allclose(audio.decode((samples, 8000), tmp_path, 8000), expected, atol=1e-6)
    whole = np.round(stereo * 32767).astype(np.int16)
    np.testing.assert_allclose(audio.decode((whole, 8000), tmp_path, 8000), expected, atol=1e-4)
    assert np.abs(audio.decode((stereo * 9, 8000), tmp_path, 8000)).max() == 1
    for wrong in (expected, (8000, expected), (expected, "8000"), (expected, 0), (expected > 0, 8000), 7):
        with pytest.raises(ValueError):
            audio.decode(wrong, tmp_path, 8000)


def test_samples_that_are_no_numbers_are_an_error(tmp_path):
    samples = sine(8000, 1)
    samples[77] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        audio.decode((samples, 8000), tmp_path, 16000)


@pytest.mark.parametrize(
    "codec, kind", [("pcm_s16le", "wav"), ("flac", "flac"), ("libmp3lame", "mp3"), ("libopus", "ogg")]
)
def test_too_long_is_an_error(codec, kind, tmp_path):
    data = encoded(sine(16000, 3.0), 16000, codec, kind)
    assert len(audio.decode(data, tmp_path, 16000, seconds=4)) >= 48000
    with pytest.raises(ValueError, match="longer than the bound of 2 seconds"):
        audio.decode(data, tmp_path, 16000, seconds=2)


def test_a_header_that_lies_does_not_get_past_the_bound(tmp_path, monkeypatch):
    data = bytearray(encoded(np.zeros(16000 * 300, np.float32), 16000, "flac", "flac"))
    place = 8 + 13  # STREAMINFO's number of samples: the last 36 bits before the checksum
    data[place] &= 0xF0
    data[place + 1 : place + 5] = struct.pack(">I", 16000)  # one second, it says
    decoded = []
    monkeypatch.setattr(audio, "_mono", lambda frame, real=audio._mono: decoded.append(frame.samples) or real(frame))
    with pytest.raises(ValueError, match="longer than the bound of 10 seconds"):
        audio.decode(bytes(data), tmp_path, 16000, seconds=10)
    assert sum(decoded) < 16000 * 20  # and it stopped there


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le"])
def test_a_wave_cut_short_is_an_error_but_one_of_unknown_length_is_not(codec, tmp_path):
    data = encoded(sine(16000, 1.0), 16000, codec)
    with pytest.raises(ValueError, match="cut short"):
        audio.decode(data[: len(data) // 2], tmp_path, 16000)
    with pytest.raises(ValueError, match="cut short"):
        audio.decode(data[:-2], tmp_path, 16000)
    place = data.index(b"data") + 4
    streamed = data[:4] + b"\xff" * 4 + data[8:place] + b"\xff" * 4 + data[place + 4 :]
    assert len(audio.decode(streamed, tmp_path, 16000)) == 16000


def test_a_flac_cut_short_is_an_error(tmp_path):
    data = encoded(np.random.default_rng(0).uniform(-0.5, 0.5, 32000).astype(np.float32), 16000, "flac", "flac")
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(ValueError):
            audio.decode(data[: int(len(data) * share)], tmp_path, 16000)


def test_what_is_no_sound(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("hello " * 100)
    (tmp_path / "list.mp3").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.mp3\n")
    header = io.BytesIO()
    with wave.open(header, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
    silent = io.BytesIO()
    with av.open(silent, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    for value, reason in [
        ("none.wav", "there is no such file"),
        ("empty.wav", "it is empty"),
        ("text.wav", "not a sound that can be read"),
        ("list.mp3", "not a sound that can be read"),
        (os.urandom(5000), "not a sound that can be read"),
        (header.getvalue(), "no sound"),
        (silent.getvalue(), "a film without a sound track"),
        ("https://localhost/a.wav", "only files are read"),
    ]:
        with pytest.raises(ValueError, match=reason):
            audio.decode(value, tmp_path, 16000)


@pytest.mark.parametrize(
    "codec, kind", [*LOSSLESS[:2], ("flac", "flac"), ("libmp3lame", "mp3"), ("libopus", "ogg"), ("aac", "mp4")]
)
def test_damage_is_a_plain_error_or_a_sound_and_never_noise_on_the_terminal(codec, kind, tmp_path, capfd):
    rng = np.random.default_rng(2)
    data = np.frombuffer(encoded(sine(16000, 0.5), 48000 if codec == "libopus" else 16000, codec, kind), np.uint8)
    for _ in range(60):
        broken = data.copy()
        places = rng.integers(0, len(data) if rng.random() < 0.5 else 80, rng.integers(1, 20))
        broken[places] = rng.integers(0, 256, len(places))
        broken = broken[: rng.integers(1, len(data))] if rng.random() < 0.3 else broken
        try:
            got = audio.decode(broken.tobytes(), tmp_path, 16000)
        except ValueError as error:
            assert str(error)
        else:
            assert got.ndim == 1 and len(got) and np.isfinite(got).all()
    assert capfd.readouterr() == ("", "")


def test_measures(tmp_path):
    half = pytest.approx(0.5, abs=1e-3)
    expected = {"rate": 8000, "seconds": 2.5, "peak": half}
    assert audio.measure(encoded(sine(8000, 2.5), 8000), tmp_path) == expected
    expected = {"rate": 44100, "seconds": 1.5, "peak": half}
    assert audio.measure(encoded(sine(44100, 1.5), 44100, "flac", "flac"), tmp_path) == expected
    loud = io.BytesIO()
    soundfile.write(loud, sine(8000, 1, amplitude=12_000.0), 8000, subtype="FLOAT", format="WAV")
    assert audio.measure(loud.getvalue(), tmp_path)["peak"] == pytest.approx(12_000, rel=1e-3)


def test_a_tag_in_another_encoding_does_not_stop_a_sound(tmp_path):
    data = encoded(sine(8000, 1), 8000, "pcm_s24le")
    text = "Björk".encode("latin-1")
    tag = b"LIST" + struct.pack("<I", 18) + b"INFOIART" + struct.pack("<I", len(text)) + text + b"\0"
    start = data.index(b"data")
    tagged = data[:start] + tag + data[start:]
    assert audio.measure(tagged, tmp_path) == audio.measure(data, tmp_path)
