"""Published checkpoints of any family made ours, and back."""

from pathlib import Path

from sensorium.errors import UserError, unknown
from sensorium.families.albef_checkpoints import PublishedAlbef, WrittenAlbef
from sensorium.families.albef_start import NewAlbef
from sensorium.families.clip_checkpoints import WRITERS as CLIP_WRITERS
from sensorium.families.clip_checkpoints import PublishedClip, WrittenClip
from sensorium.families.conversion import Conversion, Options, Source
from sensorium.families.florence import PublishedFlorence, WrittenFlorence
from sensorium.families.whisper import PublishedWhisper, WrittenWhisper
from sensorium.files import writable
from sensorium.model import Model
from sensorium.nn.torch_state import usual_torch

# The first that recognises a source makes it ours; the last recognises any, and says what is wrong with it.
SOURCES: tuple[Source, ...] = (NewAlbef(), PublishedWhisper(), PublishedFlorence(), PublishedAlbef(), PublishedClip())
# What a checkpoint of ours is written as: the first that recognises it, else what the format usually is of.
WRITTEN: dict[str, tuple[Source, ...]] = {"transformers": (WrittenWhisper(), WrittenFlorence(original=False))}
FORMATS: dict[str, Conversion] = {name: WrittenClip(name) for name in CLIP_WRITERS} | {
    "albef": WrittenAlbef(),
    "florence": WrittenFlorence(original=True),
}


@usual_torch()
def convert(
    source: str | Path,
    out: str | Path,
    to: str | None = None,
    activation: str | None = None,
    overwrite: bool = False,
    picture: str | Path | None = None,
    tokenizer: str | Path | None = None,
) -> Model:
    """Writes `source` to the folder `out` and gives the model: `source` is a published CLIP, SigLIP, ALBEF, Whisper or
    Florence-2; or, with `to` ("transformers", "open_clip", "albef", "florence"), a checkpoint of ours; or a BERT, which
    an ALBEF begins with, and `picture` the weights of its other half (see albef_start). `tokenizer`: of a published
    ALBEF, where none stands beside it (see albef_checkpoints).

    For the other arguments and what it raises see the families' own."""
    if to is not None and to not in FORMATS:
        raise unknown("format to write", to, FORMATS)
    options = Options(activation, picture and Path(picture), tokenizer and Path(tokenizer))
    if to is None:
        conversion = next(conversion for conversion in SOURCES if conversion.recognises(Path(source), options))
    else:
        fitting = (written for written in WRITTEN.get(to, ()) if written.recognises(Path(source), options))
        conversion = next(fitting, FORMATS[to])
    if tokenizer is not None and not conversion.takes_tokenizer:
        raise UserError(
            f"--tokenizer is for the file of weights of a published ALBEF, and {source} is none; leave it out."
        )
    if writable(out).exists() and not overwrite:
        raise UserError(f"There is something in {out} already; choose another folder, or replace it with --overwrite.")
    return conversion.convert(source, Path(out), options)
