"""How a report looks in a notebook: a line of text, a table of its main figures, and a plot of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment

from sensorium.console import shorten
from sensorium.data.notebook import facts_text, html_table
from sensorium.errors import counted
from sensorium.evaluation.inputs import format_number
from sensorium.evaluation.printing import between
from sensorium.files import whole_file
from sensorium.metrics import INTERVAL, Value

Panels = dict[str, dict[str, Value]]
"""By title, values of one metric by name; the first is the main one."""

WIDTH, LEFT, RIGHT = 640, 220, 560  # units of the plot; of the part that has the values
ROW, TITLE, GAP = 22, 26, 12
MOST_PANELS, LONGEST_TITLE, LONGEST_LABEL = 2, 60, 30

PLOT = Environment(autoescape=True).from_string("""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{ width }} {{ height }}" width="{{ width }}" role="img" \
aria-label="{{ label }}" font-family="sans-serif" font-size="13" fill="#1b1f26">
<rect width="100%" height="100%" fill="#fff"/>
{% for panel in panels %}<text x="8" y="{{ panel.top + 18 }}" font-weight="bold">{{ panel.title }}</text>
{% if panel.chance %}<path d="M{{ panel.chance }} {{ panel.top + 26 }}V{{ panel.bottom }}" stroke="#5b6472" \
stroke-dasharray="3 3"/>{% endif %}
{% for bar in panel.bars %}<text x="8" y="{{ bar.y + 4 }}">{{ bar.name }}</text>\
<text x="{{ width - 8 }}" y="{{ bar.y + 4 }}" text-anchor="end">{{ bar.value }}</text>\
{% if bar.low %}<path d="M{{ bar.low }} {{ bar.y }}H{{ bar.high }}" stroke="#1f5fbf" stroke-width="2.5"/>{% endif %}\
<circle cx="{{ bar.x }}" cy="{{ bar.y }}" r="4.5" fill="#1f5fbf"/>
{% endfor %}{% endfor %}</svg>
""")


class Plot:
    """A plot: a notebook shows it, `save` writes it, `svg` is its text."""

    def __init__(self, svg: str):
        self.svg = svg

    def _repr_html_(self) -> str:
        return self.svg

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> None:
        """Writes the plot as an SVG file, whole or not at all. Raises UserError."""
        with whole_file(Path(path)) as new:
            new.write_text(self.svg, encoding="utf-8")


class Bar(NamedTuple):
    """A drawn value: its name, its text, and the coordinates of the dot and of the interval, where it has one."""

    name: str
    value: str
    y: float
    x: float
    low: float | None
    high: float | None


def figures_text(name: str, records: int, panels: Panels) -> str:
    """What a report's `repr` says: the main figures."""
    facts = {}
    for title, values in list(panels.items())[:MOST_PANELS]:
        main, value = next(iter(values.items()))
        interval = f" ({between(value)})" if value.low is not None else ""
        chance = "" if value.chance is None else f", chance {format_number(value.chance)}"
        label = f"{shorten(title, LONGEST_TITLE)}, {shorten(main, LONGEST_LABEL)}"
        facts[label] = f"{format_number(value.value)}{interval}{chance}"
    if len(panels) > MOST_PANELS:
        facts["and"] = f"{len(panels) - MOST_PANELS} more"
    return facts_text(f"{name} of {counted(records, 'record')}", facts)


def figures_html(name: str, records: int, panels: Panels, notes: Iterable[str] = ()) -> str:
    """The values of all panels in a table; `notes`: sentences below it."""
    rows = [
        [title, label, format_number(value.value), between(value), format_number(value.chance)]
        for title, values in panels.items()
        for label, value in values.items()
    ]
    headers = ["", "", "value", INTERVAL, "chance"]
    return html_table(f"{name} of {counted(records, 'record')}", headers, rows, notes)


def plot(panels: Panels) -> Plot:
    """Each panel's values with their intervals on a scale of its own, the chance level dashed."""
    drawn, top = [], GAP
    for title, values in panels.items():
        defined = {name: value for name, value in values.items() if value.value is not None}
        bottom = top + TITLE + ROW * len(defined)
        bars, chance = _bars(defined, top + TITLE + ROW / 2)
        if chance is not None:
            title += f" (dashed: chance, {format_number(next(iter(defined.values())).chance)})"
        drawn.append({"title": title, "top": top, "bottom": bottom, "bars": bars, "chance": chance})
        top = bottom + GAP
    label = "; ".join(
        f"{panel['title']}: {', '.join(f'{bar.name} {bar.value}' for bar in panel['bars'])}" for panel in drawn
    )
    return Plot(PLOT.render(panels=drawn, width=WIDTH, height=top, label=label))


def _bars(values: dict[str, Value], top: float) -> tuple[list[Bar], float | None]:
    """The values under one another from `top`, and where the chance level of the first of them lies."""
    numbers = [number for value in values.values() for number in value if number is not None]
    low, high = min(numbers, default=0.0), max(numbers, default=1.0)

    def x(number: float | None) -> float | None:
        return None if number is None else round(LEFT + (number - low) / ((high - low) or 1.0) * (RIGHT - LEFT), 1)

    bars = [
        Bar(
            shorten(name, LONGEST_LABEL), format_number(value.value), top + ROW * index, x(value.value), x(value.low),
            x(value.high),
        )
        for index, (name, value) in enumerate(values.items())
    ]  # fmt: skip
    return bars, x(next(iter(values.values())).chance) if values else None
