"""report.html: one file that opens anywhere, with no script in it and nothing fetched."""

from sensorium.evaluation.html.comparison import comparison_page
from sensorium.evaluation.html.evidence import Evidence
from sensorium.evaluation.html.run import run_page

__all__ = ["Evidence", "comparison_page", "run_page"]
