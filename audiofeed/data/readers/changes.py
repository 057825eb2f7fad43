"""Whether an audio file is still the one whose header was read: by its size and its time of change."""

from __future__ import annotations

import time

# Nanoseconds of one step of a clock by which files are dated: NTFS and SMB count 100 ns, Python's and many copying
# tools' times 1 us, others 1 ms, ext3, HFS+, tar and older NFS 1 s, FAT 2 s.
_STEPS = (100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)


def is_same_time(one: int, other: int) -> bool:
    """Return True if two times of change of an audio file may be the same moment, one of them less exactly known.

    The same file can show a rounded time where it was copied with its times, or where a file system forgets fractions
    as it drops what it holds in memory. So a time without a fraction equals every time in that second.

    Args:
        one: Nanoseconds since 1970, or -1 where the time is not known, which equals any.
        other: The same.

    Returns:
        True if they may be the same.

    >>> is_same_time(1_700_000_000_123_456_789, 1_700_000_000_000_000_000)
    True
    >>> is_same_time(1_700_000_000_123_456_789, 1_700_000_000_123_456_790)
    False
    """
    if one == other or one == -1 or other == -1:
        return True
    return any(one // step == other // step and (one % step == 0 or other % step == 0) for step in _STEPS)


def change_of(size: int, mtime_ns: int, size_now: int, mtime_ns_now: int) -> str | None:
    """Describe what changed in an audio file since its header was read.

    The same size and time are taken for the same bytes, without reading them. What escapes this: other bytes of the
    same size under a time that was set back, or written within the same step of the file system's clock.

    A time that moved is a change even if the bytes turn out to be the same, as after `touch`: only reading all of the
    file could tell, and a header read again in vain costs less than samples under another clip's label.

    Args:
        size: The file's size in bytes when its header was read.
        mtime_ns: Its time of change then, in nanoseconds since 1970; -1 where it is not known.
        size_now: Its size in bytes now.
        mtime_ns_now: Its time of change now.

    Returns:
        What changed, or None.

    >>> change_of(100, 0, 100, 1_700_000_000_000_000_000)
    'the file changed: written at 1970-01-01 00:00:00 UTC when its header was read, at 2023-11-14 22:13:20 UTC now'
    """
    if size != size_now:
        return f"the file changed: {size} bytes when its header was read, {size_now} now"
    if is_same_time(mtime_ns, mtime_ns_now):
        return None
    then, now = _shown(mtime_ns), _shown(mtime_ns_now)
    if then == now:
        then, now = (f"{text}.{value % 10**9:09d}" for text, value in ((then, mtime_ns), (now, mtime_ns_now)))
    return f"the file changed: written at {then} UTC when its header was read, at {now} UTC now"


def _shown(mtime_ns: int) -> str:
    """Return the time of change of an audio file to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(mtime_ns // 10**9))
