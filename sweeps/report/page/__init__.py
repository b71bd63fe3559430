"""The report of a sweep: one HTML file that needs no network, and the same as Markdown and JSON."""

from sweeps.report.page.write import write_report

__all__ = ["write_report"]
