"""Plots as vector graphics, each with a title and a description for those who cannot see it. They are 360 units wide,
about the pixels of a phone, so that their letters are readable there."""

from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from sensorium.console import shorten
from sensorium.evaluation.inputs import format_number
from sensorium.metrics import Value
from sensorium.reports.render import render

WIDTH = 360
ROW_HEIGHT, LINE_HEIGHT = 30, 13
LEFT, RIGHT, TOP = 42, WIDTH - 12, 24  # of the frame of a plot with two axes
LETTER = 6.9  # the mean width of a letter
LABEL_LETTERS, LABEL_LINES = 21, 3  # of a line in the column of labels; how many lines fit a row
VALUE_WIDTH = 48  # of the column of values
LONGEST_LABEL = 40  # letters that fit into a legend
COLOURS = 5  # classes c1 to c5 of style.css
MOST_DOTTED = 24  # points of a line that each have a dot
UNDEFINED = "No value is defined on these records."

Scale = Callable[[float], float]  # a value -> its coordinate


class Row(NamedTuple):
    """A labelled value with its interval. tone: None, "quiet" for what cannot be told from chance or from nothing, or
    "no" for what is surely worse."""

    label: str
    value: Value
    tone: str | None = None


class Line(NamedTuple):
    """A line through the points x [P], y [P], and the band between `low` and `high` [P] where there is one. tone: the
    number of its colour, from 0."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    tone: int = 0

    def defined(self) -> "Line":
        """The line without the points whose value is undefined."""
        keep = [index for index, value in enumerate(self.y) if value is not None and np.isfinite(value)]
        x, y = ([float(values[index]) for index in keep] for values in (self.x, self.y))
        edges = (self.low, self.high)
        if any(edge is None or any(edge[index] is None for index in keep) for edge in edges):
            return Line(self.name, x, y, tone=self.tone)
        return Line(self.name, x, y, *([float(edge[index]) for index in keep] for edge in edges), self.tone)


def element(name: str, /, *children: Markup | str, **attributes: str | float | None) -> Markup:
    """An SVG element. An attribute `class_` is `class`, `aria_label` is `aria-label`; None leaves one out."""
    written = Markup().join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, Markup().join(children))


def tone_by_chance(value: Value) -> str | None:
    """Grey for a value whose interval does not lie above the chance level."""
    return None if value.low is not None and value.low > (value.chance or 0.0) else "quiet"


def intervals(title: str, rows: list[Row], axis: str, chance: float | None = None, bars: bool = False) -> Markup:
    """Values with their intervals under one another over one `axis`, between a column of labels and one of values;
    `bars` begin at zero."""
    rows = [row for row in rows if row.value.value is not None]
    if not rows:
        return _figure(title, [], 1, UNDEFINED)
    numbers = [number for row in rows for number in row.value[:3] if number is not None]
    numbers += ([] if chance is None else [chance]) + ([0.0] if bars else [])
    ticks = nice(min(numbers), max(numbers), 4)
    labels = [_label_lines(row.label) for row in rows]
    left, right = LETTER * max(len(line) for lines in labels for line in lines) + 8, WIDTH - VALUE_WIDTH - 6
    x, top = _scale(ticks[0], ticks[-1], left, right), 4 if chance is None else 18
    row_height = max(ROW_HEIGHT, LINE_HEIGHT * max(map(len, labels)) + 6)
    bottom = top + row_height * len(rows)
    drawing = [_line(x(tick), top, x(tick), bottom, "axis") for tick in ticks]
    drawing += [_text(x(tick), bottom + 14, tick_text(tick), "s", "middle") for tick in ticks]
    drawing.append(_text((left + right) / 2, bottom + 30, axis, "s", "middle"))
    description = "; ".join(f"{row.label}: {spelled(row.value)}" for row in rows)
    if chance is not None:
        drawing.append(_line(x(chance), top, x(chance), bottom, "chance"))
        text = f"chance {format_number(chance)}"
        middle = min(max(x(chance), len(text) * LETTER / 2), WIDTH - len(text) * LETTER / 2)
        drawing.append(_text(middle, 12, text, "s", "middle"))
        description += f"; chance (dashed): {format_number(chance)}"
    for index, (row, lines) in enumerate(zip(rows, labels, strict=True)):
        drawing.append(_interval(row, lines, top + (index + 0.5) * row_height, x, x(0.0) if bars else None))
    return _figure(title, drawing, bottom + 36, description)


def _label_lines(label: str) -> list[str]:
    """A label in lines that fit the column of labels."""
    return wrap(label, LABEL_LETTERS, max_lines=LABEL_LINES, placeholder="…") or [""]


def _interval(row: Row, label: list[str], middle: float, x: Scale, zero: float | None) -> Markup:
    value, low, high = (None if number is None else x(number) for number in row.value[:3])
    first = middle + 4 - LINE_HEIGHT * (len(label) - 1) / 2
    drawing = [element("title", f"{row.label}: {spelled(row.value)}")]
    drawing += [_text(0, first + LINE_HEIGHT * index, line) for index, line in enumerate(label)]
    drawing.append(_text(WIDTH, middle + 4, format_number(row.value.value), anchor="end"))
    if zero is not None:
        corner = {"x": rounded(min(zero, value)), "y": rounded(middle - 6)}
        drawing.append(element("rect", **corner, width=rounded(abs(value - zero)), height=12, class_="b"))
    if low is not None:
        drawing.append(_line(low, middle, high, middle, "i"))
    drawing.append(element("circle", cx=rounded(value), cy=rounded(middle), r=4, class_="d"))
    return element("g", *drawing, class_=row.tone)


def lines(
    title: str,
    drawn: list[Line],
    x_name: str,
    y_name: str,
    labels: Sequence[tuple[float, str]] | None = None,
    rules: Sequence[tuple[str, float]] = (),
    diagonal: str | None = None,
) -> Markup:
    """Lines over a common axis `x_name`; rules: dashed levels by name; labels: (x, text) of the axis below; diagonal:
    what it means where both axes are equal."""
    drawn = [line for line in map(Line.defined, drawn) if len(line.x)]
    if not drawn:
        return _figure(title, [], 1, UNDEFINED)
    # The axes hold every point, band and rule.
    levels = [level for _, level in rules]
    levels += [number for line in drawn for edge in (line.y, line.low, line.high) for number in edge or ()]
    ticks = nice(min(levels), max(levels))
    positions = [position for line in drawn for position in line.x]
    labels = labels or [(tick, tick_text(tick)) for tick in nice(min(positions), max(positions))]
    positions += [position for position, _ in labels]
    first, last, bottom = min(positions), max(positions), 186 + TOP
    x = _scale(first, last if last > first else first + 1, LEFT, RIGHT)
    y = _scale(ticks[0], ticks[-1], bottom, TOP)
    drawing = _frame(x, y, labels, ticks, bottom, x_name, y_name)
    if diagonal is not None:
        low, high = max(first, ticks[0]), min(last, ticks[-1])
        drawing.append(_line(x(low), y(low), x(high), y(high), "chance"))
    drawing += [_line(LEFT, y(level), RIGHT, y(level), "chance") for _, level in rules]
    drawing += [_curve(line, x, y) for line in drawn]
    entries = [(line.name, colour(line.tone)) for line in drawn if len(drawn) > 1]
    entries += [(name, "chance") for name in [*(name for name, _ in rules), *([diagonal] if diagonal else [])]]
    height = bottom + 38
    drawing.append(_legend(entries, height))
    description = "; ".join(f"{line.name}: {_few_points(line, dict(labels))}" for line in drawn)
    description += "".join(f"; {name}: {format_number(level)}" for name, level in rules)
    return _figure(title, drawing, height + 16 * len(entries) + 2, f"{x_name} against {y_name}. {description}")


def dots(title: str, at: np.ndarray, values: np.ndarray, x_name: str, y_name: str) -> Markup:
    """Points [N] at `at`, `values` high, with the diagonal where the two are equal."""
    numbers = np.concatenate([at, values])
    ticks, bottom = nice(float(numbers.min()), float(numbers.max())), 300 + TOP
    x, y = _scale(ticks[0], ticks[-1], LEFT, RIGHT), _scale(ticks[0], ticks[-1], bottom, TOP)
    labels = [(tick, tick_text(tick)) for tick in ticks]
    drawing = _frame(x, y, labels, ticks, bottom, x_name, y_name)
    drawing.append(_line(x(ticks[0]), y(ticks[0]), x(ticks[-1]), y(ticks[-1]), "chance"))
    drawing.append(dotted([(x(a), y(b)) for a, b in zip(at, values, strict=True)], stroke_opacity=0.45, stroke_width=5))
    drawing.append(_legend([("both are equal", "chance")], bottom + 38))
    ends = [format_number(float(end)) for end in (at.min(), at.max(), values.min(), values.max())]
    description = (
        f"{len(at)} records; {x_name} from {ends[0]} to {ends[1]}, {y_name} from {ends[2]} to {ends[3]}."
        " On the dashed line both are equal."
    )
    return _figure(title, drawing, bottom + 56, description)


def dotted(points: list[tuple[float, float]], **attributes: float) -> Markup:
    """Round dots at coordinates, as one path."""
    path = "".join(f"M{rounded(x)} {rounded(y)}h0" for x, y in points)
    return element("path", d=path, stroke="var(--accent)", stroke_linecap="round", **attributes)


def path_of(points: list[tuple[float, float]]) -> str:
    """Coordinates as an attribute `points` has them."""
    return " ".join(f"{rounded(x)},{rounded(y)}" for x, y in points)


def colour(index: int) -> str:
    """The class of the line with this number, from 0."""
    return f"c{index % COLOURS + 1}"


def nice(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers; the first is not above `low` and the last not below `high`."""
    if not high - low > 1e-9 * max(abs(low), abs(high)):  # the same but for rounding
        pad = abs(low) * 0.1 or 0.5
        low, high = low - pad, high + pad
    raw = (high - low) / (count - 1)
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in np.arange(first, last + 1)]


def tick_text(number: float) -> str:
    """A round number on an axis, without zeros at its end."""
    return f"{number:,.10g}" if abs(number) >= 1e-4 else f"{number:.3g}"


def spelled(value: Value) -> str:
    """A value and its interval in words."""
    interval = "" if value.low is None else f" ({format_number(value.low)} to {format_number(value.high)})"
    return format_number(value.value) + interval


def rounded(number: float) -> float:
    """A coordinate with as many digits as can be seen."""
    return round(float(number), 1)


def _figure(title: str, drawing: list[Markup], height: float, description: str) -> Markup:
    return render("figure", title=title, drawing=drawing, width=WIDTH, height=rounded(height), description=description)


def _frame(
    x: Scale, y: Scale, labels: Sequence[tuple[float, str]], ticks: list[float], bottom: float, x_name: str, y_name: str
) -> list[Markup]:
    """The two axes: a line and a number for each of the `ticks`, the `labels` below, what each axis measures."""
    drawing = [_line(LEFT, y(tick), RIGHT, y(tick), "axis") for tick in ticks]
    drawing += [_text(LEFT - 5, y(tick) + 4, tick_text(tick), "s", "end") for tick in ticks]
    drawing += [_text(x(position), bottom + 16, text, "s", "middle") for position, text in labels]
    return [*drawing, _text((LEFT + RIGHT) / 2, bottom + 32, x_name, "s", "middle"), _text(0, 11, y_name, "s")]


def _curve(line: Line, x: Scale, y: Scale) -> Markup:
    """A line with its band, and dots where there are few of them."""
    drawing, kind = [element("title", line.name)], colour(line.tone)
    if line.low is not None and len(line.x) > 1:
        edge = [*zip(line.x, line.high, strict=True), *zip(reversed(line.x), reversed(line.low), strict=True)]
        drawing.append(element("polygon", points=path_of([(x(a), y(b)) for a, b in edge]), class_=kind))
    points = [(x(a), y(b)) for a, b in zip(line.x, line.y, strict=True)]
    drawing.append(element("polyline", points=path_of(points), class_=kind))
    if len(points) <= MOST_DOTTED:
        drawing += [element("circle", cx=rounded(a), cy=rounded(b), r=3, class_=kind) for a, b in points]
    return element("g", *drawing)


def _legend(entries: list[tuple[str, str]], top: float) -> Markup:
    """Names beside a piece of their line, which is of the class named with them."""
    drawing = []
    for index, (name, kind) in enumerate(entries):
        middle = top + 8 + 16 * index
        drawing.append(_line(LEFT, middle, LEFT + 20, middle, kind))
        drawing.append(_text(LEFT + 26, middle + 4, shorten(name, LONGEST_LABEL), "s"))
    return Markup().join(drawing)


def _few_points(line: Line, labels: dict[float, str]) -> str:
    """At most seven points of a line, the first and the last among them, in words."""
    chosen = np.unique(np.linspace(0, len(line.x) - 1, min(7, len(line.x))).round().astype(int))
    points = [(line.x[index], line.y[index]) for index in chosen]
    return ", ".join(f"{format_number(y)} at {labels.get(x) or tick_text(x)}" for x, y in points)


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str, **attributes: float) -> Markup:
    ends = {"x1": rounded(x1), "y1": rounded(y1), "x2": rounded(x2), "y2": rounded(y2)}
    return element("line", **ends, class_=kind, **attributes)


def _text(x: float, y: float, text: str, kind: str | None = None, anchor: str | None = None) -> Markup:
    return element("text", text, x=rounded(x), y=rounded(y), class_=kind, text_anchor=anchor)
