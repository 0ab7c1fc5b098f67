"""docs/notebook.ipynb, run in a real kernel."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.readme import example

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> dict[str, list]:
    """By the last line of each cell of code, what it shows."""
    for package in ("nbclient", "ipykernel"):
        pytest.importorskip(package, reason=f"needs {package}: pip install 'sensorium[notebook]'")
    import nbformat
    from nbclient import NotebookClient

    folder = tmp_path_factory.mktemp("notebook")
    example.make(folder, reviews=60)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return {cell.source.splitlines()[-1]: cell.outputs for cell in code}


def shown(cell: list, kind: str) -> list[str]:
    """The outputs of a cell in one format."""
    return [output.data[kind] for output in cell if "data" in output and kind in output.data]


def test_the_table_has_its_pictures(outputs):
    html = shown(outputs["table"], "text/html")[-1]
    assert html.count("<tr>") == 11 and html.count("data:image/jpeg") >= 5
    assert shown(outputs["table"], "text/plain")[-1].startswith("Table of 60 records: from reviews.csv")


def test_the_run_is_said_in_a_line_and_shows_its_figures(outputs):
    text, html = (shown(outputs["run"], kind)[-1] for kind in ("text/plain", "text/html"))
    assert re.match(r"Run in runs/notebook: Report of \d+ records: sentiment, accuracy", text) and len(text) < 300
    assert "without photo" in html and "parameters" in html


def test_the_plot_the_report_and_the_predictions_are_shown(outputs):
    assert shown(outputs["run.report.plot()"], "text/html")[0].startswith("<svg")
    (frame,) = shown(outputs["run.show()"], "text/html")
    assert frame.startswith('<iframe srcdoc="&lt;!') and "report.html" in frame
    (predictions,) = shown(outputs['run.model.predict("new.csv")'], "text/plain")
    assert "sentiment_probability_pleased" in predictions


def test_progress_is_a_widget_or_nothing(outputs):
    """Without ipywidgets Rich would warn at every refresh."""
    streams = [output.text for cell in outputs.values() for output in cell if output.output_type == "stream"]
    assert not [text for text in streams if "Jupyter support" in text]
    widgets = shown(outputs["run"], "application/vnd.jupyter.widget-view+json")
    assert bool(widgets) is (find_spec("ipywidgets") is not None)
