"""Loading: the loader around a DataLoader, and the feed that makes all parts of one."""

from audiofeed.loading.device_loader import DeviceLoader
from audiofeed.loading.stats import Stats

__all__ = ["DeviceLoader", "Stats"]
