"""Published checkpoints of any family made ours, and back."""

from pathlib import Path

from sensorium.errors import UserError, unknown
from sensorium.families import albef_checkpoints, albef_start, clip_checkpoints
from sensorium.model import Model


def convert(
    source: str | Path,
    out: str | Path,
    to: str | None = None,
    activation: str | None = None,
    overwrite: bool = False,
    picture: str | Path | None = None,
    tokenizer: str | Path | None = None,
) -> Model:
    """Writes `source` to the folder `out` and gives the model: `source` is a published CLIP, SigLIP or ALBEF; or, with
    `to` ("transformers", "open_clip", "albef"), a checkpoint of ours; or a BERT, which an ALBEF begins with, and
    `picture` the weights of its other half (see albef_start). `tokenizer`: of a published ALBEF, where none stands
    beside it (see albef_checkpoints).

    For the other arguments and what it raises see the families' own.
    """
    path, out = Path(source), Path(out)
    if to is not None and to not in (known := (*clip_checkpoints.WRITERS, "albef")):
        raise unknown("format to write", to, known)
    starts = to is None and (picture is not None or albef_start.is_bert(path))
    published = to is None and not starts and albef_checkpoints.recognises(path)
    if tokenizer is not None and not published:
        raise UserError(
            f"--tokenizer is for the file of weights of a published ALBEF, and {source} is none; leave it out."
        )
    if to != "albef" and not starts and not published:
        return clip_checkpoints.convert(source, out, to, activation, overwrite)
    if out.exists() and not overwrite:
        raise UserError(f"There is something in {out} already; choose another folder, or replace it with --overwrite.")
    if activation is not None:
        raise UserError("An ALBEF's activation is gelu; leave --activation out.")
    if starts:
        found = albef_checkpoints.Albef(albef_start.beginning(str(source), picture and Path(picture)), None, None)
        albef_checkpoints.save(found, out)
    elif published:
        found = albef_checkpoints.read(path, tokenizer and Path(tokenizer))
        albef_checkpoints.save(found, out)
    else:
        found = albef_checkpoints.open_own(path)
        albef_checkpoints.write(found, out)
    return found.model
