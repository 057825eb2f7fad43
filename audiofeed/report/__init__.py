"""The report of a data set as a model will see it: a page of HTML, by `audiofeed report` or `write_report`."""

from audiofeed.report.run import write_report

__all__ = ["write_report"]
