"""What each data set's file says: columns of equal length, and of which picture each record is.

Each function takes what stands in the file and the file's name for errors, and gives a `Found`. Raises UserError.
"""

import re
from typing import Any, NamedTuple

from sensorium.data.sources.published.entries import Place, listed
from sensorium.errors import UserError, counted

TOKEN = re.compile(r"([^\t]+)#\d+\t(.*)")


class PublishedColumns(NamedTuple):
    """`pictures`: by column, the file's name (str) or number (int) of each record's picture. `columns`: all others."""

    pictures: dict[str, list[str] | list[int]]
    columns: dict[str, list[Any]]


def vqa(content: dict[str, Any], source: str, annotations: dict[str, Any] | None, beside: str) -> PublishedColumns:
    """VQA v2 (Goyal et al. 2017, arXiv:1612.00837; format: visualqa.org/download.html): `questions`, and `annotations`
    with ten answers each, which the test sets lack.
    """
    questions, place = listed(content, "questions", source), Place(source, "questions")
    numbers = place.column(questions, "question_id")
    columns = {"question": place.column(questions, "question")}
    if annotations is not None:
        columns |= _answers(numbers, annotations, source, beside)
    columns["question_id"] = numbers
    return PublishedColumns({"photo": place.column(questions, "image_id")}, columns)


def _answers(numbers: list[int], content: dict[str, Any], source: str, beside: str) -> dict[str, list[Any]]:
    """The answers and types of the questions `numbers`; None for a question that is not annotated."""
    entries, place = listed(content, "annotations", beside), Place(beside, "annotations")
    rows = dict(zip(place.column(entries, "question_id"), range(len(entries)), strict=True))
    found = [rows.get(number) for number in numbers]
    if all(row is None for row in found):
        raise UserError(
            f"{beside} annotates none of the questions in {source}; take the annotations of the same part of VQA."
        )
    fields = ("answers", "question_type", "answer_type")
    said = {field: place.column(entries, field) for field in fields}
    wrong = next((i for i, one in enumerate(said["answers"], 1) if not _are_answers(one)), None)
    if wrong is not None:
        raise UserError(
            f"Entry {wrong} of the annotations in {beside} has 'answers' that are no list of objects with an 'answer';"
            " mend it or fetch the file again."
        )
    columns = {"answer": said["answers"], "question_type": said["question_type"], "answer_type": said["answer_type"]}
    return {name: [None if row is None else cells[row] for row in found] for name, cells in columns.items()}


def _are_answers(answers: Any) -> bool:
    """Whether the cell is a list of texts, as `only_answer` made it."""
    return isinstance(answers, list) and bool(answers) and all(isinstance(one, str) for one in answers)


def coco(content: dict[str, Any], source: str) -> PublishedColumns:
    """COCO captions (Chen et al. 2015, arXiv:1504.00325; format: cocodataset.org/#format-data): a record a caption."""
    pictures, entries = listed(content, "images", source), listed(content, "annotations", source)
    place, captions = Place(source, "images"), Place(source, "annotations")
    names = dict(zip(place.column(pictures, "id"), place.column(pictures, "file_name"), strict=True))
    of = captions.column(entries, "image_id")
    unknown = next((i for i, one in enumerate(of, 1) if one not in names), None)
    if unknown is not None:
        raise UserError(
            f"Entry {unknown} of the annotations in {source} is of the image {of[unknown - 1]}, which is not among its"
            f" {counted(len(names), 'image')}; fetch the file again."
        )
    return PublishedColumns({"photo": [names[one] for one in of]}, {"caption": captions.column(entries, "caption")})


def genome(content: list[Any], source: str) -> PublishedColumns:
    """Visual Genome's question_answers.json (Krishna et al. 2016, arXiv:1602.07332): pictures with their `qas`."""
    lists = Place(source, "pictures").column(content, "qas")
    wrong = next((i for i, one in enumerate(lists, 1) if not isinstance(one, list)), None)
    if wrong is not None:
        raise UserError(f"Entry {wrong} of {source} has 'qas' that are no list of questions; fetch the file again.")
    entries, place = [entry for one in lists for entry in one], Place(source, "questions")
    columns = {field: place.column(entries, field) for field in ("question", "answer")}
    return PublishedColumns(
        {"photo": place.column(entries, "image_id")}, columns | {"question_id": place.column(entries, "qa_id")}
    )


def nlvr(entries: list[dict[str, Any]], source: str) -> PublishedColumns:
    """NLVR2 (Suhr et al. 2018, arXiv:1811.00491; format: github.com/lil-lab/nlvr): a sentence about two pictures.

    An identifier is `split-set-pair-sentence`, its pictures are `split-set-pair-img0.png` and `...-img1.png`; all
    sentences of a set are about the same pictures, so `set` is the group. A file without labels has no column `label`.
    """
    place = Place(source, "lines")
    names = [str(name) for name in place.column(entries, "identifier")]
    odd = next((i for i, name in enumerate(names, 1) if name.count("-") != 3), None)
    if odd is not None:
        raise UserError(
            f"Line {odd} of {source} has the identifier '{names[odd - 1]}', which is not split-set-pair-sentence, as"
            " dev-850-0-1; mend it."
        )
    pictures = {side: [f"{name.rsplit('-', 1)[0]}-img{i}.png" for name in names] for i, side in enumerate(SIDES)}
    columns = {"sentence": place.column(entries, "sentence")}
    if any("label" in entry for entry in entries):
        columns["label"] = [str(label).lower() for label in place.column(entries, "label")]
    return PublishedColumns(
        pictures, columns | {"set": [name.rsplit("-", 2)[0] for name in names], "identifier": names}
    )


SIDES = ("left", "right")


def easy(content: list[Any], source: str) -> PublishedColumns:
    """easy-VQA's questions.json (PyPI: easy-vqa): lists of a question, its answer and the picture's number."""
    wrong = next((i for i, one in enumerate(content, 1) if not (isinstance(one, list) and len(one) == 3)), None)
    if wrong is not None:
        raise UserError(f"Entry {wrong} of {source} is no [question, answer, picture]; fetch the file again.")
    questions, answers, pictures = map(list, zip(*content, strict=True))
    return PublishedColumns({"photo": pictures}, {"question": questions, "answer": answers})


def flickr(lines: list[str], source: str) -> PublishedColumns:
    """Flickr8k's token file (Hodosh et al. 2013, doi:10.1613/jair.3994): lines `picture.jpg#0`, a tab, a caption."""
    found = [TOKEN.fullmatch(line) for line in lines]
    wrong = next((i for i, one in enumerate(found, 1) if one is None), None)
    if wrong is not None:
        raise UserError(
            f"Line {wrong} of {source} is not a picture's name, #, a number, a tab and a caption: {lines[wrong - 1]!r};"
            " mend that line."
        )
    return PublishedColumns({"photo": [one[1] for one in found]}, {"caption": [one[2].strip() for one in found]})
