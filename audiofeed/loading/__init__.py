"""Loading: the loader around a DataLoader, and the feed that makes all parts of one."""

from audiofeed.loading.device_loader import DeviceLoader
from audiofeed.loading.fault_ledger import Fault, FaultLedger, FaultLimitError
from audiofeed.loading.feed import Feed
from audiofeed.loading.stats import Stats
from audiofeed.loading.watch import ReadTimeoutError, SharedMemoryFullError, WorkerDiedError

__all__ = [
    "DeviceLoader",
    "Fault",
    "FaultLedger",
    "FaultLimitError",
    "Feed",
    "ReadTimeoutError",
    "SharedMemoryFullError",
    "Stats",
    "WorkerDiedError",
]
