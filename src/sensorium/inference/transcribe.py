"""What is said in recordings of any length: spans of all of them are read together, and each as if it were alone."""

import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensorium.data.media.recording import read_recording
from sensorium.data.scan import record_error
from sensorium.data.table import Table
from sensorium.errors import RecordError, UserError
from sensorium.features import Features
from sensorium.generation.alignment import token_frames
from sensorium.generation.autoregressive import generate
from sensorium.generation.settings import Generation
from sensorium.generation.timestamps import SECONDS_A_STEP, is_loop
from sensorium.inference.listening import Begun, Heard, Job, Request, Stream
from sensorium.inference.spans import SILENT, cut_spans, unread
from sensorium.inference.transcript import Segment, Transcript, likeliest, stretches
from sensorium.inference.words import words_of
from sensorium.model import Model

BATCH, AHEAD = 16, 64  # spans that are read at once, and among which those of like lengths are chosen
FIRST_SILENCE = 6.0  # seconds that are read after a span at first; where that goes wrong, as many as the model can
# What is tried when a text is taken for wrong (Radford et al. 2023, arXiv:2212.04356, section 4.5).
MOST_COMPRESSION = 2.4
TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)


class Transcriber:
    """Writes what is said in the recordings of a table, which are the only input of `model`, with its head `target`.

    settings: of the search. stream: called with a record's key and each text that is written of it.
    """

    def __init__(
        self,
        model: Model,
        target: str,
        request: Request,
        settings: Generation,
        stream: Callable[[str, str], None] | None = None,
    ):
        (self.input,) = model.encoders.names
        self.model, self.head = model.eval(), model.heads[target]
        self.processor = model.encoders[self.input].processor
        self.request, self.settings, self.stream = request, settings, stream
        self.again: deque[Job] = deque()  # parts of spans that are to be read once more
        self.speech, self.tokenizer = self.head.speech, self.head.processor.tokenizer
        language = request.language or self.head.config.language
        self.language = None if language is None else self.speech.code_of(language)
        self.speech.check_task(request.task or self.head.config.task)
        if request.words and not self.head.config.alignment:
            raise UserError(
                "This Whisper does not say which of its attention times words (alignment_heads of its configuration),"
                " so there are no times of words; leave words out."
            )

    @torch.no_grad()
    def __call__(
        self, table: Table, bad: list[RecordError] | None, progress: Callable[[float], None]
    ) -> list[Transcript | None]:
        """The transcript of each record, None of one that lacks the recording or cannot be read.

        bad: gets the error of each that cannot be read; without it the first is raised. progress: called with the
        seconds that were read.
        """
        errors: dict[int, RecordError] = {}
        waiting, active, streams = self._streams(table, errors, bad is None), deque(), []
        while jobs := self._gather(active, waiting, streams):
            jobs.sort(key=lambda job: len(job.span.samples))  # so that those of like lengths are read together
            for start in range(0, len(jobs), BATCH):
                batch = jobs[start : start + BATCH]
                self._read(batch)
                samples = sum(len(job.span.samples) / job.stream.channels for job in batch if not job.span.again)
                progress(samples / self.processor.rate)
            if self.stream is not None:
                for job in sorted(jobs, key=lambda job: (job.stream.row, job.place[::-1])):
                    new_segments = job.stream.new_segments(job.place, job.stream.streamed)
                    job.stream.streamed += new_segments
                    for segment in new_segments:
                        self.stream(job.stream.key, f"{segment.text} ")
        if bad is not None:
            bad += errors.values()
        of_rows: dict[int, list[Stream]] = {}
        for stream in streams:
            of_rows.setdefault(stream.row, []).append(stream)
        return [join(of_rows[row]) if row in of_rows and row not in errors else None for row in range(len(table))]

    def _streams(self, table: Table, errors: dict[int, RecordError], stop: bool) -> Iterator[Stream]:
        """What there is to read in each record, opened when it is its turn."""
        spec = next(spec for spec in table.schema.inputs if spec.name == self.input)
        rate, longest = self.processor.rate, self.processor.seconds
        languages = None if self.speech.languages else {}
        languages = languages if self.language is None else {self.language: 1.0}
        misfits = {error.row for error in table.misfits}
        for row, key in enumerate(table.keys):
            value = table.value(row, spec)
            if value is None or table.rows[row] in misfits:
                continue

            def pieces(channel: int | None, row: int = row, value: Any = value) -> Iterator[np.ndarray]:
                try:
                    for piece in read_recording(value, table.root, rate):  # float32 [channels, S]
                        yield piece.mean(axis=0) if channel is None else piece[channel - 1]
                except ValueError as error:
                    errors[row] = record_error(table, row, spec, error)
                    if stop:
                        raise errors[row] from error

            channels: Sequence[int | None] = [None]
            if self.request.split:
                channels = range(1, 1 + self._channels(value, table, rate))
            for channel in channels:
                spans = cut_spans(pieces(channel), rate, longest)
                yield Stream(row, key, channel, languages, spans, channels=len(channels))

    @staticmethod
    def _channels(value: Any, table: Table, rate: int) -> int:
        """How many channels a recording has; 1 where it cannot be read."""
        try:
            return len(next(read_recording(value, table.root, rate)))
        except ValueError:
            return 1

    def _gather(self, active: deque[Stream], waiting: Iterator[Stream], streams: list[Stream]) -> list[Job]:
        """The next spans to read: a single one of a recording whose language is to be detected in it. `active` are the
        recordings of which there may be more; `streams` gets those that are opened.
        """
        jobs = [self.again.popleft() for _ in range(min(len(self.again), AHEAD))]
        later = []
        while len(jobs) < AHEAD:
            if active:
                stream = active.popleft()
            elif (stream := next(waiting, None)) is not None:
                streams.append(stream)
            else:
                break
            while len(jobs) < AHEAD:
                span = next(stream.spans, None)
                if span is None:
                    break
                stream.seconds = span.start + len(span.samples) / self.processor.rate
                if np.abs(span.samples).max() < SILENT:
                    continue
                jobs.append(Job(stream, span))
                if stream.languages is None:
                    later.append(stream)
                    break
            else:
                later.append(stream)
        active.extendleft(reversed(later))
        return jobs

    def _read(self, jobs: Sequence[Job]) -> None:
        """Gives the streams of `jobs` what is said in their spans."""
        fused = self._fuse(jobs, FIRST_SILENCE)
        heard = self._hear(jobs, fused, self.settings, [job.stream.languages for job in jobs])
        heard = self._hear_again(jobs, heard)
        times = self._word_times(jobs, fused, heard) if self.request.words else [None] * len(jobs)
        for job, result, starts in zip(jobs, heard, times, strict=True):
            stream = job.stream
            if result.silent:
                stream.segments[job.place], stream.logprobs[job.place] = [], 0.0
                continue
            stream.languages = result.languages if stream.languages is None else stream.languages
            segments = self._segments(job, result, starts)
            stream.segments[job.place], stream.logprobs[job.place] = segments, result.logprob
            if self.request.timed:
                texts = [(segment.start - job.span.start, segment.end - job.span.start) for segment in segments]
                self.again.extend(Job(stream, span) for span in unread(job.span, self.processor.rate, texts))

    def _fuse(self, jobs: Sequence[Job], silence: float) -> Features:
        items = [self.processor.window(job.span.samples, silence) for job in jobs]
        batch = {name: tensor.to(self.model.device) for name, tensor in self.processor.pad(items).items()}
        return self.model.fuse(self.model.encode({self.input: batch}))

    def _hear(
        self, jobs: Sequence[Job], fused: Features, settings: Generation, languages: Sequence[dict[str, float] | None]
    ) -> list[Heard]:
        """What the head writes of each span. languages: of each, None for those that are detected."""
        head, speech = self.head, self.speech
        logits, state = head.begin(fused)
        no_speech = torch.zeros(len(jobs)) if speech.no_speech is None else logits.softmax(dim=1)[:, speech.no_speech]
        if speech.languages:
            detected = head.language_probabilities(logits).tolist()
            languages = [
                dict(zip(speech.languages, row, strict=True)) if stream_languages is None else stream_languages
                for stream_languages, row in zip(languages, detected, strict=True)
            ]
        codes = [likeliest(probabilities) or "" for probabilities in languages]
        prompt = head.prompt(codes, len(jobs), self.request.task, self.request.timed).to(logits.device)
        for tokens in prompt.unbind(1):
            logits = head.step(tokens, state)
        keys = [f"{job.stream.key}\0{job.stream.channel}\0{job.place}" for job in jobs]
        written = generate(
            Begun(head, logits, state), fused, settings.as_tokens(head.processor), keys, self.tokenizer.decode,
            rules=head.rules(self.request.timed),
        )  # fmt: skip
        return [
            Heard(tokens, logprob, silence, self._loops(tokens), probabilities)
            for tokens, logprob, silence, probabilities in zip(
                self._own(written.tokens[:, 0]), written.logprob[:, 0].tolist(), no_speech.tolist(), languages,
                strict=True,
            )
        ]  # fmt: skip

    def _hear_again(self, jobs: Sequence[Job], heard: list[Heard]) -> list[Heard]:
        """The spans whose text is doubtful once more, in as long a window as the model reads; then sampled."""
        heard = list(heard)
        rows = [row for row, result in enumerate(heard) if result.doubtful]
        if not rows:
            return heard
        fused = self._fuse([jobs[row] for row in rows], self.processor.seconds)
        temperatures = () if self.settings.temperature else TEMPERATURES
        for temperature in (self.settings.temperature, *temperatures):
            doubtful = [index for index, row in enumerate(rows) if heard[row].doubtful]
            if not doubtful:
                break
            rows = [rows[index] for index in doubtful]
            fused = fused.take(torch.tensor(doubtful, device=fused.mask.device))
            settings = self.settings
            if temperature:
                settings = settings.model_copy(update={"temperature": temperature, "beams": 1})
            again = self._hear([jobs[row] for row in rows], fused, settings, [heard[row].languages for row in rows])
            for row, result in zip(rows, again, strict=True):
                heard[row] = heard[row].better(result)
        return heard

    def _own(self, tokens: Tensor) -> list[list[int]]:
        """int64 [B, L] -> the tokens of each row, without padding."""
        pad = self.head.special.pad
        return [[token for token in row if token != pad] for row in tokens.tolist()]

    def _loops(self, tokens: list[int]) -> bool:
        text = self.tokenizer.decode(tokens).encode()
        compressed = len(text) > MOST_COMPRESSION * len(zlib.compress(text))
        return compressed or bool(is_loop(torch.tensor([tokens])))

    def _segments(self, job: Job, heard: Heard, starts: list[float] | None) -> list[Segment]:
        """The texts of a span, with times from the beginning of the recording."""
        seconds, first_stamp = len(job.span.samples) / self.processor.rate, self.speech.no_timestamps + 1
        segments = []
        begins = 0
        for stretch in stretches(heard.tokens, first_stamp, seconds):
            ends, words = begins + len(stretch.tokens), None
            start, end = job.span.start + stretch.start, job.span.start + stretch.end
            if starts is not None:
                times = [min(max(start, job.span.start + time), end) for time in starts[begins : ends + 1]]
                language = likeliest(heard.languages)
                words = words_of(stretch.tokens, times, self.tokenizer.decode, language)
            begins = ends
            text = self.tokenizer.decode(stretch.tokens).strip()
            if text:
                segments.append(Segment(start, end, text, job.stream.channel, words))
        return segments

    def _word_times(self, jobs: Sequence[Job], fused: Features, heard: Sequence[Heard]) -> list[list[float]]:
        """Of each span, the seconds at which the tokens of its text begin, without timestamps, and the last ends."""
        first_stamp = self.speech.no_timestamps + 1
        texts = [[token for token in result.tokens if token < first_stamp] for result in heard]
        codes = [likeliest(result.languages) or "" for result in heard]
        prompt = self.head.prompt(codes, len(jobs), self.request.task)
        longest = max(map(len, texts))
        read = torch.tensor([text + [self.head.special.pad] * (longest - len(text)) for text in texts])
        read = torch.cat([prompt, read.view(len(jobs), -1).long()], dim=1).to(fused.mask.device)
        attention = self.head.attention(fused, read)  # [B, A, 1 + P + L, S]
        times = []
        for row, (job, text) in enumerate(zip(jobs, texts, strict=True)):
            frames = round(len(job.span.samples) / self.processor.rate / SECONDS_A_STEP)
            before = prompt.shape[1]  # the token that is read before the first of the text
            weights = attention[row, :, before : before + len(text) + 1, : max(1, frames)]
            times.append((token_frames(weights) * SECONDS_A_STEP).tolist())
        return times


def join(streams: Sequence[Stream]) -> Transcript:
    """The transcript of a recording, of its channels in the order of time, in whatever order its spans were read."""
    segments, logprob = [], 0.0
    for stream in streams:
        written: list[Segment] = []
        for start, again in sorted(stream.segments, key=lambda key: key[::-1]):  # what was read once more comes last
            new_segments = stream.new_segments((start, again), written)
            written += new_segments
            logprob += stream.logprobs[start, again] if new_segments or not again else 0.0
        segments += written
    segments.sort(key=lambda segment: segment.start)
    languages = next((stream.languages for stream in streams if stream.languages), {})
    return Transcript(segments, logprob, languages, max(stream.seconds for stream in streams))
