"""What has to be so before the mistakes that docs/mistakes.md lists of the files of published data sets."""

import json
from collections.abc import Callable
from typing import Any

from tests.reviews import put


def captions(*names: str) -> Callable[[Any], None]:
    """A file of COCO's form with a caption of each of these pictures."""
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    said = [{"image_id": number, "id": number, "caption": "a face"} for number in range(len(names))]
    return file("captions.json", json.dumps({"images": images, "annotations": said}))


def file(name: str, content: str) -> Callable[[Any], None]:
    return lambda _: put(name, content)


SCENES: dict[str, Callable[[Any], None]] = {
    "A data set's file is given as a table": captions("1.png"),
    "A file of no known form": file("captions.json", '{"captions": []}'),
    "A data set's file is cut short": file("captions.json", '{"images": '),
    "Pictures of a data set are not in the folder": captions("1.png", "no.png"),
    "The annotations of VQA are given without the questions": file("answers.json", '{"annotations": []}'),
    "The table of a data set is to be of an unknown kind": captions("1.png"),
}
