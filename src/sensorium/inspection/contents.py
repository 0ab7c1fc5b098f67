"""What the files of a table are, from one pass over them."""

from typing import NamedTuple

import numpy as np

from sensorium.data.fingerprints import FINGERPRINTED
from sensorium.data.scan import Scan
from sensorium.data.schema import MEDIA, InputSpec


class Contents(NamedTuple):
    """What the files of one input are, by the N records.

    ids:      int64 [N], a hash of the content; 0 where it is absent or broken.
    measures: by name, float64 [N], NaN where there is none: height, width in pixels; rate in hertz, seconds; ...
    blank:    bool [N]: pictures of one colour, sounds without any sound."""

    ids: np.ndarray
    measures: dict[str, np.ndarray]
    blank: np.ndarray

    def take(self, keep: np.ndarray) -> "Contents":
        """Those of the records `keep`, bool [N]."""
        measures = {name: values[keep] for name, values in self.measures.items()}
        return Contents(self.ids[keep], measures, self.blank[keep])


def contents_of(scanned: Scan, inputs: list[InputSpec]) -> dict[str, Contents]:
    """The contents by input, of the media among the `inputs` that were scanned with fingerprints."""
    contents = {}
    for spec in inputs:
        if spec.modality in MEDIA:
            ids = scanned.ids[spec.name]
            blank = np.zeros(len(ids), dtype=bool)
            if spec.decoder in FINGERPRINTED:
                blank = (ids != 0) & ~scanned.fingerprints[spec.name].any(axis=1)
            contents[spec.name] = Contents(ids, scanned.measures[spec.name], blank)
    return contents
