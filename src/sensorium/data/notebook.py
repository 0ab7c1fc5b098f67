"""How tables, models and results look in a notebook: a line of text, and a compact HTML table, all of it escaped."""

import base64
import io
import webbrowser
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment
from markupsafe import Markup
from PIL import Image
from rich.console import Console as RichConsole

from sensorium.console import shorten
from sensorium.data.media.audio import encode_mp3
from sensorium.data.media.decoding import decode
from sensorium.errors import UserError, counted

if TYPE_CHECKING:
    from sensorium.data.schema import InputSpec, Schema

MOST_ROWS, MOST_COLUMNS, MOST_NAMES = 10, 12, 6
LINE, CELL, NAME = 280, 80, 24  # letters
SIDE = 96  # pixels of a picture's longer side
RATE, SECONDS, BIT_RATE = 16_000, 8, 32_000  # of a sound: hertz, at most so long, bits a second

TABLE = Environment(autoescape=True, lstrip_blocks=True, trim_blocks=True).from_string("""\
<table>
<caption style="text-align:left;caption-side:top">{{ title }}</caption>
{% if headers %}
<thead><tr>{% for header in headers %}<th style="text-align:left">{{ header }}</th>{% endfor %}</tr></thead>
{% endif %}
<tbody>
{% for row in rows %}
<tr>{% for cell in row %}<td style="text-align:left">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
{% for note in notes %}
<p>{{ note }}</p>
{% endfor %}
""")
# The page stands in the notebook itself, for a browser opens no file for one; nothing in it runs.
FRAME = Markup('<iframe srcdoc="{}" sandbox style="width:100%;height:640px;border:0"></iframe><p>{}</p>')


def html_table(title: str, headers: Sequence[str], rows: Sequence[Sequence[Any]], notes: Iterable[str] = ()) -> str:
    """The first rows of a table as HTML; cells and notes are escaped unless they are Markup."""
    omitted = [f"{counted(len(rows) - MOST_ROWS, 'row')} more."] if len(rows) > MOST_ROWS else []
    return TABLE.render(title=title, headers=headers, rows=rows[:MOST_ROWS], notes=[*omitted, *notes])


def facts_text(name: str, facts: dict[str, str]) -> str:
    """What a `repr` says, in one line: the name, then each fact."""
    return shorten(f"{name}: " + "; ".join(f"{key} {value}" for key, value in facts.items()), LINE)


def facts_html(name: str, facts: dict[str, str]) -> str:
    """The same as a table of two columns."""
    return html_table(name, [], list(facts.items()))


def join_few(names: Sequence[str]) -> str:
    """The first names, short, and how many more there are."""
    omitted = [f"{len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    return ", ".join([*(shorten(name, NAME) for name in names[:MOST_NAMES]), *omitted]) or "none"


def schema_facts(schema: "Schema | None") -> dict[str, str]:
    """The inputs and the targets with their kinds; {} without a schema."""
    if schema is None:
        return {}
    inputs = [f"{shorten(spec.name, NAME)} ({spec.modality})" for spec in schema.inputs]
    targets = [f"{shorten(spec.name, NAME)} ({spec.kind})" for spec in schema.targets]
    return {"inputs": join_few(inputs), "targets": join_few(targets)}


def show_page(page: Path, browser: bool = False) -> None:
    """Shows an HTML file: in a notebook below the cell, elsewhere as a link; with `browser` in the browser. Raises
    UserError when it is not there."""
    if not page.exists():
        raise UserError(f"There is no {page}; sensorium report {page.parent} writes it.")
    uri = page.resolve().as_uri()
    if browser:
        webbrowser.open(uri)
    elif RichConsole().is_jupyter:
        from IPython.display import HTML, display

        display(HTML(FRAME.format(page.read_text(encoding="utf-8"), uri)))
    else:
        print(uri)


def record_cell(cell: Any, specs: list["InputSpec"], root: Path) -> Markup | str:
    """A cell of a column: a small picture for an image or a film, a player for a sound, else its short text.

    specs: the inputs that are read from the column. A cell that cannot be shown is text.
    """
    elements = [Markup() if spec.modality not in _RENDERERS else _render(cell, spec, root) for spec in specs]
    return Markup().join(elements) or shorten(cell, CELL)


def _render(cell: Any, spec: "InputSpec", root: Path) -> Markup:
    """The HTML of a media cell; empty where it is absent or cannot be decoded."""
    options, render = _RENDERERS[spec.modality]
    try:
        value = None if shorten(cell) == "" else decode(spec.decoder, cell, root, **options)
    except (ValueError, UserError):
        value = None
    return Markup() if value is None else render(value, spec.name)


def _picture(pixels: np.ndarray, name: str) -> Markup:
    """uint8 [H, W, 3] as an <img>."""
    image, file = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((SIDE, SIDE))
    image.save(file, "JPEG", quality=72)
    return Markup('<img src="data:image/jpeg;base64,{}" alt="{}">').format(
        base64.b64encode(file.getvalue()).decode(), name
    )


def _sound(samples: np.ndarray, name: str) -> Markup:
    """float32 [S] as an <audio> player of its first seconds."""
    content = base64.b64encode(encode_mp3(samples[: RATE * SECONDS], RATE, BIT_RATE)).decode()
    player = '<audio controls preload="metadata" src="data:audio/mpeg;base64,{}" aria-label="{}"></audio>'
    return Markup(player).format(content, name)


# By modality, the options of its decoder, and what shows the value.
_RENDERERS = {
    "image": ({}, _picture),
    "audio": ({"rate": RATE}, _sound),
    "video": ({"frames": 1}, lambda video, name: _picture(video.frames[0], name)),
}
