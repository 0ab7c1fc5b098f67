"""The field's files, small, in exactly their published forms: every record, its pictures and its answers; what is not
there, or broken, is a sentence.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

import sensorium
from sensorium.data.sources.published import table, write
from sensorium.errors import UserError
from tests.reviews import sensorium as command

LICENSE = {"url": "http://creativecommons.org/licenses/by/4.0/", "name": "Creative Commons"}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pictures(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(name)


def dump(name: str, content: Any) -> str:
    Path(name).write_text(json.dumps(content), encoding="utf-8")
    return name


def questions(part: str = "val2014", **changed: Any) -> str:
    """visualqa.org/vqa_v2_teaser and download pages: the form of the questions' file."""
    entries = [
        {"image_id": 262148, "question": "Where is he looking?", "question_id": 262148000},
        {"image_id": 262148, "question": "What are the people doing?", "question_id": 262148001},
        {"image_id": 42, "question": "Is there a shoe?", "question_id": 42000},
    ]
    whole = {"info": {"version": "2.0"}, "task_type": "Open-Ended", "data_type": "mscoco", "license": LICENSE}
    return dump(
        f"v2_OpenEnded_mscoco_{part}_questions.json", whole | {"data_subtype": part, "questions": entries} | changed
    )


def annotations(numbers: tuple[int, ...] = (42000, 262148000, 262148001)) -> str:
    """The same of the annotations' file, whose order is another."""
    said = {42000: ["yes"] * 8 + ["no"] * 2, 262148000: ["down"] * 10, 262148001: ['sk8ing, "fast"'] + ["watching"] * 9}
    entries = [
        {
            "question_type": "is there a" if number == 42000 else "none of the above",
            "multiple_choice_answer": said[number][0],
            "answers": [
                {"answer": answer, "answer_confidence": "maybe", "answer_id": place}
                for place, answer in enumerate(said[number], 1)
            ],
            "image_id": number // 1000, "answer_type": "yes/no" if number == 42000 else "other", "question_id": number,
        }
        for number in numbers
    ]  # fmt: skip
    whole = {"info": {"version": "2.0"}, "license": LICENSE, "data_subtype": "val2014", "data_type": "mscoco"}
    return dump("v2_mscoco_val2014_annotations.json", whole | {"annotations": entries})


COCO = ("val2014/COCO_val2014_000000262148.jpg", "val2014/COCO_val2014_000000000042.jpg")


def test_vqa_with_its_annotations(here):
    pictures(*COCO)
    found = table(questions(), "val2014", annotations())
    assert list(found) == ["question", "photo", "image", "answer", "question_type", "answer_type", "question_id"]
    assert found["photo"].tolist() == [COCO[0], COCO[0], COCO[1]]
    assert found["image"].tolist() == ["COCO_val2014_000000262148"] * 2 + ["COCO_val2014_000000000042"]
    assert found["answer"].tolist() == [["down"] * 10, ['sk8ing, "fast"'] + ["watching"] * 9, ["yes"] * 8 + ["no"] * 2]
    assert found["question_type"].tolist() == ["none of the above", "none of the above", "is there a"]
    assert found["answer_type"].tolist() == ["other", "other", "yes/no"]
    assert found["question_id"].tolist() == [262148000, 262148001, 42000]


def test_a_test_set_of_vqa_has_no_answers(here):
    pictures(*(name.replace("val2014", "test2015") for name in COCO))
    found = table(questions("test-dev2015"), "test2015")
    assert list(found) == ["question", "photo", "image", "question_id"] and len(found) == 3


def test_a_question_that_is_not_annotated_has_no_answer(here):
    pictures(*COCO)
    found = table(questions(), "val2014", annotations((42000,)))
    assert found["answer"].tolist() == [None, None, ["yes"] * 8 + ["no"] * 2]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_every_ending_gives_the_same_records_and_paths_that_lead_to_the_pictures(here, ending):
    pictures(*COCO)
    write(table(questions(), "val2014", annotations()), f"tables/vqa.{ending}")
    stated = {"columns": {"question": "text"}, "inputs": ["photo", "question"]}
    read = sensorium.read(f"tables/vqa.{ending}", quiet=True, **stated)
    assert read.frame["photo"].tolist() == [f"../{COCO[0]}"] * 2 + [f"../{COCO[1]}"]
    assert all((read.root / photo).is_file() for photo in read.frame["photo"])
    answers = [json.loads(cell) if isinstance(cell, str) else list(cell) for cell in read.frame["answer"]]
    assert answers[1] == ['sk8ing, "fast"'] + ["watching"] * 9
    assert [str(number) for number in read.frame["question_id"]] == ["262148000", "262148001", "42000"]


def captions() -> str:
    """cocodataset.org/#format-data: the form of captions_val2014.json."""
    images = [
        {
            "license": 3,
            "file_name": name,
            "coco_url": "",
            "height": 240,
            "width": 320,
            "date_captured": "",
            "id": number,
        }
        for name, number in (("COCO_val2014_000000000042.jpg", 42), ("COCO_val2014_000000000073.jpg", 73))
    ]
    said = [(73, 1, "A motorcycle."), (42, 2, "A dog with\na shoe"), (73, 3, "Ein Motorrad für zwei")]
    entries = [{"image_id": image, "id": number, "caption": caption} for image, number, caption in said]
    return dump("captions_val2014.json", {"info": {}, "images": images, "licenses": [], "annotations": entries})


def test_coco_has_a_record_for_each_caption(here):
    pictures("coco/val2014/COCO_val2014_000000000042.jpg", "coco/val2014/COCO_val2014_000000000073.jpg")
    found = table(captions(), "coco")
    assert found["photo"].str[-6:].tolist() == ["73.jpg", "42.jpg", "73.jpg"]
    assert found["caption"].tolist() == ["A motorcycle.", "A dog with\na shoe", "Ein Motorrad für zwei"]
    write(found, "pairs.csv")
    read = sensorium.read("pairs.csv", group="image", columns={"caption": "text"}, quiet=True)
    assert read.groups.tolist() == [f"COCO_val2014_0000000000{number}" for number in (73, 42, 73)]


def test_coco_instances_have_a_record_for_each_picture_with_corners_for_sizes(here):
    pictures("coco/1.jpg", "coco/2.jpg")
    entries = [
        {"image_id": 1, "category_id": 7, "bbox": [1.5, 2, 10, 20], "iscrowd": 0},
        {"image_id": 1, "category_id": 7, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        {"image_id": 1, "category_id": 9, "bbox": [3, 3, 0, 5]},
    ]
    content = {
        "images": [{"id": number, "file_name": f"{number}.jpg"} for number in (1, 2)],
        "categories": [{"id": 7, "name": "frog"}, {"id": 9, "name": "cat"}],
        "annotations": entries,
    }
    frame = table(dump("instances.json", content), "coco")
    assert frame["things"].map(json.loads).tolist() == [[{"label": "frog", "box": [1.5, 2, 11.5, 22]}], []]
    assert [Path(path).name for path in frame["photo"]] == ["1.jpg", "2.jpg"]
    with pytest.raises(UserError, match="Entry 1 of the annotations in broken.json has no 'bbox'"):
        table(dump("broken.json", content | {"annotations": [entries[0] | {"category_id": 8}]}), "coco")


def nlvr(lines: int = 3, **changed: Any) -> str:
    """github.com/lil-lab/nlvr, nlvr2/README: an object a line, in files that end in .json."""
    entries = [
        {
            "validation": {"1": "True"}, "sentence": f"The left image has {i} dogs.", "left_url": "https://a/b.jpg",
            "identifier": f"dev-850-{i // 2}-{i % 2}", "label": ("True", "False")[i % 2], "right_url": "", "writer": 4,
            "synset": "dog", "query": "dogs12",
        } | changed
        for i in range(lines)
    ]  # fmt: skip
    Path("dev.json").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return "dev.json"


def test_nlvr_has_two_pictures_and_a_truth(here):
    pictures("dev/dev-850-0-img0.png", "dev/dev-850-0-img1.png", "dev/dev-850-1-img0.png", "dev/dev-850-1-img1.png")
    found = table(nlvr(), "dev")
    assert list(found) == ["sentence", "left", "right", "label", "set", "identifier"]
    assert found["left"].tolist() == [f"dev/dev-850-{i}-img0.png" for i in (0, 0, 1)]
    assert found["right"].tolist() == [f"dev/dev-850-{i}-img1.png" for i in (0, 0, 1)]
    assert found["label"].tolist() == ["true", "false", "true"]
    assert found["set"].tolist() == ["dev-850"] * 3


def test_visual_genome_has_a_record_for_each_question(here):
    entries = [
        {"id": number, "qas": [
            {"a_objects": [], "question": f"What is {word}?", "image_id": number, "qa_id": 10 * number,
             "answer": "A lamp.", "q_objects": []} for word in words]}
        for number, words in ((1, ("this", "that")), (2, ()), (498, ("it",)))
    ]  # fmt: skip
    pictures("VG_100K/1.jpg", "VG_100K_2/498.jpg")
    found = table(dump("question_answers.json", entries), ".")
    assert found["photo"].tolist() == ["./VG_100K/1.jpg", "./VG_100K/1.jpg", "./VG_100K_2/498.jpg"]
    assert found["question"].tolist() == ["What is this?", "What is that?", "What is it?"]
    assert found["answer"].tolist() == ["A lamp."] * 3


def test_flickr_tokens(here):
    """The file itself has one picture of an odd name, which is in no folder."""
    Path("Flickr8k.token.txt").write_text(
        '1000_69.jpg#0\tA child in a pink dress .\n1000_69.jpg#1\tA girl , "going" in .\n2258277193.jpg.1#0\tA man .\n'
    )
    pictures("Flicker8k_Dataset/1000_69.jpg")
    with pytest.raises(
        UserError, match=r"pictures of 1 of the 3 records .* the first is '2258277193.jpg.1' \(record 3\)"
    ):
        table("Flickr8k.token.txt", "Flicker8k_Dataset")
    found = table("Flickr8k.token.txt", "Flicker8k_Dataset", bad_records="skip")
    assert found["caption"].tolist() == ["A child in a pink dress .", 'A girl , "going" in .']
    assert found["image"].tolist() == ["1000_69"] * 2 and found.attrs["left_out"] == 1


def test_easy_vqa(here):
    pictures("images/0.png", "images/1.png")
    found = table(
        dump("questions.json", [["what is the blue shape?", "rectangle", 0], ["is it red?", "no", 1]]), "images"
    )
    assert found["photo"].tolist() == ["images/0.png", "images/1.png"]
    assert found["answer"].tolist() == ["rectangle", "no"]


def test_the_command_says_what_it_made(here):
    pictures(*COCO[1:])
    said = command(f"table {questions()} --annotations {annotations()} --images val2014 --out t.csv --bad-records skip")
    assert said.code == 0
    assert said.out.startswith(
        "1 record in t.csv, 2 left out whose pictures are not there: question, photo, image, answer"
    )
    as_json = command(f"table {questions()} --images val2014 --out t.csv --bad-records skip --json")
    assert json.loads(as_json.out)["left_out"] == 2
    assert pd.read_csv("t.csv")["question"].tolist() == ["Is there a shoe?"]


def test_many_records_take_no_longer_each(here):
    """200,000 questions on 2,000 pictures: what grows with their product would take hours."""
    pictures("p/0.jpg")
    for number in range(1, 2000):
        Path(f"p/{number}.jpg").hardlink_to("p/0.jpg")
    entries = [{"image_id": i % 2000, "question": "what?", "question_id": i} for i in range(200_000)]
    found = table(questions(questions=entries), "p")
    assert found["photo"].nunique() == 2000 and len(found) == 200_000


BROKEN = {
    "no JSON": (lambda: put('{"questions": ['), "is not JSON: .* if it was cut short, fetch it again"),
    "none of the forms": (lambda: dump("x.json", {"a": 1}), "none of the forms that are known: VQA v2's"),
    "no entries": (lambda: questions(questions=[]), "The 'questions' in .* is no list with entries"),
    "a field is missing": (
        lambda: questions(questions=[{"image_id": 1, "question": "?", "question_id": 1}, {"image_id": 1}]),
        "Entry 2 of the questions in .* has no 'question_id'",
    ),
    "the annotations alone": (annotations, "holds VQA's annotations; give its questions, and this file as"),
    "a test set of COCO": (lambda: dump("x.json", {"images": [], "categories": []}), "lists pictures without captions"),
    "a caption of no image": (
        lambda: dump("x.json", {"images": [{"id": 1, "file_name": "1.jpg"}],
                                "annotations": [{"image_id": 2, "caption": "a"}]}),
        "Entry 1 of the annotations in x.json is of the image 2, which is not among its 1 image;",
    ),
    "a line is no JSON": (lambda: put(Path(nlvr()).read_text() + "{\n", "dev.json"), "Line 4 of dev.json is not JSON"),
    "an identifier of another form": (lambda: nlvr(identifier="850"), "Line 1 of dev.json has the identifier '850'"),
    "a line is no caption": (lambda: put("1.jpg#0\ta\n1.jpg a\n"), "Line 2 of x.json is not a picture's name"),
    "questions are no list": (lambda: dump("x.json", [{"id": 1, "qas": 3}]), "Entry 1 of x.json has 'qas' that are no"),
    "an entry is no question": (lambda: dump("x.json", [["a?", "b", 1], ["a"]]), "Entry 2 of x.json is no .question"),
    "it is not there": (lambda: "no.json", "no.json cannot be read: No such file or directory; check the path"),
    "it is no text": (lambda: put(b"\xff\xfe\x00"), "is not UTF-8 text"),
}  # fmt: skip


def put(content: str | bytes, name: str = "x.json") -> str:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


@pytest.mark.parametrize("make,sentence", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_a_sentence(here, make, sentence):
    pictures("p/1.jpg")
    with pytest.raises(UserError, match=sentence):
        table(make(), "p")


def test_annotations_of_another_part_or_kind_are_refused(here):
    pictures(*COCO)
    other = dump("other.json", {"annotations": [
        {"question_id": 5, "answers": [], "question_type": "", "answer_type": ""}]})  # fmt: skip
    with pytest.raises(UserError, match=r"other.json annotates none of the questions in v2_OpenEnded"):
        table(questions(), "val2014", other)
    with pytest.raises(UserError, match=r"holds its own answers, so that --annotations has nothing to add"):
        table(captions(), "val2014", annotations())
    bad = dump("bad.json", {"annotations": [
        {"question_id": 42000, "answers": ["yes", 3], "question_type": "", "answer_type": ""}]})  # fmt: skip
    with pytest.raises(UserError, match=r"Entry 1 of the annotations in bad.json has 'answers' that are no list"):
        table(questions(), "val2014", bad)


def test_pictures_that_are_nowhere_or_twice(here):
    with pytest.raises(UserError, match=r"There is no folder val2014; give the folder of the pictures"):
        table(questions(), "val2014")
    Path("val2014").mkdir()
    with pytest.raises(UserError, match=r"There are no pictures in val2014"):
        table(questions(), "val2014")
    pictures("val2014/7.jpg")
    with pytest.raises(UserError, match=r"of 3 of the 3 records .* first is number 262148; give the folder"):
        table(questions(), "val2014", bad_records="skip")
    pictures(*COCO, "val2014/again/42.jpg")
    with pytest.raises(UserError, match=r"The picture number 42 is more than once in val2014, as "):
        table(questions(), "val2014")
    with pytest.raises(UserError, match=r"no way with bad records 'drop'"):
        table(questions(), "val2014", bad_records="drop")


def test_reading_such_a_file_as_a_table_names_the_verb(here):
    with pytest.raises(UserError, match=r"captions_val2014.json is no table; .* sensorium table makes a table of it"):
        sensorium.read(captions())
