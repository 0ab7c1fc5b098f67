"""Plots as vector graphics, each with a title and a description for who cannot see it.

They are 360 units wide, about the pixels of a phone, so that their letters are readable there.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sensorium.evaluation.inputs import format_number
from sensorium.metrics import Value
from sensorium.reports.markup import Html, element, joined

WIDTH, EDGE = 360, 8
ROW = 34
LETTERS = 40  # of a label that fit


class Row(NamedTuple):
    """A labelled value with its interval; `quiet` ones are drawn grey."""

    label: str
    value: Value
    quiet: bool = False


class Line(NamedTuple):
    """A line through points: places [P], values [P], and the band between `low` and `high` [P] where there is one."""

    name: str
    at: Sequence[float]
    values: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


def intervals(
    title: str, rows: list[Row], chance: float | None = None, bars: bool = False, chance_name: str = "chance"
) -> Html:
    """Values with their intervals under one another on one axis; `bars` begin at zero."""
    shown = [row for row in rows if row.value.value is not None]
    marks = [number for row in shown for number in row.value[:3] if number is not None]
    marks += ([] if chance is None else [chance]) + ([0.0] if bars else [])
    if not shown:
        return figure_of(title, Html(""), 1, "No value is defined on these records.")
    ticks = nice(min(marks), max(marks))
    place = _scale(ticks[0], ticks[-1], EDGE, WIDTH - EDGE)
    height = ROW * len(shown) + 22
    parts = [_vertical(place(tick), height - 18, "axis") for tick in ticks]
    parts += [_text(place(tick), height - 4, tick_text(tick), "s", "middle") for tick in ticks]
    if chance is not None:
        parts.append(_vertical(place(chance), height - 18, "chance"))
    for index, row in enumerate(shown):
        parts.append(_row(row, index * ROW, place, place(0.0) if bars else None))
    said = "; ".join(f"{row.label}: {spelled(row.value)}" for row in shown)
    if chance is not None:
        said += f"; {chance_name} (dashed): {format_number(chance)}"
    return figure_of(title, joined(*parts), height, said)


def _row(row: Row, top: float, place, zero: float | None) -> Html:
    value, low, high = (None if one is None else place(one) for one in row.value[:3])
    middle = top + 23
    parts = [
        _text(0, top + 12, shortened(row.label), ""),
        _text(WIDTH, top + 12, format_number(row.value.value), "", "end"),
    ]
    if zero is not None:
        parts.append(
            element("rect", x=r(min(zero, value)), y=r(middle - 5), width=r(abs(value - zero)), height=10, class_="b")
        )
    if low is not None:
        parts.append(element("line", x1=r(low), x2=r(high), y1=middle, y2=middle, class_="i"))
    parts.append(element("circle", cx=r(value), cy=middle, r=4, class_="d"))
    return element(
        "g", element("title", f"{row.label}: {spelled(row.value)}"), *parts, class_="quiet" if row.quiet else None
    )


def lines(
    title: str,
    drawn: list[Line],
    across: str,
    labels: Sequence[tuple[float, str]] | None = None,
    rules: Sequence[tuple[str, float]] = (),
    diagonal: bool = False,
) -> Html:
    """Lines over a common axis `across`; rules: dashed levels by name; labels: (place, text) of the axis below."""
    drawn = [_defined(one) for one in drawn]
    drawn = [one for one in drawn if len(one.at)]
    if not drawn:
        return figure_of(title, Html(""), 1, "No value is defined on these records.")
    marks = [v for one in drawn for side in (one.values, one.low, one.high) for v in (side if side is not None else ())]
    ticks = nice(min([*marks, *(level for _, level in rules)]), max([*marks, *(level for _, level in rules)]))
    spots = [spot for one in drawn for spot in one.at]
    below = labels or [(tick, tick_text(tick)) for tick in nice(min(spots), max(spots))]
    first, last = (pick([*spots, *(spot for spot, _ in below)]) for pick in (min, max))
    left, bottom = 42, 186
    x = _scale(first, last if last > first else first + 1, left, WIDTH - 12)
    y = _scale(ticks[0], ticks[-1], bottom, 10)
    parts = [element("line", x1=left, x2=WIDTH - 12, y1=r(y(tick)), y2=r(y(tick)), class_="axis") for tick in ticks]
    parts += [_text(left - 5, y(tick) + 4, tick_text(tick), "s", "end") for tick in ticks]
    parts += [_text(x(spot), bottom + 16, text, "s", "middle") for spot, text in below]
    parts.append(_text((left + WIDTH) / 2, bottom + 32, across, "s", "middle"))
    if diagonal:
        low, high = max(first, ticks[0]), min(last, ticks[-1])
        parts.append(element("line", x1=r(x(low)), y1=r(y(low)), x2=r(x(high)), y2=r(y(high)), class_="chance"))
    for _, level in rules:
        parts.append(element("line", x1=left, x2=WIDTH - 12, y1=r(y(level)), y2=r(y(level)), class_="chance"))
    for index, one in enumerate(drawn):
        parts.append(_line(one, f"c{index % 5 + 1}", x, y))
    parts += [_text(WIDTH - 14, y(level) - 4, name, "s", "end") for name, level in rules]
    height = bottom + 36
    if len(drawn) > 1:
        parts.append(_legend([one.name for one in drawn], height))
        height += 16 * len(drawn) + 2
    said = "; ".join(
        f"{one.name}: " + ", ".join(f"{format_number(v)} at {_at(spot, below)}" for spot, v in _few(one))
        for one in drawn
    )
    said += "".join(f"; {name}: {format_number(level)}" for name, level in rules)
    return figure_of(title, joined(*parts), height, f"{across} against the value. {said}")


def dots(title: str, at: np.ndarray, values: np.ndarray, across: str, up: str) -> Html:
    """Points [N] at `at`, `values` high, with the diagonal where the two are equal."""
    everything = np.concatenate([at, values])
    ticks = nice(float(everything.min()), float(everything.max()))
    left, bottom = 42, 300
    x, y = _scale(ticks[0], ticks[-1], left, WIDTH - 12), _scale(ticks[0], ticks[-1], bottom, 10)
    parts = [element("line", x1=left, x2=WIDTH - 12, y1=r(y(tick)), y2=r(y(tick)), class_="axis") for tick in ticks]
    parts += [_text(left - 5, y(tick) + 4, tick_text(tick), "s", "end") for tick in ticks]
    parts += [_text(x(tick), bottom + 16, tick_text(tick), "s", "middle") for tick in ticks]
    parts.append(_text((left + WIDTH) / 2, bottom + 32, f"{across} (upwards: {up})", "s", "middle"))
    ends = {"x1": r(x(ticks[0])), "y1": r(y(ticks[0])), "x2": r(x(ticks[-1])), "y2": r(y(ticks[-1]))}
    parts.append(element("line", **ends, class_="chance"))
    path = "".join(f"M{r(x(a))} {r(y(b))}h0" for a, b in zip(at, values, strict=True))
    parts.append(
        element("path", d=path, stroke="var(--accent)", stroke_width=5, stroke_linecap="round", stroke_opacity=0.45)
    )
    left, right, low, high = (format_number(float(end)) for end in (at.min(), at.max(), values.min(), values.max()))
    said = f"{len(at)} records; {across} from {left} to {right}, {up} from {low} to {high}."
    said += " On the dashed line both are equal."
    return figure_of(title, joined(*parts), bottom + 36, said)


def figure_of(title: str, drawn: Html, height: float, said: str) -> Html:
    """A figure with its caption, and the text that stands for it."""
    if not drawn.text:
        return element("figure", element("figcaption", f"{title}. {said}"))
    graphic = element(
        "svg", element("title", title), element("desc", said), drawn, viewBox=f"0 0 {WIDTH} {r(height)}", role="img",
        aria_label=f"{title}. {said}",
    )  # fmt: skip
    return element("figure", element("figcaption", title), graphic)


def nice(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers, about `count`, of which the first is not above `low` and the last not below `high`."""
    if not high - low > 1e-9 * max(abs(low), abs(high)):  # the same but for rounding
        pad = abs(low) * 0.1 or 0.5
        low, high = low - pad, high + pad
    raw = (high - low) / (count - 1)
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [float(round(index * step, 12)) for index in np.arange(first, last + 1)]


def tick_text(number: float) -> str:
    """A round number on an axis, without zeros at its end."""
    text = f"{number:,.10g}" if abs(number) >= 1e-4 else f"{number:.3g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def spelled(value: Value) -> str:
    """A value and its interval in words."""
    return format_number(value.value) + (
        "" if value.low is None else f" ({format_number(value.low)} to {format_number(value.high)})"
    )


def shortened(text: str, letters: int = LETTERS) -> str:
    """`text`, cut where it would be too long for its place."""
    return text if len(text) <= letters else text[: letters - 1] + "…"


def r(number: float) -> float:
    """A coordinate with as many digits as can be seen."""
    return round(float(number), 1)


def _scale(low: float, high: float, start: float, end: float):
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _vertical(x: float, height: float, kind: str) -> Html:
    return element("line", x1=r(x), x2=r(x), y1=0, y2=r(height), class_=kind)


def _text(x: float, y: float, text: str, kind: str, anchor: str | None = None) -> Html:
    return element("text", text, x=r(x), y=r(y), class_=kind or None, text_anchor=anchor)


def _line(one: Line, kind: str, x, y) -> Html:
    parts = []
    if one.low is not None and len(one.at) > 1:
        edge = [(x(a), y(b)) for a, b in zip(one.at, one.high, strict=True)]
        edge += [(x(a), y(b)) for a, b in zip(reversed(one.at), reversed(one.low), strict=True)]
        parts.append(element("polygon", points=_points(edge), class_=kind))
    spots = [(x(a), y(b)) for a, b in zip(one.at, one.values, strict=True)]
    parts.append(element("polyline", points=_points(spots), class_=kind))
    if len(spots) <= 24:
        parts += [element("circle", cx=r(a), cy=r(b), r=3, class_=kind) for a, b in spots]
    return element("g", element("title", one.name), *parts)


def _points(spots: list[tuple[float, float]]) -> str:
    return " ".join(f"{r(a)},{r(b)}" for a, b in spots)


def _legend(names: list[str], top: float) -> Html:
    parts = []
    for index, name in enumerate(names):
        middle, kind = top + 8 + 16 * index, f"c{index % 5 + 1}"
        parts.append(element("line", x1=42, x2=62, y1=middle, y2=middle, class_=kind, stroke_width=3))
        parts.append(_text(68, middle + 4, shortened(name), ""))
    return joined(*parts)


def _defined(one: Line) -> Line:
    """The line without the points whose value is undefined."""
    keep = [place for place, value in enumerate(one.values) if value is not None and np.isfinite(value)]
    sides = []
    for side in (one.low, one.high):
        known = side is not None and all(side[place] is not None for place in keep)
        sides.append([float(side[place]) for place in keep] if known else None)
    low, high = sides if None not in sides else (None, None)
    return Line(one.name, [float(one.at[p]) for p in keep], [float(one.values[p]) for p in keep], low, high)


def _few(one: Line) -> list[tuple[float, float]]:
    """At most seven points of a line, the first and the last among them."""
    chosen = np.unique(np.linspace(0, len(one.at) - 1, min(7, len(one.at))).round().astype(int))
    return [(one.at[place], one.values[place]) for place in chosen]


def _at(spot: float, labels: Sequence[tuple[float, str]]) -> str:
    return next((text for place, text in labels if place == spot), tick_text(spot))
