"""Templates to HTML. What a template prints is escaped unless it is Markup, which only templates and plots make."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sensorium.errors import counted
from sensorium.evaluation.inputs import format_number, join_names
from sensorium.evaluation.printing import between
from sensorium.metrics import INTERVAL
from sensorium.reports.values import duration, large, metric_name, p_value, value_of

FOLDER = Path(__file__).parent
FILTERS: dict[str, Callable[..., Any]] = {
    "counted": counted,
    "duration": duration,
    "interval": between,
    "large": large,
    "metric": metric_name,
    "names": join_names,
    "number": format_number,
    "p_value": p_value,
    "value": value_of,
}


class Section(NamedTuple):
    """A part of the page: the name its link has, its title, its HTML."""

    name: str
    title: str
    body: Markup


class Headline(NamedTuple):
    """A figure that stands large above all: its name, its value, its interval, the verdict on it; good: whether that
    is above chance and baselines."""

    name: str
    value: str
    note: str
    verdict: str = ""
    good: bool = False


def _printable(value: Any) -> Any:
    """What a template prints for `value`: nothing for None, and no zero bytes, which HTML forbids."""
    if value is None:
        return ""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


ENVIRONMENT = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    finalize=_printable,
    lstrip_blocks=True,
    trim_blocks=True,
    undefined=StrictUndefined,
)
ENVIRONMENT.filters |= FILTERS
ENVIRONMENT.globals["INTERVAL"] = INTERVAL


def render(template: str, **values: Any) -> Markup:
    """The HTML of templates/`template`.html.j2."""
    return Markup(ENVIRONMENT.get_template(f"{template}.html.j2").render(values))


def page(
    title: str, lead: list[str], headlines: list[Headline], sections: list[Section], origin: dict[str, str]
) -> str:
    """A whole HTML file; lead: the sentences that it begins with; origin: where the figures come from, by name."""
    style = Markup((FOLDER / "style.css").read_text(encoding="utf-8"))
    values = {"title": title, "lead": lead, "headlines": headlines, "sections": sections, "origin": origin}
    return render("page", style=style, **values) + "\n"
