"""Pictures of batches, of filters and of differences, as `af.plot`; matplotlib is imported when one is drawn."""

from audiofeed.plot.batch import plot_batch
from audiofeed.plot.compare import compare
from audiofeed.plot.filters import filters

__all__ = ["compare", "filters", "plot_batch"]
