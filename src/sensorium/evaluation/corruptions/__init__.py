"""Ways of corrupting an input, at five strengths: what a bad camera, line, typist or meter does to it.

One file for each kind of input, after Hendrycks and Dietterich 2019, arXiv:1903.12261, who did so for pictures.
"""

from collections.abc import Callable

from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.evaluation.corruptions.audio import audio_corruptions
from sensorium.evaluation.corruptions.base import Corrupted, Corruption
from sensorium.evaluation.corruptions.image import image_corruptions
from sensorium.evaluation.corruptions.points import points_corruptions
from sensorium.evaluation.corruptions.series import series_corruptions
from sensorium.evaluation.corruptions.table import table_corruptions
from sensorium.evaluation.corruptions.text import text_corruptions
from sensorium.evaluation.corruptions.video import video_corruptions

CORRUPTIONS: dict[str, Callable[[InputSpec, Table], list[Corruption]]] = {
    "text": text_corruptions,
    "image": image_corruptions,
    "audio": audio_corruptions,
    "video": video_corruptions,
    "series": series_corruptions,
    "points": points_corruptions,
    "table": table_corruptions,
}
"""By modality."""


def corruptions(spec: InputSpec, table: Table) -> list[Corruption]:
    """The ways of corrupting an input; how much a number may move follows from its spread in `table`."""
    return CORRUPTIONS[spec.modality](spec, table)


__all__ = ["CORRUPTIONS", "Corrupted", "Corruption", "corruptions"]
