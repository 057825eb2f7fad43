"""What looks like the place of recordings and is no local file: a URL, or an archive that has to be unpacked."""

from __future__ import annotations

import re

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_ARCHIVES = (
    ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".zip", ".7z", ".rar", ".gz", ".xz",
    ".bz2", ".zst",
)  # fmt: skip


def not_local(path: str) -> str | None:
    """Describe why a path is no local folder, table or recording, and what to do instead; None if it looks like one.

    Args:
        path: A path as the user gave it.

    >>> not_local("s3://bucket/speech")[:8], not_local("speech/a.wav")
    ('is a URL', None)
    """
    if path.lower().startswith("file://"):
        return "is a URL; pass the path alone, without file://"
    if _URL.match(path):
        return (
            "is a URL, and only local files are read: download it first (such as with curl, aws s3 sync or "
            "huggingface_hub.snapshot_download), or mount it as a folder"
        )
    if path.lower().endswith(_ARCHIVES):
        return (
            "is an archive: unpack it first (such as with tar -xf or unzip), or stream it with webdataset into "
            "GPUSpecCollate"
        )
    return None
