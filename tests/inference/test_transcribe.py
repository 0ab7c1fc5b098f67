"""What is said in recordings: of any length, in any company, however they are asked for and kept, and bad ones."""

import json
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sensorium
from sensorium.cli.write import write as write_verb
from sensorium.data.media.recording import read_recording
from sensorium.encoders.transformers_audio import TransformersAudio, TransformersAudioConfig
from sensorium.errors import RecordError, UserError
from sensorium.generation.settings import Generation
from sensorium.heads import transcript as transcript_head
from sensorium.inference import transcribe, transcripts
from sensorium.inference.listening import Heard, Request, Stream
from sensorium.inference.spans import Span, cut_spans, unread
from sensorium.inference.subtitles import as_srt, as_vtt
from sensorium.inference.transcript import Segment, Transcript, repeats, stretches
from sensorium.inference.words import words_of
from sensorium.inference.write import print_texts, write
from sensorium.model import Model
from tests.whisper_scenes import FIRST_STAMP, RATE, SECONDS, example, folder_of, ours, published, sound


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return ours(tmp_path_factory.mktemp("whisper"))[0]


@pytest.fixture(autouse=True)
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of several lengths, and no search that lasts."""
    monkeypatch.setattr(transcribe, "FIRST_SILENCE", 0.0)
    monkeypatch.setattr(transcribe, "TEMPERATURES", (0.6,))


def table(clips: list[np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame({"speech": [(clip, RATE) for clip in clips]})


def wave_file(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """samples: float [S, channels]."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("options", [{}, {"timestamps": True}, {"words": True}, {"temperature": 1.0}])
def test_a_batch_of_recordings_equals_each_alone(model, options, tmp_path):
    """Recordings of one span and of several, with a language to detect; some texts are sampled."""
    lengths = (0.3, 1.0, 1.4, 2.0, 3.0, 5.5, 0.7, 9.0)
    files = [wave_file(tmp_path / f"{seed}.wav", sound(seconds, seed)[:, None]) for seed, seconds in enumerate(lengths)]
    together = write(model, files, max_tokens=20, **options).to_dict("records")
    same_times = []
    for file, row in zip(files, together, strict=True):
        (alone,) = write(model, file, max_tokens=20, **options).to_dict("records")
        assert alone.pop("text_probability") == pytest.approx(row.pop("text_probability"), rel=1e-3, abs=1e-12)
        times = [[word.pop("start"), word.pop("end")] for word in words_in(alone)]
        same_times += (
            np.equal(times, [[word.pop("start"), word.pop("end")] for word in words_in(row)]).flatten().tolist()
        )
        assert alone == row
    assert len({row["text"] for row in together}) > 4
    # A random model attends to all frames nearly alike, so that rounding may move a word.
    assert bool(same_times) == ("words" in options) and sum(same_times) >= 0.8 * len(same_times)


def words_in(row):
    """The words of all segments, which have times."""
    return [word for segment in row.get("text_segments", []) for word in segment.get("words", [])]


def test_a_sampled_text_follows_from_the_seed(model):
    clips = table([sound(1.0, seed) for seed in range(3)])
    texts = [write(model, clips, max_tokens=20, temperature=1.0, seed=seed)["text"].tolist() for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_spans_have_every_sample_once_and_are_cut_in_pauses():
    samples = sound(20.0)
    pauses = [(3.0, 3.6), (7.1, 7.6), (12.0, 12.5), (16.0, 16.6)]
    for start, end in pauses:
        samples[round(start * RATE) : round(end * RATE)] = 0
    pieces = np.split(samples, np.arange(0, len(samples), 7001)[1:])
    spans = list(cut_spans(pieces, RATE, 6.0))
    np.testing.assert_array_equal(np.concatenate([span.samples for span in spans]), samples)
    assert all(len(span.samples) <= 6 * RATE for span in spans)
    assert [any(start <= span.start <= end for start, end in pauses) for span in spans[1:]] == [True] * (len(spans) - 1)
    assert spans[-1].start * RATE + len(spans[-1].samples) == pytest.approx(len(samples))


def test_what_a_model_leaves_out_of_a_span_is_read_again_if_anything_sounds():
    samples = sound(10.0)
    samples[4 * RATE : 7 * RATE] = 0
    span = Span(samples, 100.0)
    parts = unread(span, RATE, [(0.0, 4.0), (9.0, 10.0)])
    assert [(part.start, len(part.samples) / RATE, part.again) for part in parts] == [(104.0, 5.0, True)]
    assert unread(span, RATE, [(0.0, 4.0), (7.0, 10.0)]) == []  # a silence
    assert unread(parts[0], RATE, [(0.0, 1.0)]) == []  # once


def test_a_text_that_is_written_already_is_not_written_again():
    written = [Segment(0.0, 4.0, "Is it, then? Please try again."), Segment(6.0, 9.0, "Press one to go on.")]
    assert repeats(Segment(4.1, 6.0, "again"), written)
    assert repeats(Segment(4.1, 6.0, "Press one"), written)
    assert not repeats(Segment(4.1, 6.0, "Goodbye."), written)
    assert not repeats(Segment(20.0, 21.0, "again"), written)


def test_stretches_between_timestamps():
    stamp = lambda seconds: FIRST_STAMP + round(50 * seconds)  # noqa: E731
    tokens = [stamp(0), 1, 2, stamp(0.5), stamp(0.7), 3, stamp(1.9), stamp(1.9), 4]
    assert stretches(tokens, FIRST_STAMP, 1.5) == [(0.0, 0.5, [1, 2]), (0.7, 1.5, [3]), (1.5, 1.5, [4])]
    assert stretches([7, 8], FIRST_STAMP, 1.5) == [(0.0, 1.5, [7, 8])]


def test_words_and_their_times():
    pieces = {1: " Hel", 2: "lo", 3: ",", 4: " you", 5: "\N{REPLACEMENT CHARACTER}"}
    letters = lambda tokens: " ü" if tokens == [5, 5] else "".join(pieces[token] for token in tokens)  # noqa: E731
    words = words_of([1, 2, 3, 4, 5, 5], [0.0, 0.1, 0.2, 0.5, 0.6, 0.7, 0.9], letters, "en")
    assert words == [("Hello,", 0.0, 0.5), ("you", 0.5, 0.6), ("ü", 0.6, 0.9)]
    assert [word.word for word in words_of([2, 2, 3], [0, 1, 2, 3], letters, "ja")] == ["lo", "lo,"]


def test_doubtful_texts_and_silence():
    good = Heard([1, 2], -0.5, 0.9, False, {})
    assert not good.doubtful and not good.silent
    assert Heard([1], -3.0, 0.9, False, {}).silent
    unlikely, looping = Heard([1], -3.0, 0.1, False, {}), Heard([1, 2], -0.5, 0.1, True, {})
    assert unlikely.doubtful and looping.doubtful
    assert looping.better(unlikely) is unlikely and unlikely.better(good) is good


def test_a_doubtful_text_is_read_in_a_whole_window_and_then_sampled(model, monkeypatch):
    asked = []
    hear = transcribe.Transcriber._hear

    def spy(self, jobs, fused, settings, languages):
        asked.append((fused.mask.shape[1], settings.temperature))
        return [heard._replace(loops=True) for heard in hear(self, jobs, fused, settings, languages)]

    monkeypatch.setattr(transcribe.Transcriber, "_hear", spy)
    write(model, table([sound(0.5)]), max_tokens=5)
    assert asked == [(50, 0.0), (50 * SECONDS, 0.0), (50 * SECONDS, 0.6)]


def test_files_of_one_recording_and_of_several(model, tmp_path):
    files = [wave_file(tmp_path / f"{name}.wav", sound(seconds, 1)[:, None]) for name, seconds in (("a", 1), ("b", 5))]
    frame = write(model, files, timestamps=True, max_tokens=20)
    assert frame["key"].tolist() == list(map(str, files))
    for ending in (".srt", ".vtt", ".json", ".txt"):
        write(model, files[1], tmp_path / f"one{ending}", max_tokens=20)
        assert (tmp_path / f"one{ending}").stat().st_size
    assert "-->" in (tmp_path / "one.srt").read_text()  # timestamps without being asked for
    write(model, files, tmp_path / "folder", timestamps=True, max_tokens=20)
    assert {path.name for path in (tmp_path / "folder").iterdir()} == {
        f"{name}{ending}" for name in "ab" for ending in (".srt", ".vtt", ".json", ".txt")
    }
    kept = json.loads((tmp_path / "folder" / "b.json").read_text())
    assert kept["segments"] == frame["text_segments"][1] and kept["seconds"] == pytest.approx(5.0, abs=0.01)
    assert sum(kept["languages"].values()) == pytest.approx(1.0)
    write(model, files, tmp_path / "all.csv", timestamps=True, max_tokens=20)
    cells = pd.read_csv(tmp_path / "all.csv")
    assert json.loads(cells["text_segments"][1]) == frame["text_segments"][1]
    write(model, files, tmp_path / "lines.txt", max_tokens=20)
    assert len((tmp_path / "lines.txt").read_text().splitlines()) == 2
    with pytest.raises(UserError, match="room for one recording"):
        write(model, files, tmp_path / "all.srt")
    with pytest.raises(UserError, match="no known kind"):
        write(model, files[1], tmp_path / "all.docx")


def test_subtitles():
    transcript = Transcript([Segment(0.0, 3.4567, "One & <two>.", 2), Segment(3661.2, 3662, "Three.", 1)])
    assert as_srt(transcript) == (
        "1\n00:00:00,000 --> 00:00:03,457\nChannel 2: One & <two>.\n\n"
        "2\n01:01:01,200 --> 01:01:02,000\nChannel 1: Three.\n"
    )
    assert as_vtt(transcript).startswith(
        "WEBVTT\n\n00:00:00.000 --> 00:00:03.457\n<v Channel 2>One &amp; &lt;two&gt;.\n"
    )


def test_channels_apart(model, tmp_path):
    left, right = sound(1.5, 1), sound(1.5, 2)
    file = wave_file(tmp_path / "two.wav", np.stack([left, right], axis=1))
    (split,) = write(model, file, channels="split", max_tokens=20).to_dict("records")
    texts = {
        channel: " ".join(segment["text"] for segment in split["text_segments"] if segment["channel"] == channel)
        for channel in (1, 2)
    }
    for channel, samples in ((1, left), (2, right)):
        mono = wave_file(tmp_path / f"{channel}.wav", samples[:, None])
        alone = write(model, mono, timestamps=True, max_tokens=20)["text"][0]
        assert texts[channel] == alone.replace("\n", " ")
    assert texts[1] != texts[2]
    silent = wave_file(tmp_path / "half.wav", np.stack([np.zeros_like(right), right], axis=1))
    spoken = write(model, silent, channels="split", max_tokens=20)["text_language"][0]
    assert spoken is not None and spoken == write(model, mono, max_tokens=20)["text_language"][0]


def test_languages_and_tasks(model, tmp_path):
    clip = table([sound(1.0, 4)])
    texts = [
        write(model, clip, max_tokens=20, **options)
        for options in (
            {"language": "de"},
            {"language": "German"},
            {"language": "ja"},
            {"language": "de", "task": "translate"},
        )
    ]
    assert texts[0]["text"][0] == texts[1]["text"][0]
    assert texts[0]["text_language"][0] == "de"
    assert len({frame["text"][0] for frame in texts}) > 1
    with pytest.raises(UserError, match=r"no language 'Germann'; did you mean 'german'"):
        write(model, clip, language="Germann")
    with pytest.raises(UserError, match="no task"):
        write(model, clip, task="sing")
    english = published()
    english.generation_config.is_multilingual = False
    english_only = sensorium.families.whisper.whisper(folder_of(english, tmp_path / "en"))
    for options in ({"language": "de"}, {"task": "translate"}):
        with pytest.raises(UserError, match="writes English alone"):
            write(english_only, clip, **options)
    assert write(english_only, clip, max_tokens=5)["text_language"][0] is None
    with pytest.raises(UserError, match="writes English alone"):
        transcript_head.Transcript.build(
            transcript_head.TranscriptConfig(model=str(tmp_path / "en"), task="translate"), 16, []
        )


def test_bad_recordings(model, tmp_path):
    good = wave_file(tmp_path / "good.wav", sound(0.5)[:, None])
    empty = wave_file(tmp_path / "empty.wav", np.zeros((0, 1)))
    silent = wave_file(tmp_path / "silent.wav", np.zeros((RATE, 1)))
    (tmp_path / "text.wav").write_text("no sound")
    files = [good, empty, silent, tmp_path / "text.wav"]
    with pytest.warns(UserWarning, match="2 of 4 records left out, first of all row 2"):
        frame = write(model, files, max_tokens=5)
    assert frame["key"].tolist() == [str(good), str(silent)]
    assert frame["text"][2] == ""
    with pytest.raises(RecordError, match="it holds no sound"):
        write(model, files, bad_records="stop", max_tokens=5)
    with pytest.raises(UserError, match="best"):
        write(model, good, best=2, temperature=1.0)
    with pytest.raises(UserError, match="alignment_heads"):
        plain = published()
        plain.generation_config.alignment_heads = None
        write(sensorium.families.whisper.whisper(folder_of(plain, tmp_path / "plain")), good, words=True)


def test_a_recording_is_read_in_pieces_of_any_rate(tmp_path):
    time = np.arange(3 * 44_100) / 44_100
    tone = np.stack([np.sin(500 * time), -np.sin(500 * time)], axis=1) / 2
    file = wave_file(tmp_path / "tone.wav", tone, 44_100)
    for value in (file.name, file.read_bytes(), (tone, 44_100)):
        pieces = list(read_recording(value, tmp_path, RATE))
        whole = np.concatenate(pieces, axis=1)
        assert whole.shape == (2, 3 * RATE) and whole.dtype == np.float32
        np.testing.assert_allclose(whole.mean(axis=0), 0, atol=1e-3)
        np.testing.assert_allclose(
            whole[0, 1000:-1000], np.sin(500 * np.arange(3 * RATE) / RATE)[1000:-1000] / 2, atol=0.01
        )
    assert len(list(read_recording(file.name, tmp_path, RATE))) > 1


def test_pieces_are_told_as_they_are_written(model):
    told: list[tuple[str, str]] = []
    clips = [sound(1.0, 1), sound(5.0, 2)]
    frame = write(model, table(clips), stream=lambda key, piece: told.append((key, piece)), max_tokens=20)
    for key, text in zip(frame["key"], frame["text"], strict=True):
        assert "".join(piece for told_key, piece in told if told_key == key).split() == text.split()


def test_a_fit_of_both_halves_transcribes_as_a_converted_model_does(tmp_path, monkeypatch):
    example(tmp_path)
    monkeypatch.chdir(tmp_path)
    encoder, head = "transformers_audio:models/whisper,own_window=true", "transcript:models/whisper,language=de"
    run = sensorium.fit(
        "talks.csv", target="text=text", encoders={"talk": encoder}, head={"text": head}, epochs=1, out="run",
        quiet=True,
    )  # fmt: skip
    frame = sensorium.write(run.model, "talks/talk-24.wav", timestamps=True, max_tokens=20)
    assert frame["text_language"][0] == "de"
    assert frame["text_segments"][0] is not None
    with pytest.raises(UserError, match="of a Whisper that reads recordings alone"):
        run.model.heads["text"].__class__.transcribes = False
        try:
            sensorium.write(run.model, "talks/talk-24.wav", timestamps=True)
        finally:
            run.model.heads["text"].__class__.transcribes = True


def test_own_windows_are_whispers():
    """Another encoder of speech says so in a sentence."""
    config = TransformersAudioConfig(model="any", architecture={"model_type": "wav2vec2"}, own_window=True)
    with pytest.raises(UserError, match="own_window is of Whisper"):
        TransformersAudio(config)


def test_files_are_added_to_a_folder_and_each_recording_has_its_own(model, tmp_path):
    """Into the folder of the recordings themselves, whose names are almost the same."""
    names = ("talk.wav", "talk (2).wav", "other/talk.wav", "other/TALK.wav")
    (tmp_path / "other").mkdir()
    files = [wave_file(tmp_path / name, sound(0.3, seed)[:, None]) for seed, name in enumerate(names)]
    write(model, files, tmp_path, max_tokens=5)
    assert all(file.is_file() for file in files)
    assert {path.name for path in tmp_path.glob("*.txt")} == {
        "talk.txt", "talk (2).txt", "talk (3).txt", "TALK (4).txt",
    }  # fmt: skip
    for number, record in enumerate(write(model, files, max_tokens=5).to_dict("records")):
        name = ("talk.txt", "talk (2).txt", "talk (3).txt", "TALK (4).txt")[number]
        assert (tmp_path / name).read_text().split() == record["text"].split()
    assert transcripts._names(["Dr. Smith 3.1", "a.b/c", ".."]) == ["Dr. Smith 3.1", "c", ".."]
    (tmp_path / "folder.srt").mkdir()
    for out, reason in (("folder.srt", "is a folder"), ("talk", "is a file")):
        (tmp_path / "talk").touch()
        with pytest.raises(UserError, match=reason):
            write(model, files[0], tmp_path / out)


def test_recordings_that_are_absent_or_no_recordings(model, tmp_path, capsys):
    good = (sound(0.5), RATE)
    frame = pd.DataFrame({"speech": [good, None, (sound(0.5), 0), (sound(0.5), "x"), (np.zeros((2, 3, 4)), RATE), 7]})
    with pytest.warns(UserWarning, match="4 of 6 records left out"):
        written = write(model, frame, max_tokens=5)
    assert written["absent"].tolist() == [[], ["speech"]] and pd.isna(written["text"][1])
    print_texts(written)
    assert capsys.readouterr().out.splitlines()[1].endswith(": ")
    with pytest.warns(UserWarning, match="4 values taken as absent"):
        assert len(write(model, frame, bad_records="absent", max_tokens=5)) == 6
    with pytest.warns(UserWarning, match="1 of 3 records left out"):
        write(model, frame[:3], tmp_path / "lines.txt", max_tokens=5)
    assert len((tmp_path / "lines.txt").read_text().split("\n")) == 3
    with pytest.warns(UserWarning, match="1 of 2 records left out"):
        write(model, frame.iloc[[0, 2]], tmp_path / "lines.txt", timestamps=True, max_tokens=20)
    assert (tmp_path / "lines.txt").read_text().count("\n") == 1  # a line a record, whichever are bad


def test_no_choice_has_timestamps(model):
    with pytest.raises(UserError, match="one of several choices has no timestamps"):
        write(model, table([sound(0.5)]), choices=("yes", "no"), timestamps=True)
    with pytest.raises(UserError, match="begins with a forced one has no timestamps"):
        write(model, table([sound(0.5)]), forced="yes", words=True)


def test_what_repeats_does_not_depend_on_the_order_of_reading():
    first, second, third = (0.0, False), (10.0, False), (4.0, True)
    segments = {
        first: [Segment(0.0, 4.0, "One two.")],
        second: [Segment(10.0, 12.0, "Three.")],
        third: [Segment(4.0, 6.0, "Two."), Segment(9.5, 9.9, "three")],
    }
    transcripts_of_orders = []
    for order in ((first, second, third), (third, second, first)):
        stream = Stream(0, "key", None, {}, iter(()))
        for place in order:
            stream.segments[place], stream.logprobs[place] = segments[place], -1.0
        transcripts_of_orders.append(transcribe.join([stream]))
    assert transcripts_of_orders[0] == transcripts_of_orders[1]
    assert transcripts_of_orders[0].text == "One two. Three." and transcripts_of_orders[0].logprob == -2.0


def test_texts_without_blanks_repeat_letters():
    written = [Segment(0.0, 4.0, "もう一度お願いします。")]
    assert repeats(Segment(4.1, 5.0, "お願いします"), written)
    assert not repeats(Segment(4.1, 5.0, "お願いした"), written)


@pytest.mark.parametrize(("seconds", "expected"), [(90.0, SECONDS), (0.3, 0.3)])
def test_windows_longer_than_the_model_reads_and_very_short_ones(tmp_path, seconds, expected):
    """Nothing of a recording is lost at the end of a window."""
    model, _ = ours(tmp_path)
    config = TransformersAudioConfig(model=str(tmp_path), own_window=True, seconds=seconds)
    model.encoders["speech"].processor = TransformersAudio.build(config, [], {}).processor
    assert model.encoders["speech"].processor.seconds == expected
    assert len(write(model, table([sound(3.0)]), max_tokens=5)) == 1


def test_the_sound_of_films_is_written(model, tmp_path):
    """A name that says film; what is in the file is a sound all the same."""
    film = wave_file(tmp_path / "talk.wav", sound(0.5)[:, None]).rename(tmp_path / "talk.mp4")
    for records in (film, tmp_path):
        assert write(model, records, max_tokens=5)["text"].notna().all()


def test_json_of_the_command_has_no_nan(model, tmp_path, capsys):
    model.save(tmp_path / "model")
    wave_file(tmp_path / "a.wav", sound(0.3)[:, None])
    (tmp_path / "talks.csv").write_text("speech\na.wav\n''\n".replace("''", '""'))
    write_verb(tmp_path / "model", [tmp_path / "talks.csv"], max_tokens=5, as_json=True)
    rows = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [row["text"] is None for row in rows] == [False, True]


def test_progress_reaches_the_seconds_of_a_recording_whose_channels_are_apart(model):
    two = pd.DataFrame({"speech": [(np.stack([sound(5.0, 1), sound(5.0, 2)]), RATE)]})
    steps: list[float] = []
    transcriber = transcribe.Transcriber(model, "text", Request(split=True), Generation(max_tokens=20))
    transcriber(model.read(two), None, steps.append)
    assert sum(steps) == pytest.approx(5.0)
