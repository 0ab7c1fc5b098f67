"""A transcript as a file: plain text, SubRip (.srt), WebVTT (.vtt) and JSON."""

import json
from collections.abc import Callable
from pathlib import Path

from sensorium.files import whole_file
from sensorium.inference.transcript import Segment, Transcript


def as_text(transcript: Transcript) -> str:
    """A line for each segment."""
    return "".join(f"{_speaker(segment, 'Channel {}: ')}{segment.text}\n" for segment in transcript.segments)


def as_srt(transcript: Transcript) -> str:
    """Numbered captions."""
    captions = (
        f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n"
        f"{_speaker(segment, 'Channel {}: ')}{segment.text}\n"
        for number, segment in enumerate(transcript.segments, 1)
    )
    return "\n".join(captions)


def as_vtt(transcript: Transcript) -> str:
    """Captions, with the channel as their voice."""
    captions = (
        f"\n{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n"
        f"{_speaker(segment, '<v Channel {}>')}{_escaped(segment.text)}\n"
        for segment in transcript.segments
    )
    return "WEBVTT\n" + "".join(captions)


def as_json(transcript: Transcript) -> str:
    """All that is known."""
    facts = {
        "text": transcript.text,
        "language": transcript.language,
        "languages": transcript.languages,
        "seconds": round(transcript.seconds, 3),
        "segments": [segment.as_dict() for segment in transcript.segments],
    }
    return json.dumps(facts, ensure_ascii=False, indent=1) + "\n"


FORMATS: dict[str, Callable[[Transcript], str]] = {".txt": as_text, ".srt": as_srt, ".vtt": as_vtt, ".json": as_json}
TIMED = {".srt", ".vtt"}


def write_transcript(transcript: Transcript, path: Path) -> None:
    """Writes the file that the ending of `path` says, whole or not at all."""
    with whole_file(path) as new:
        new.write_text(FORMATS[path.suffix](transcript), encoding="utf-8")


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


def _speaker(segment: Segment, pattern: str) -> str:
    return "" if segment.channel is None else pattern.format(segment.channel)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
