"""The small made-up table that the README and the pages of docs/ work on: `python tests/readme/example.py` writes it
here.

Shop reviews: a sentence, a photo of a face, a price, who wrote it, and whether the writer was pleased. The sentence
names
it in about six of ten records, the face shows it in about nine of ten, the price says nothing, and some records lack a
sentence or a photo.

And films of a ball that rises or falls, most of them with a tone that does the same; pictures of a shape with their
captions, and what people answer to questions about them; and such pictures with captions, questions and sentences in
the files of published data sets.
"""

import csv
import json
import random
from itertools import product
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

THINGS = ["lamp", "kettle", "chair", "clock", "scarf", "mug", "radio", "basket"]
WORDS = {
    "pleased": ["a lovely {}", "this {} is a joy", "I would buy the {} again", "such a good {}"],
    "annoyed": ["the {} broke at once", "a poor {}", "I sent the {} back", "what a useless {}"],
    "either": ["the {} came on Monday", "I got the {} for my sister", "it is a {}", "the {} in the picture"],
}
ENDINGS = ["", ", as it says", ", for the kitchen", ", in blue", ", after a week", ", to be short", ", all in all"]


def make(folder: Path, reviews: int = 160) -> None:
    """Writes photos/, reviews.csv, test.csv (40, of other writers) and new.csv (6, not judged) into `folder`."""
    chance = random.Random(0)
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    for name, count, authors in (
        ("reviews", reviews, range(24)),
        ("test", 40, range(24, 32)),
        ("new", 6, range(32, 35)),
    ):
        with open(folder / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
            columns = ["review", "photo", "price", "author"] + (["sentiment"] if name != "new" else [])
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(record(folder, f"{name}-{row}", chance.choice(authors), chance) for row in range(count))
    films(folder, chance)


def folders(folder: Path) -> None:
    """Writes pictures/ (class folders), parted/ (the same in train and test) and unsorted/ into `folder`."""
    chance = random.Random(1)
    for index in range(48):
        smiles = index % 2 == 0
        picture, name = face(smiles, chance), "smiling" if smiles else "frowning"
        part = "test" if index >= 36 else "train"
        for place in [f"pictures/{name}", f"parted/{part}/{name}", *(["unsorted"] if index >= 42 else [])]:
            (folder / place).mkdir(parents=True, exist_ok=True)
            picture.save(folder / place / f"{index}.png")


def pairs(folder: Path) -> None:
    """Writes shapes/ and pairs.csv into `folder`: pictures of a shape, what they show, and whether they are dark."""
    (folder / "shapes").mkdir(exist_ok=True)
    colours = ("red", "green", "blue", "orange", "purple", "black")
    grounds = ("white", "yellow", "grey", "pink", "brown")
    with open(folder / "pairs.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["photo", "caption", "shade"])
        for shape, colour, ground in product(("circle", "square"), colours, grounds):
            image, photo = Image.new("RGB", (32, 32), ground), f"shapes/{colour}-{shape}-{ground}.png"
            draw = ImageDraw.Draw(image)
            (draw.ellipse if shape == "circle" else draw.rectangle)((8, 8, 24, 24), fill=colour)
            image.save(folder / photo)
            writer.writerow([photo, f"a {colour} {shape} on {ground}", "dark" if ground == "brown" else "light"])


def scenes(folder: Path) -> None:
    """Writes scenes/, scenes.csv, instances.json and street.png into `folder`: pictures of one or two shapes."""
    (folder / "scenes").mkdir(exist_ok=True)
    chance, shapes = random.Random(0), ("circle", "square")
    rows, annotations = [], []
    for number in range(40):
        image, things = Image.new("RGB", (96, 64), "white"), []
        for column in range(chance.randint(1, 2)):
            left, top, shape = 48 * column + chance.randint(0, 20), chance.randint(0, 36), chance.choice(shapes)
            box = [left, top, left + 24, top + 24]
            draw = ImageDraw.Draw(image)
            (draw.ellipse if shape == "circle" else draw.rectangle)(box, fill=chance.choice(("red", "blue", "green")))
            things.append({"label": shape, "box": box})
            category = 1 + shapes.index(shape)
            annotations.append({"image_id": number, "category_id": category, "bbox": [left, top, 24, 24], "iscrowd": 0})
        image.save(folder / "scenes" / f"{number}.png")
        rows.append([f"scenes/{number}.png", json.dumps(things)])
    image.save(folder / "street.png")
    with open(folder / "scenes.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["picture", "things"], *rows])
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(len(rows))]
    categories = [{"id": number, "name": shape} for number, shape in enumerate(shapes, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(content), encoding="utf-8")


def published(folder: Path) -> None:
    """Writes val2014/ with files of captions and of questions about its pictures, as COCO and VQA v2 have them, and
    dev/ with dev.json, as NLVR2 has it, into `folder`.
    """
    chance = random.Random(2)
    images, captions, questions, annotations = [], [], [], []
    for number, (shape, colour) in enumerate(product(("circle", "square"), ("red", "green", "blue", "black")), 40):
        images.append({"id": number, "file_name": f"COCO_val2014_{number:012}.jpg", "height": 32, "width": 32})
        _draw(folder / "val2014" / images[-1]["file_name"], shape, colour)
        for place, caption in enumerate((f"a {colour} {shape}", f"here is a {shape} in {colour}")):
            captions.append({"image_id": number, "id": 10 * number + place, "caption": caption})
        for place, (kind, asked, answer) in enumerate(
            (("what color", "What color is the shape?", colour), ("what", "What is shown?", shape),
             ("is there", "Is there a circle?", "yes" if shape == "circle" else "no"))
        ):  # fmt: skip
            questions.append({"image_id": number, "question": asked, "question_id": 1000 * number + place})
            answers = [answer] * 9 + [chance.choice(("maybe", answer))]
            entry = {"question_type": kind, "answer_type": "yes/no" if kind == "is there" else "other"}
            said = [{"answer_id": i, "answer": one, "answer_confidence": "yes"} for i, one in enumerate(answers, 1)]
            annotations.append(questions[-1] | entry | {"answers": said, "multiple_choice_answer": answer})
    part = {"data_type": "mscoco", "data_subtype": "val2014"}
    for name, content in {
        "captions_val2014": {"images": images, "annotations": captions},
        "v2_OpenEnded_mscoco_val2014_questions": part | {"questions": questions},
        "v2_mscoco_val2014_annotations": part | {"annotations": annotations},
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    with open(folder / "dev.json", "w", encoding="utf-8") as file:
        for number in range(40):
            sides = [chance.choice(("circle", "square")) for _ in range(2)]
            for side, shape in enumerate(sides):
                _draw(folder / "dev" / f"dev-{number}-0-img{side}.png", shape, chance.choice(("red", "blue")))
            line = {"identifier": f"dev-{number}-0-0", "sentence": "Both pictures show a circle."}
            file.write(json.dumps(line | {"label": str(sides == ["circle"] * 2)}) + "\n")


def _draw(path: Path, shape: str, colour: str) -> None:
    """A shape of 16 pixels in a picture of 32."""
    path.parent.mkdir(exist_ok=True)
    image = Image.new("RGB", (32, 32), "white")
    draw = ImageDraw.Draw(image)
    (draw.ellipse if shape == "circle" else draw.rectangle)((8, 8, 24, 24), fill=colour)
    image.save(path)


def questions(folder: Path) -> None:
    """Writes questions.csv and asked.csv into `folder`: what four people answer about the pictures of `pairs`; and
    colours.txt, an answer a line.
    """
    chance = random.Random(3)
    (folder / "colours.txt").write_text("red\ngreen\nblue\nlight blue\n", encoding="utf-8")
    with open(folder / "pairs.csv", encoding="utf-8", newline="") as file:
        photos = [row["photo"] for row in csv.DictReader(file)]
    for name, grounds in (("questions", ("white", "yellow", "grey", "pink")), ("asked", ("brown",))):
        with open(folder / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["photo", "question", "answer", "question_type"])
            for photo in photos:
                colour, shape, ground = Path(photo).stem.split("-")
                other = chance.choice(("red", "green", "blue", colour, colour))
                for kind, asked, answer in (
                    ("what colour", "What colour is the shape?", colour),
                    ("what", "What is it?", f"a {shape}"),
                    ("is", f"Is it {other}?", "yes" if other == colour else "no"),
                ):
                    said = [answer] * 3 + [chance.choice((answer, "I cannot tell"))]
                    if ground in grounds:
                        writer.writerow([photo, asked, json.dumps(said), kind])


def turns(folder: Path) -> None:
    """Writes turns.csv into `folder`: what is asked of the pictures of `pairs` and answered, two questions each, the
    second of which only the first explains.
    """
    with open(folder / "pairs.csv", encoding="utf-8", newline="") as file:
        photos = [row["photo"] for row in csv.DictReader(file)]
    with open(folder / "turns.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["conversation", "turn", "speaker", "text", "photo"])
        for number, photo in enumerate(photos):
            colour, shape, _ = Path(photo).stem.split("-")
            dialogue = ["What is it?", f"It is a {shape}.", "And its colour?", f"The {shape} is {colour}."]
            for turn, text in enumerate(dialogue):
                writer.writerow([number, turn, ("user", "assistant")[turn % 2], text, "" if turn else photo])


def record(folder: Path, name: str, author: int, chance: random.Random) -> dict[str, str]:
    """One record; its photo is drawn into photos/."""
    sentiment = chance.choice(["pleased", "annoyed"])
    words = WORDS[sentiment if chance.random() < 0.6 else "either"]
    review = chance.choice(words).format(chance.choice(THINGS)) + chance.choice(ENDINGS)
    photo = f"photos/{name}.png"
    smiles = (sentiment == "pleased") == (chance.random() < 0.9)
    face(smiles, chance).save(folder / photo)
    return {
        "review": review if chance.random() < 0.9 else "",
        "photo": photo if chance.random() < 0.8 else "",
        "price": f"{chance.uniform(2, 60):.2f}",
        "author": f"writer {author}",
        "sentiment": sentiment,
    }


def face(smiles: bool, chance: random.Random) -> Image.Image:
    """A face of 16 x 16 pixels: yellow and smiling, or red and frowning."""
    image = Image.new("RGB", (16, 16), "white")
    draw = ImageDraw.Draw(image)
    x, y = chance.randrange(2), chance.randrange(2)
    green, blue = chance.randrange(180, 230) if smiles else chance.randrange(90, 160), chance.randrange(40, 140)
    draw.ellipse((x, y, x + 14, y + 14), fill=(255, green, blue))
    for eye in (x + 4, x + 9):
        draw.rectangle((eye, y + 4, eye + 1, y + 5), fill="black")
    mouth, (start, end) = ((y + 4, y + 12), (0, 180)) if smiles else ((y + 9, y + 17), (180, 360))
    draw.chord((x + 3, mouth[0], x + 11, mouth[1]), start, end, fill=(120, 0, 0))
    return image


def films(folder: Path, chance: random.Random, count: int = 40) -> None:
    """Writes films/ and films.csv into `folder`: a ball that rises or falls; of three films in four it is heard too."""
    (folder / "films").mkdir(exist_ok=True)
    with open(folder / "films.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", "motion"])
        for index in range(count):
            clip, motion = f"films/{index}.mp4", chance.choice(["rises", "falls"])
            film(folder / clip, motion == "rises", chance, heard=index % 4 != 3)
            writer.writerow([clip, motion])


def film(path: Path, rises: bool, chance: random.Random, heard: bool) -> None:
    """A film of 12 frames of 32 x 32 pixels, one second long."""
    x, first, last = chance.randrange(24), *((24, 0) if rises else (0, 24))
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=12)
        pictures.width = pictures.height = 32
        pictures.pix_fmt = "yuv420p"
        track = container.add_stream("aac", rate=16000, layout="mono") if heard else None
        for place in range(12):
            image = Image.new("RGB", (32, 32), "white")
            y = first + (last - first) * place / 11
            ImageDraw.Draw(image).ellipse((x, y, x + 8, y + 8), fill=(200, 40, 40))
            container.mux(pictures.encode(av.VideoFrame.from_image(image)))
        container.mux(pictures.encode(None))
        if track is not None:
            hertz = np.linspace(300, 900, 16000) if rises else np.linspace(900, 300, 16000)
            tone = 0.3 * np.sin(2 * np.pi * np.cumsum(hertz) / 16000)
            sound = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), "fltp", "mono")
            sound.sample_rate = 16000
            container.mux(track.encode(sound))
            container.mux(track.encode(None))


if __name__ == "__main__":
    make(Path())
    folders(Path())
    pairs(Path())
    published(Path())
    questions(Path())
    turns(Path())
