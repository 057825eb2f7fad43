"""The error for a file that cannot be read."""

from __future__ import annotations

import ast
import os
import re

_TEXT = re.compile(
    r"""cannot read (?P<path>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")(?: from frame (?P<offset>\d+))?: (?P<cause>.*)"""
)
# the text within quotes that `repr` writes for a path
_REPR = re.compile(r"""(?:[^\\]|\\(?:[\\'"nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}))*""")
# a drive and one backslash, where `repr` writes two
_DRIVE = re.compile(r"[A-Za-z]:\\(?!\\)")
# what a dataset adds to the cause where it stops at a bad file
LEAVE_OUT = "mend or remove it, or leave such files out with on_error='skip'"


class AudioReadError(Exception):
    """Error for a file that cannot be read as audio, with its path, the first frame requested, and the cause.

    It is built from one string, because a DataLoader rebuilds a worker's exception in the main process as
    `type(error)(traceback_text)`. The attributes are parsed from that text, so they survive the trip.

    Args:
        message: The text that `AudioReadError.of` writes, or a traceback that ends in it.

    Attributes:
        path: The file, or None if the message does not name one.
        offset: The first frame requested, or None if the whole file fails.
        cause: The reason in one line, or None if the message has another form.

    >>> error = AudioReadError.of("speech/a.wav", "no such file")
    >>> str(error)
    "cannot read 'speech/a.wav': no such file"
    >>> AudioReadError(f"Caught AudioReadError in DataLoader worker process 0.\\n{error}").path
    'speech/a.wav'
    """

    path: str | None
    offset: int | None
    cause: str | None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.path = self.offset = self.cause = None
        # a chained traceback holds several texts, the one raised last stands last
        for found in _TEXT.finditer(message):
            self.path = _unquoted(found["path"])
            self.offset = None if found["offset"] is None else int(found["offset"])
            self.cause = found["cause"]

    @classmethod
    def of(
        cls, path: str | bytes | os.PathLike[str], cause: str | BaseException, offset: int | None = None
    ) -> AudioReadError:
        """Build the error for an unreadable audio file from its parts.

        Args:
            path: The file.
            cause: The reason: a text, or the exception that was raised.
            offset: The first frame requested, 0 or more; None if the whole file fails.

        Returns:
            The error, whose message is one printable line.
        """
        text = " ".join(str(cause).split()) or type(cause).__name__
        where = "" if offset is None else f" from frame {offset}"
        # repr keeps the message one printable line whatever the file is called
        return cls(f"cannot read {os.fsdecode(path)!r}{where}: {text}")


def _unquoted(text: str) -> str:
    """Return the path in the text of an AudioReadError, as `repr` writes it or, from another hand, as it is."""
    inner = text[1:-1]
    if _DRIVE.match(inner) or not _REPR.fullmatch(inner):
        return inner
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):  # a code beyond Unicode
        return inner
