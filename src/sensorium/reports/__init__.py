"""report.html: one file that opens anywhere, with no script in it and nothing fetched; and card.md."""

from sensorium.reports.card import run_card
from sensorium.reports.comparison import comparison_page
from sensorium.reports.evidence import Evidence
from sensorium.reports.run import run_page

__all__ = ["Evidence", "comparison_page", "run_card", "run_page"]
