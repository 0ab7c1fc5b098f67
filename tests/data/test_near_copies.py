"""Near-copies of texts, pictures and sounds are found by the gap in the data; what is only alike is not."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance

import sensorium
from sensorium.comparison.variants import make_folds
from sensorium.config.schema import DataSettings, Recipe
from sensorium.data import fingerprints
from sensorium.data.near_copies import compare_columns, find_families, join_families, source_sentences
from sensorium.data.read import read
from sensorium.data.scan import scan
from sensorium.data.table import Table
from sensorium.runs.resolve import resolve_config
from sensorium.tasks import TASKS
from sensorium.tasks.splits import split_records
from tests.inspection import clinic


def compressed(image: Image.Image) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=50)
    return Image.open(io.BytesIO(data.getvalue())).convert("RGB")


CHANGES = {
    "compressed": compressed,
    "smaller": lambda image: image.resize((33, 40)),
    "larger": lambda image: image.resize((200, 200), Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "weaker": lambda image: ImageEnhance.Contrast(image).enhance(0.85),
}


def table_of(column: str, kind: str, values: list, **more) -> Table:
    frame = pd.DataFrame({column: pd.Series(values, dtype=object), "y": np.arange(len(values)) % 2} | more)
    return read(frame, target="y", columns={column: kind}, quiet=True)


def families(table: Table) -> list[list[int]]:
    """The records of each family of the first input."""
    scanned = scan(table, fingerprints=True)
    codes = compare_columns(table, scanned.ids, scanned.fingerprints)[0].codes
    return [np.flatnonzero(codes == code).tolist() for code in pd.unique(codes[codes >= 0])]


def random_texts(count: int, words: int = 12) -> list[str]:
    rng = np.random.default_rng(4)
    vocabulary = ["".join(rng.choice(list("abcdefghij"), 6)) for _ in range(500)]
    return [" ".join(rng.choice(vocabulary, words)) for _ in range(count)]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_picture_is_near_its_original_and_no_other(change):
    rng = np.random.default_rng(0)
    images = [clinic.picture(rng) for _ in range(60)]
    changed = [np.asarray(CHANGES[change](image)) for image in images[:20]]
    found = families(table_of("photo", "image", [np.asarray(image) for image in images] + changed))
    assert found == [[row, row + 60] for row in range(20)]


def test_pictures_of_one_colour_with_noise_are_not_alike():
    rng = np.random.default_rng(1)
    reds = [
        np.clip(np.array([220, 30, 30]) + rng.normal(0, 12, (64, 64, 3)), 0, 255).astype(np.uint8) for _ in "ab" * 20
    ]
    assert families(table_of("photo", "image", reds)) == []


def test_a_shape_in_another_colour_is_not_the_same():
    black, white = np.full((64, 64, 3), 128, np.uint8), np.full((64, 64, 3), 128, np.uint8)
    black[16:48, 16:48], white[16:48, 16:48] = 0, 255
    assert families(table_of("photo", "image", [black, white])) == []


def test_a_louder_padded_noisy_sound_is_the_same_and_a_tone_of_about_the_same_pitch_is_not():
    rng = np.random.default_rng(3)
    waves = [clinic.sound(rng) for _ in range(30)]
    time = np.arange(8000) / 8000
    waves += [np.sin(2 * np.pi * pitch * time) for pitch in (700, 706)]
    copy = np.pad(0.3 * waves[5], (500, 90)) + rng.normal(0, 0.001, len(waves[5]) + 590)
    found = families(table_of("voice", "audio", [(wave.astype(np.float32), 8000) for wave in [*waves, copy]]))
    assert found == [[5, 32]]


def test_texts_with_another_word_are_near_and_others_are_not():
    written = random_texts(400)
    copies = [" ".join([*text.split()[:11], "zzz"]) for text in written[:100]]
    found = families(table_of("note", "text", written + copies))
    assert len(found) >= 98 and all(family[1] == family[0] + 400 for family in found)
    assert families(table_of("note", "text", written)) == []
    assert fingerprints.split_words("  The Café -- ISN'T,open! ") == ["the", "café", "isn", "t", "open"]


def test_texts_of_a_few_phrases_are_alike_by_nature():
    rng = np.random.default_rng(5)
    colours, shapes, places = ("red", "green", "blue"), ("circle", "square", "star"), ("left", "right", "top", "bottom")
    texts = [f"there is a {rng.choice(colours)} {rng.choice(shapes)} at the {rng.choice(places)}" for _ in range(300)]
    assert families(table_of("note", "text", texts)) == []


def test_a_family_is_on_one_side_of_every_split_and_fold_unless_declined():
    texts = random_texts(60)
    table = table_of("note", "text", texts + [f"{text} again" for text in texts])
    scanned = scan(table, fingerprints=True)
    codes, sentences = find_families(table, scanned.ids, scanned.fingerprints)
    assert all(part in sentences[0] for part in ("120 texts of 'note'", "such as rows 1 and", "near_copies=false"))
    recipe = Recipe(data=DataSettings(target={"y": None}, test=0.3))

    def crossing(keep_together: np.ndarray | None) -> int:
        splits = split_records(table, scanned.ids, recipe, keep_together=keep_together)
        sides = [set((splits[name].table.rows - 1) % 60) for name in ("train", "validation", "test")]
        return len(sides[0] & sides[1]) + len(sides[0] & sides[2]) + len(sides[1] & sides[2])

    assert crossing(codes) == 0 and crossing(None) > 10
    folds = make_folds(table, 4, recipe, codes)
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(120))
    assert not any(set(fold.test % 60) & set(np.concatenate([fold.train, fold.validation]) % 60) for fold in folds)


def test_families_are_merged_with_groups_unless_they_chain_them_to_one():
    texts = random_texts(40)
    table = table_of("note", "text", [*texts, f"{texts[0]} again", f"{texts[1]} again"])
    columns = compare_columns(table, scan(table).ids, {})
    groups = np.array([f"writer {row % 21}" for row in range(42)])
    joined = join_families(columns, groups)
    assert joined[0] == joined[40] == joined[21] and joined[1] != joined[2] and len(set(joined)) == 19
    few = np.array([f"writer {row % 4}" for row in range(42)])
    few[40:] = ["writer 1", "writer 2"]
    assert join_families(columns, few) is None


def test_a_column_that_reads_like_a_source_is_named():
    writers = [f"w{row % 12}" for row in range(240)]
    table = table_of("note", "text", random_texts(240), writer=writers, weather=["sun", "rain"] * 120)
    assert list(source_sentences(table)) == ["writer"]
    assert "12 values" in source_sentences(table)["writer"] and "--group writer" in source_sentences(table)["writer"]


def test_a_run_from_before_near_copies_goes_on_as_it_began(tmp_path):
    table = tmp_path / "table.csv"
    pd.DataFrame({"note": random_texts(20), "y": ["a", "b"] * 10}).to_csv(table, index=False)
    recipe = Recipe(data=DataSettings(path=str(table), target={"y": "class"}))
    recipe.save(tmp_path / "recipe.yaml")
    assert resolve_config(TASKS["supervised"](), tmp_path, None, {}, True).data.near_copies
    lines = (tmp_path / "recipe.yaml").read_text().splitlines()
    (tmp_path / "recipe.yaml").write_text("\n".join(line for line in lines if "near_copies" not in line))
    assert not resolve_config(TASKS["supervised"](), tmp_path, None, {}, True).data.near_copies


def test_fit_says_what_it_keeps_together(tmp_path, capsys):
    texts = random_texts(30)
    frame = pd.DataFrame({"note": [*texts, *(f"{text} again" for text in texts)], "y": ["a", "b"] * 30})
    sensorium.fit(frame, tmp_path / "run", target="y", columns={"note": "text"}, test=0.2, epochs=1, device="cpu")
    printed = " ".join(capsys.readouterr().out.split())
    assert "! 60 texts of 'note' are near-copies (30 families" in printed


def test_descriptions_of_one_sticker_are_a_family(shared, tmp_path):
    subprocess.run([sys.executable, shared / "data" / "stickers.py", tmp_path, "1"], check=True)
    frame = pd.read_csv(tmp_path / "stickers-with-emoji.csv").dropna(subset=["description"])
    table = table_of("description", "text", frame["description"].tolist())
    codes = compare_columns(table, scan(table).ids, {})[0].codes
    same = frame["emoji"].to_numpy()[:, None] == frame["emoji"].to_numpy()
    joined = (codes[:, None] == codes) & (codes >= 0)
    upper = np.triu(np.ones_like(same), 1)
    hits = (same & joined & upper).sum()
    assert hits / (joined & upper).sum() >= 0.95 and hits / (same & upper).sum() >= 0.9
