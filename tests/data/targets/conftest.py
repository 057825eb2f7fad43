"""Click tracks: recordings whose only sound are single samples, and where these are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

RATE = 8000
# farther apart than a frame is long, so that no frame has two clicks
APART = 400


class ClickTracks:
    """Recordings of clicks in a folder, of several lengths.

    Args:
        root: The folder, in which they are written.
        write_pcm: Writes a file.
        count: Number of recordings.
    """

    def __init__(self, root: Path, write_pcm, count: int = 24) -> None:
        self.root = root
        self.names = [f"take {i}.wav" for i in range(count)]
        self.clicks: list[np.ndarray] = []
        rng = np.random.default_rng(0)
        for i, name in enumerate(self.names):
            samples = int(rng.integers(300, 3000)) if i % 4 == 0 else int(rng.integers(6000, 24000))
            places = np.cumsum(APART + rng.integers(0, 900, 40)) - rng.integers(1, APART)
            places = places[places < samples]
            wave = np.zeros(samples, dtype=np.int16)
            wave[places] = 20000
            write_pcm(f"{root.name}/{name}", wave, rate=RATE)
            self.clicks.append(places)

    def rows(self) -> list[dict]:
        """One row for each click, and one without for a recording that has none."""
        found = []
        for name, places in zip(self.names, self.clicks, strict=True):
            events = [{"onset": p / RATE, "offset": p / RATE, "event_label": "click"} for p in places.tolist()]
            found += [{"path": name, **e} for e in events or [{"onset": None, "offset": None, "event_label": None}]]
        return found


@pytest.fixture
def tracks(tmp_path, write_pcm) -> ClickTracks:
    (tmp_path / "clicks").mkdir()
    return ClickTracks(tmp_path / "clicks", write_pcm)
