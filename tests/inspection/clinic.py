"""A made-up table without a fault, of pictures, sounds, texts, numbers and categories; and faults to plant in it."""

import csv
import io
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageEnhance

from tests.reviews import put

COUNT, SPEAKERS, CLASSES = 120, 24, ("crow", "finch", "robin")
PLACES = ("near the old mill", "behind the station", "by the river", "at the edge of town", "on a farm", "in the park")
SEEN = ("quietly feeding", "singing from a wire", "chased by a cat", "building a nest", "bathing", "calling twice")
WHEN = ("at dawn", "before the storm", "after lunch", "late in May", "on a cold day", "while it rained", "in thick fog")
Record = dict[str, str]


def picture(chance: np.random.Generator) -> Image.Image:
    """A picture of 48 x 48 of coloured blots, unlike any other."""
    pixels = chance.integers(0, 255, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((48, 48), Image.Resampling.BICUBIC)


def save_sound(path: Path, samples: np.ndarray, rate: int = 8000) -> None:
    """Writes samples, float [S], as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", "not compressed"))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def sound(chance: np.random.Generator) -> np.ndarray:
    """A sound of about half a second: four tones one after the other, float [S]."""
    parts = []
    for _ in range(4):
        time = np.arange(int(8000 * chance.uniform(0.08, 0.16))) / 8000
        parts.append(chance.uniform(0.2, 0.8) * np.sin(2 * np.pi * chance.uniform(150, 3500) * time))
    return np.concatenate(parts)


def make(folder: Path) -> list[Record]:
    """The records of the table without a fault; its files stand in `folder`."""
    chance = np.random.default_rng(5)
    (folder / "photos").mkdir(parents=True)
    (folder / "voices").mkdir()
    combined = [(where, what, when) for where in PLACES for what in SEEN for when in WHEN]
    chance.shuffle(combined)
    records = []
    for row in range(COUNT):
        picture(chance).save(folder / f"photos/{row}.png")
        save_sound(folder / f"voices/{row}.wav", sound(chance))
        where, what, when = combined[row]
        records.append(
            {
                "photo": f"photos/{row}.png",
                "voice": f"voices/{row}.wav" if chance.random() < 0.9 else "",
                "note": " ".join(chance.permutation([where, what, when])) + f" number {chance.integers(10_000)}",
                "weight": f"{chance.lognormal(3, 0.4):.1f}",
                "length": f"{chance.normal(14, 2):.2f}" if chance.random() < 0.9 else "",
                "weather": str(chance.choice(["sunny", "cloudy", "rain"])),
                "speaker": f"speaker {row % SPEAKERS}",
                "part": "test" if row % SPEAKERS >= 18 else "train",
                "bird": CLASSES[int(chance.integers(3))],
            }
        )
    return records


def write(folder: Path, records: list[Record]) -> Path:
    """The records as table.csv."""
    with open(folder / "table.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    return folder / "table.csv"


Plant = Callable[[Path, list[Record]], None]


def cells(column: str, values: dict[int, str]) -> Plant:
    """Puts values, by row from 0, in a column."""

    def plant(folder: Path, records: list[Record]) -> None:
        for row, value in values.items():
            records[row][column] = value

    return plant


def column(name: str, value: Callable[[int, Record], str]) -> Plant:
    """A column whose cell is a function of row and record."""

    def plant(folder: Path, records: list[Record]) -> None:
        for row, record in enumerate(records):
            record[name] = value(row, record)

    return plant


def broken_picture(folder: Path, records: list[Record]) -> None:
    path = folder / records[10]["photo"]
    put(path, path.read_bytes()[:300])


def missing_file(folder: Path, records: list[Record]) -> None:
    (folder / records[11]["photo"]).unlink()


def empty_sound(folder: Path, records: list[Record]) -> None:
    records[12]["voice"] = "voices/empty.wav"
    save_sound(folder / "voices/empty.wav", np.zeros(0))


def silent_sound(folder: Path, records: list[Record]) -> None:
    records[13]["voice"] = "voices/silent.wav"
    save_sound(folder / "voices/silent.wav", np.zeros(4000))


def sound_of_whole_numbers(folder: Path, records: list[Record]) -> None:
    records[13]["voice"] = "voices/loud.wav"
    soundfile.write(folder / "voices/loud.wav", 32_768 * sound(np.random.default_rng(99)), 8000, subtype="FLOAT")


def copied_picture(folder: Path, records: list[Record]) -> None:
    (folder / "photos/copy.png").write_bytes((folder / records[0]["photo"]).read_bytes())
    records[18]["photo"], records[18]["bird"] = "photos/copy.png", records[0]["bird"]


def compressed_picture(folder: Path, records: list[Record]) -> None:
    image = ImageEnhance.Brightness(Image.open(folder / records[1]["photo"])).enhance(1.05)
    data = io.BytesIO()
    image.resize((64, 64)).save(data, "JPEG", quality=60)
    (folder / "photos/again.jpg").write_bytes(data.getvalue())
    records[19]["photo"] = "photos/again.jpg"


def louder_sound(folder: Path, records: list[Record]) -> None:
    row = next(row for row, record in enumerate(records) if record["voice"] and record["part"] == "train" and row > 24)
    with wave.open(str(folder / records[row]["voice"])) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    noise = np.random.default_rng(1).normal(0, 0.001, len(samples) + 600)
    save_sound(folder / "voices/louder.wav", np.pad(samples, 300) * 1.15 + noise)
    records[20]["voice"] = "voices/louder.wav"


def near_text(folder: Path, records: list[Record]) -> None:
    records[21]["note"] = records[2]["note"].upper().replace(" NUMBER", ",  NUMBER") + "!"


def changed_text(folder: Path, records: list[Record]) -> None:
    records[22]["note"] = records[3]["note"] + " again"


def contradiction(folder: Path, records: list[Record]) -> None:
    records[4] |= {name: cell for name, cell in records[28].items() if name not in ("bird", "speaker", "part")}
    records[4]["bird"] = next(one for one in CLASSES if one != records[28]["bird"])


def absent_by_target(folder: Path, records: list[Record]) -> None:
    for row, record in enumerate(records):
        if record["bird"] == "robin" and row % 3:
            record["length"] = ""


def split_group(folder: Path, records: list[Record]) -> None:
    records[20]["part"] = "train"


PLANTS: dict[str, tuple[Plant, str, str]] = {
    "broken picture": (broken_picture, "broken-file", "photo"),
    "missing file": (missing_file, "broken-file", "photo"),
    "empty sound": (empty_sound, "broken-file", "voice"),
    "silent sound": (silent_sound, "blank-content", "voice"),
    "sound in units of 16 bits": (sound_of_whole_numbers, "cut-off-sound", "voice"),
    "copied picture": (copied_picture, "duplicate-across-split", "photo"),
    "compressed picture": (compressed_picture, "near-duplicate-across-split", "photo"),
    "louder sound": (louder_sound, "near-duplicate-across-split", "voice"),
    "near text": (near_text, "near-duplicate-across-split", "note"),
    "changed text": (changed_text, "near-duplicate-across-split", "note"),
    "leaking number": (
        column("score", lambda row, one: f"{CLASSES.index(one['bird']) * 3 + row % 7 / 7:.2f}"),
        "leaking-column", "score",
    ),
    "leaking category": (
        column("code", lambda row, one: f"x{len(one['bird'])}{one['bird'][0]}" if row % 40 else "xx"),
        "leaking-column", "code",
    ),
    "constant column": (column("country", lambda row, one: "Norway"), "constant-column", "country"),
    "row counter": (column("number", lambda row, one: str(row + 1000)), "row-counter", "number"),
    "row counter with gaps": (column("number", lambda row, one: str(3 * row + row % 2)), "row-counter", "number"),
    "contradiction": (contradiction, "contradictory-target", ""),
    "rare class": (cells("bird", {5: "wren"}), "rare-class", "bird"),
    "group on both sides": (split_group, "group-on-both-sides", "speaker"),
    "placeholder": (cells("length", {6: "N/A", 30: "n/a", 31: "-"}), "placeholder", "length"),
    "placeholder number": (cells("length", {6: "-999", 30: "-999"}), "placeholder", "length"),
    "placeholder category": (cells("weather", {6: "?", 30: "null"}), "placeholder", "weather"),
    "spelling": (cells("weather", {7: "Sunny ", 32: "CLOUDY"}), "spelling", "weather"),
    "spelling of a class": (
        column("bird", lambda row, one: one["bird"].upper() if row in (7, 31) else one["bird"]), "spelling", "bird",
    ),
    "absent by target": (absent_by_target, "absence-tells-target", "length"),
    "extreme value": (
        column("weight", lambda row, one: f"{float(one['weight']) * (1000 if row == 9 else 1):.1f}"),
        "extreme-value", "weight",
    ),
    "units": (column("weight", lambda row, one: f"{one['weight']} kg"), "number-with-unit", "weight"),
    "a few units": (
        column("weight", lambda row, one: one["weight"] + (" kg" if row % 20 == 0 else "")),
        "number-with-unit", "weight",
    ),
    "decimal comma": (column("weight", lambda row, one: one["weight"].replace(".", ",")), "decimal-comma", "weight"),
    "mixed dates": (
        column("seen", lambda row, one: f"2024-{row % 12 + 1}-{row % 28 + 1}" if row % 3 else f"{row % 11 + 1}/5/2024"),
        "unclear-date", "seen",
    ),
    "encoding damage": (cells("note", {9: "a cafÃ© by the fjord in MalmÃ¶, heard twice"}), "encoding-damage", "note"),
    "text is target": (
        column("remark", lambda row, one: f"this was a {one['bird']}, I think, {row}"), "leaking-column", "remark",
    ),
    "empty column": (column("remark", lambda row, one: ""), "empty-column", "remark"),
}  # fmt: skip
