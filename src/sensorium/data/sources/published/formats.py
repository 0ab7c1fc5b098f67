"""What each data set's file says: columns of equal length, and of which image each record is. Each function takes a
file's content and its name for errors, and gives `PublishedColumns`. Raises UserError."""

import json
import re
from typing import Any, NamedTuple

from sensorium.data.sources.published.entries import EntryList, read_list
from sensorium.errors import UserError, counted

TOKEN = re.compile(r"([^\t]+)#\d+\t(.*)")
SIDES = ("left", "right")


class PublishedColumns(NamedTuple):
    """`image_names`: by column, the file's name (str) or number (int) of each record's image. `columns`: all others."""

    image_names: dict[str, list[str] | list[int]]
    columns: dict[str, list[Any]]


def parse_vqa(
    content: dict[str, Any], source: str, annotations: dict[str, Any] | None, annotations_source: str
) -> PublishedColumns:
    """VQA v2 (Goyal et al. 2017, arXiv:1612.00837; format: visualqa.org/download.html): `questions`, and `annotations`
    with ten answers each, which the test sets lack."""
    questions = read_list(content, "questions", source)
    question_ids = questions.column("question_id")
    columns = {"question": questions.column("question")}
    if annotations is not None:
        columns |= _vqa_answers(question_ids, annotations, source, annotations_source)
    columns["question_id"] = question_ids
    return PublishedColumns({"photo": questions.column("image_id")}, columns)


def _vqa_answers(
    question_ids: list[int], content: dict[str, Any], source: str, annotations_source: str
) -> dict[str, list[Any]]:
    """The answers and types of the questions; None for a question that is not annotated."""
    annotations = read_list(content, "annotations", annotations_source)
    row_of = {question_id: row for row, question_id in enumerate(annotations.column("question_id"))}
    rows = [row_of.get(question_id) for question_id in question_ids]
    if all(row is None for row in rows):
        raise UserError(
            f"{annotations_source} annotates none of the questions in {source}; take the annotations of the same part"
            " of VQA."
        )
    columns = {"answer": annotations.column("answers")}
    columns |= {name: annotations.column(name) for name in ("question_type", "answer_type")}
    invalid = next((i for i, answers in enumerate(columns["answer"], 1) if not _are_answers(answers)), None)
    if invalid is not None:
        raise UserError(
            f"Entry {invalid} of the annotations in {annotations_source} has 'answers' that are no list of objects with"
            " an 'answer'; mend it or fetch the file again."
        )
    return {name: [None if row is None else cells[row] for row in rows] for name, cells in columns.items()}


def _are_answers(answers: Any) -> bool:
    """Whether the cell is a list of texts, as `table` reduces answers."""
    return isinstance(answers, list) and bool(answers) and all(isinstance(answer, str) for answer in answers)


def parse_coco(content: dict[str, Any], source: str) -> PublishedColumns:
    """COCO captions (Chen et al. 2015, arXiv:1504.00325; format: cocodataset.org/#format-data): a record a caption; of
    its instances, which have categories, a record an image."""
    if content.get("categories"):
        return _parse_coco_boxes(content, source)
    images, annotations = read_list(content, "images", source), read_list(content, "annotations", source)
    file_names = dict(zip(images.column("id"), images.column("file_name"), strict=True))
    image_ids = annotations.column("image_id")
    unknown = next((i for i, image_id in enumerate(image_ids, 1) if image_id not in file_names), None)
    if unknown is not None:
        raise UserError(
            f"Entry {unknown} of the annotations in {source} is of the image {image_ids[unknown - 1]}, which is not"
            f" among its {counted(len(file_names), 'image')}; fetch the file again."
        )
    photos = [file_names[image_id] for image_id in image_ids]
    return PublishedColumns({"photo": photos}, {"caption": annotations.column("caption")})


def _parse_coco_boxes(content: dict[str, Any], source: str) -> PublishedColumns:
    """COCO instances (Lin et al. 2014, arXiv:1405.0312): of each image the list of its boxes [x, y, width, height] as
    [x0, y0, x1, y1] with the names of their categories. Crowds, and boxes without width or height, are left out."""
    images, annotations = read_list(content, "images", source), content.get("annotations")
    if not isinstance(annotations, list):
        raise UserError(f"{source} has no list of 'annotations'; fetch the file again.")
    categories = read_list(content, "categories", source)
    names = dict(zip(categories.column("id"), categories.column("name"), strict=True))
    boxes: dict[Any, list[dict[str, Any]]] = {image_id: [] for image_id in images.column("id")}
    for number, entry in enumerate(annotations, 1):
        try:
            x, y, width, height = map(float, entry["bbox"])
            of_image, label = boxes[entry["image_id"]], names[entry["category_id"]]
        except (KeyError, TypeError, ValueError):
            raise UserError(
                f"Entry {number} of the annotations in {source} has no 'bbox' of four numbers, or no image or category"
                " that the file has; fetch the file again."
            ) from None
        if width > 0 and height > 0 and not entry.get("iscrowd"):
            of_image.append({"label": str(label), "box": [x, y, x + width, y + height]})
    cells = [json.dumps(boxes[image_id], ensure_ascii=False) for image_id in images.column("id")]
    return PublishedColumns({"photo": images.column("file_name")}, {"things": cells})


def parse_visual_genome(content: list[Any], source: str) -> PublishedColumns:
    """Visual Genome's question_answers.json (Krishna et al. 2016, arXiv:1602.07332): images with their `qas`."""
    lists = EntryList(content, source, "pictures").column("qas")
    invalid = next((i for i, questions in enumerate(lists, 1) if not isinstance(questions, list)), None)
    if invalid is not None:
        raise UserError(f"Entry {invalid} of {source} has 'qas' that are no list of questions; fetch the file again.")
    questions = EntryList([question for questions in lists for question in questions], source, "questions")
    columns = {field: questions.column(field) for field in ("question", "answer")}
    photos = {"photo": questions.column("image_id")}
    return PublishedColumns(photos, columns | {"question_id": questions.column("qa_id")})


def parse_nlvr2(entries: list[dict[str, Any]], source: str) -> PublishedColumns:
    """NLVR2 (Suhr et al. 2018, arXiv:1811.00491; format: github.com/lil-lab/nlvr): a sentence about two images. An
    identifier is `split-set-pair-sentence`, its images are `split-set-pair-img0.png` and `...-img1.png`; all sentences
    of a set are about the same images, so `set` is the group. A file without labels has no column `label`."""
    lines = EntryList(entries, source, "lines")
    names = [str(name) for name in lines.column("identifier")]
    invalid = next((i for i, name in enumerate(names, 1) if name.count("-") != 3), None)
    if invalid is not None:
        raise UserError(
            f"Line {invalid} of {source} has the identifier '{names[invalid - 1]}', which is not"
            " split-set-pair-sentence, as dev-850-0-1; mend it."
        )
    images = {side: [f"{name.rsplit('-', 1)[0]}-img{i}.png" for name in names] for i, side in enumerate(SIDES)}
    columns = {"sentence": lines.column("sentence")}
    if any("label" in entry for entry in entries):
        columns["label"] = [str(label).lower() for label in lines.column("label")]
    sets = [name.rsplit("-", 2)[0] for name in names]
    return PublishedColumns(images, columns | {"set": sets, "identifier": names})


def parse_easy_vqa(content: list[Any], source: str) -> PublishedColumns:
    """easy-VQA's questions.json (PyPI: easy-vqa): lists of a question, its answer and the image's number."""
    is_entry = [isinstance(entry, list) and len(entry) == 3 for entry in content]
    if not all(is_entry):
        number = is_entry.index(False) + 1
        raise UserError(f"Entry {number} of {source} is no [question, answer, picture]; fetch the file again.")
    questions, answers, images = map(list, zip(*content, strict=True))
    return PublishedColumns({"photo": images}, {"question": questions, "answer": answers})


def parse_flickr8k(lines: list[str], source: str) -> PublishedColumns:
    """Flickr8k's token file (Hodosh et al. 2013, doi:10.1613/jair.3994): lines `picture.jpg#0`, a tab, a caption."""
    matches = [TOKEN.fullmatch(line) for line in lines]
    if None in matches:
        number = matches.index(None) + 1
        raise UserError(
            f"Line {number} of {source} is not a picture's name, #, a number, a tab and a caption:"
            f" {lines[number - 1]!r}; mend that line."
        )
    captions = [match[2].strip() for match in matches]
    return PublishedColumns({"photo": [match[1] for match in matches]}, {"caption": captions})
