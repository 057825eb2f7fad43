"""Whether an iteration is begun to unpack what is iterated: `features, targets = batch`."""

from __future__ import annotations

import dis
import sys
from types import FrameType

_UNPACKS = frozenset(dis.opmap[name] for name in ("UNPACK_SEQUENCE", "UNPACK_EX") if name in dis.opmap)


def unpacked_names(frame: FrameType | None) -> int:
    """Return how many names a frame is about to give the entries of what it iterates; 0 where it does no such thing.

    Args:
        frame: That in which the iteration is begun.

    >>> class Two:
    ...     def __iter__(self):
    ...         self.names = unpacked_names(sys._getframe(1))
    ...         return iter((1, 2))
    >>> two = Two()
    >>> x, y = two
    >>> two.names
    2
    >>> list(two), two.names
    ([1, 2], 0)
    """
    if frame is None or sys.implementation.name != "cpython":
        return 0
    code, place = frame.f_code.co_code, frame.f_lasti
    if not 0 <= place < len(code) - 1 or code[place] not in _UNPACKS:
        return 0
    return max(1, code[place + 1] & 0xFF)
