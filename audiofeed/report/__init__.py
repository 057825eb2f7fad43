"""The report of a data set as a model will see it: one page of HTML, `audiofeed report` and `audiofeed.write_report`."""

from audiofeed.report.run import write_report

__all__ = ["write_report"]
