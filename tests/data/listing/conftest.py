"""What the tests of kept headers share: the files that were opened."""

import os

import pytest

from audiofeed.data.listing import scan as scan_file
from audiofeed.data.listing import scanned_columns


@pytest.fixture
def opened(monkeypatch):
    """The files whose headers were read, by name."""
    names = []
    read_info = scan_file.read_info

    def counted(path):
        names.append(os.path.basename(path))
        return read_info(path)

    monkeypatch.setattr(scan_file, "read_info", counted)
    monkeypatch.setattr(scanned_columns, "read_info", counted)
    return names
