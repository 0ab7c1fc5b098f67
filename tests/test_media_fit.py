"""Pictures and sounds of many kinds in one table, from the command line to a prediction."""

import io
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

import sensorium as api
from tests.data.media.films import film, gray
from tests.data.media.test_audio import encoded, sine
from tests.reviews import FEW, put, sensorium, write

PICTURES = ("jpg", "png", "gif", "tif", "heic", "avif")


def picture(red: bool, ending: str) -> bytes:
    values = np.zeros((40, 50, 3), np.uint8)
    values[..., 0 if red else 2] = 200
    image = Image.fromarray(values)
    if ending == "tif":
        image = image.convert("CMYK")
    file = io.BytesIO()
    if ending == "heic":
        pillow_heif.from_pillow(image).save(file)
    else:
        image.save(file, {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper()))
    return file.getvalue()


def sound(high: bool, ending: str) -> bytes:
    samples = sine(16000, 0.8, 1500 if high else 300)
    if ending == "mp4":
        return film(gray(8), sound=samples)
    return encoded(samples, 16000, *{"wav": ("pcm_s16le", "wav"), "m4a": ("aac", "ipod")}[ending])


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """media.csv: 24 records, red and high or blue and low, each picture and sound of another kind of file."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for index in range(24):
        ending, other = PICTURES[index // 2 % 6], ("wav", "m4a", "mp4")[index // 2 % 3]
        put(f"files/{index}.{ending}", picture(index % 2 == 0, ending))
        put(f"files/s{index}.{other}", sound(index % 2 == 0, other))
        row = {"photo": f"files/{index}.{ending}", "voice": f"files/s{index}.{other}", "kind": ("a", "b")[index % 2]}
        rows.append(row)
    write("media.csv", rows)
    return "fit media.csv --target kind --column voice=audio --out run"


@pytest.mark.parametrize(
    "windows, told",
    [
        (1, "Input voice: of a clip longer than 0.3 s its loudest span of that length is read."),
        (3, "Input voice: of a clip longer than 0.3 s up to 3 windows of that length are read."),
    ],
)
def test_a_table_of_many_kinds_of_file_is_learned_and_predicted(windows: int, told: str, table: str):
    voice = f"voice=audio_conv,seconds=0.3,rate=8000,windows={windows}"
    said = sensorium(f"{table} --encoder {voice} --encoder photo=image_conv,size=24 {FEW}")
    assert said.code == 0, said.err
    assert told in said.out
    model = api.load("run")
    one = {"photo": "files/8.heic", "voice": "files/s4.mp4"}
    (both,), (alone,) = model.predict([one]), model.predict([{"photo": "files/8.heic"}])
    assert both["absent"] == [] and alone["absent"] == ["voice"]
    assert model.encoders["voice"].config.windows == windows
