"""Whisper on spoken prompts against Transformers' pipeline: seconds, ratio and word error, and what else it hears.

    python benchmarks/speech.py FOLDER [--prompts ../shared/data/prompts] [--recordings 282] [--repeats 3] [--threads 1]
    python benchmarks/speech.py FOLDER --quality [--recordings 282] [--minutes 30]
    python benchmarks/speech.py FOLDER --memory 180

FOLDER is a Whisper in Transformers' format or CTranslate2's. Speed: both write the same recordings in float32, from
files to texts, in turn; the peer in batches of 1, 8 and 16, of which its best counts. faster-whisper stands beside it
in float32 and int8 where it can be imported (FOLDER must then be of CTranslate2). Word errors are after Transformers'
English normaliser. --quality: the word error of single prompts and of all of them in one recording with pauses, the
digits of one speaker, captions spoken in other languages. --memory: the most memory on a recording of so many minutes.
"""

import argparse
import csv
import resource
import statistics
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import jiwer
import numpy as np
import pandas as pd
import torch
from transformers import pipeline
from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

import sensorium
from sensorium.data.media.decoding import decode
from sensorium.families.checkpoints import convert

RATE, FEWEST_WORDS = 16_000, 3
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ENGLISH, PLAIN = EnglishTextNormalizer({}), BasicTextNormalizer()
Way = Callable[[list[str]], list[str]]


def prompts(folder: Path, count: int) -> tuple[list[str], list[str]]:
    """Files and their texts, spread over the table."""
    with open(folder / "prompts.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows = [rows[index] for index in np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)]
    return [str(folder / row["speech"]) for row in rows], [row["text"] for row in rows]


def word_error(references: list[str], texts: list[str], normalise: Callable[[str], str] = ENGLISH) -> float:
    """Of all texts together; those without a word are left out."""
    pairs = [(normalise(reference), normalise(text)) for reference, text in zip(references, texts, strict=True)]
    return jiwer.wer(*map(list, zip(*(pair for pair in pairs if pair[0].strip()), strict=True)))


def ours(checkpoint: Path, **options: str) -> Way:
    """The way of `sensorium write`."""
    model = sensorium.load(checkpoint)
    return lambda files: sensorium.write(model, files, **options)["text"].tolist()


def peer(folder: Path, batch_size: int, **options: str) -> Way:
    """Transformers' pipeline, on samples that are decoded as ours are, since it needs the program ffmpeg for files."""
    recognise = pipeline("automatic-speech-recognition", model=str(folder), dtype=torch.float32, device="cpu")
    recognise.model.generation_config.max_length = None

    def write(files: list[str]) -> list[str]:
        clips = [{"raw": decode("audio", file, Path(), rate=RATE), "sampling_rate": RATE} for file in files]
        return [text["text"] for text in recognise(clips, batch_size=batch_size, generate_kwargs=dict(options))]

    return write


def faster_whisper(folder: Path, compute_type: str, threads: int, language: str | None) -> Way | None:
    """faster-whisper, greedy; None where it is not installed."""
    try:
        from faster_whisper import WhisperModel
    except ImportError:
        return None
    model = WhisperModel(str(folder), device="cpu", compute_type=compute_type, cpu_threads=threads)
    options = {"language": language, "beam_size": 1, "without_timestamps": True}
    return lambda files: ["".join(part.text for part in model.transcribe(file, **options)[0]) for file in files]


def speed(source: Path, checkpoint: Path, published: Path, arguments: argparse.Namespace) -> None:
    """Prints a line a way."""
    files, texts = prompts(arguments.prompts, arguments.recordings)
    seconds = sum(len(decode("audio", file, Path(), rate=RATE)) for file in files) / RATE
    print(f"{len(files)} recordings of {seconds:.0f} s, {torch.get_num_threads()} threads")
    language = {"language": "en"} if sensorium.load(checkpoint).heads["text"].speech.languages else {}
    ways: dict[str, Way | None] = {"sensorium": ours(checkpoint, **language)}
    ways |= {f"pipeline, batches of {size}": peer(published, size, **language) for size in (1, 8, 16)}
    for compute_type in ("float32", "int8"):
        way = faster_whisper(source, compute_type, arguments.threads, language.get("language"))
        ways |= {} if way is None else {f"faster-whisper {compute_type}": way}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    errors = {}
    for repeat in range(-1, arguments.repeats):  # once to warm up, on few
        for name, way in ways.items():
            began = time.perf_counter()
            written = way(files[:2] if repeat < 0 else files)
            if repeat >= 0:
                taken[name].append(time.perf_counter() - began)
                errors[name] = word_error(texts, written)
    best = min((name for name in ways if name.startswith("pipeline")), key=lambda name: statistics.median(taken[name]))
    for name, runs in taken.items():
        ratios = [theirs / own for theirs, own in zip(taken[best], runs, strict=True)]
        print(
            f"  {name:24} {statistics.median(runs):7.1f} s, {statistics.median(ratios):5.2f} times {best}"
            f" ({min(ratios):.2f} to {max(ratios):.2f}), word error {errors[name]:.4f}",
            flush=True,
        )


def joined(files: list[str], texts: list[str], minutes: float) -> tuple[np.ndarray, str]:
    """Recordings in random order with pauses, float32 [S], and their text."""
    random, parts, words, count = np.random.default_rng(0), [], [], 0
    while count < 60 * minutes * RATE:
        index = random.integers(len(files))
        clip = decode("audio", files[index], Path(), rate=RATE)
        pause = np.zeros(round(RATE * random.uniform(0.5, 2.0)), np.float32)
        parts, words, count = [*parts, clip, pause], [*words, texts[index]], count + len(clip) + len(pause)
    return np.concatenate(parts), " ".join(words)


def quality(checkpoint: Path, arguments: argparse.Namespace) -> None:
    """Prints a line a claim."""
    model = sensorium.load(checkpoint)
    files, texts = prompts(arguments.prompts, arguments.recordings)
    written = sensorium.write(model, files)["text"].tolist()
    print(f"{len(files)} prompts: word error {word_error(texts, written):.4f}", flush=True)
    samples, text = joined(files, texts, arguments.minutes)
    for options in ({}, {"timestamps": True}):
        frame = sensorium.write(model, pd.DataFrame({"speech": [(samples, RATE)]}), **options)
        error = word_error([text], frame["text"].tolist())
        print(f"{arguments.minutes:g} minutes in one{' with timestamps' if options else ''}: {error:.4f}", flush=True)
    data = arguments.prompts.parent
    recordings = sorted((data / "spoken_digits").glob("*.wav"))
    speaker = recordings[0].stem.split("_")[1]
    own = [path for path in recordings if path.stem.split("_")[1] == speaker][: arguments.digits]
    options = {"language": "en"} if model.heads["text"].speech.languages else {}
    heard = sensorium.write(model, list(map(str, own)), **options)["text"].tolist()
    right = [ENGLISH(DIGITS[int(path.stem[0])]) == ENGLISH(text) for path, text in zip(own, heard, strict=True)]
    kevins = sum("kevin" in text.lower() for text in heard)
    print(f"{len(own)} digits of {speaker}: {np.mean(right):.3f} right, {kevins} times Kevin", flush=True)
    for language, spoken, reference in captions(data / "stamps") if options else ():
        heard = sensorium.write(model, spoken, language=language)["text"].tolist()
        error = word_error(reference, heard, PLAIN)
        detected = (sensorium.write(model, spoken)["text_language"] == language).mean()
        print(
            f"{len(spoken)} captions in {language}: word error {error:.4f}, language found {detected:.3f}", flush=True
        )


def captions(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Of each language its code, the files and the texts of the captions that are spoken, of three words or more."""
    table = pd.read_csv(folder / "stamps.csv")
    for language in ("fr", "es"):
        rows = table[table[f"speech_{language}"].notna() & (table[language].str.split().str.len() >= FEWEST_WORDS)]
        rows = rows.drop_duplicates(language)
        yield language, [str(folder / path) for path in rows[f"speech_{language}"]], rows[language].tolist()


def memory(checkpoint: Path, arguments: argparse.Namespace) -> None:
    """Prints the most memory before and after a long recording, a file of prompts again and again."""
    files, texts = prompts(arguments.prompts, arguments.recordings)
    samples, _ = joined(files, texts, 3)
    model = sensorium.load(checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            for _ in range(round(arguments.memory / 3)):
                file.writeframes((samples * 32767).astype("<i2").tobytes())
        sensorium.write(model, files[:32])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        began = time.perf_counter()
        sensorium.write(model, path)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(
        f"{arguments.memory:g} minutes in {time.perf_counter() - began:.0f} s: {after:.0f} MB at most, {before:.0f} MB"
        " with 32 prompts"
    )


def main() -> None:
    """Converts the model, both ways, and measures what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prompts", type=Path, default=Path(__file__).resolve().parents[2] / "shared/data/prompts")
    parser.add_argument("--recordings", type=int, default=282)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--digits", type=int, default=200)
    parser.add_argument("--memory", type=float)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, published = Path(folder) / "ours", Path(folder) / "published"
        convert(arguments.folder, checkpoint)
        if arguments.memory:
            memory(checkpoint, arguments)
        elif arguments.quality:
            quality(checkpoint, arguments)
        else:
            convert(checkpoint, published, to="transformers")
            speed(arguments.folder, checkpoint, published, arguments)


if __name__ == "__main__":
    main()
