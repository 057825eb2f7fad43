"""What the scripts of this gallery share: a clip that is made here, and a player for sounds."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
import torch

RATE = 16_000


def plucked(frequencies: tuple[float, ...] = (220.0, 330.0, 247.5, 371.25, 440.0)) -> torch.Tensor:
    """Two seconds of a plucked string (Karplus and Strong 1983), a note for each frequency in Hz."""
    rng = np.random.default_rng(0)
    out = np.zeros(2 * RATE)
    for place, frequency in enumerate(frequencies):
        period = round(RATE / frequency)
        string = rng.uniform(-1, 1, period)
        note = np.empty(RATE // 2)
        for n in range(len(note)):
            note[n] = string[n % period]
            string[n % period] = 0.498 * (string[n % period] + string[(n + 1) % period])
        start = round((0.05 + 0.36 * place) * RATE)
        out[start : start + len(note)] += note[: len(out) - start]
    return torch.tensor(0.5 * out / np.abs(out).max(), dtype=torch.float32)


def glide(seconds: float = 1.0) -> torch.Tensor:
    """A tone that rises from 200 Hz to 5 kHz."""
    times = torch.arange(round(seconds * RATE)).double() / RATE
    return 0.2 * torch.sin(2 * torch.pi * (200 * times + 2400 / seconds * times**2)).float()


def beats() -> torch.Tensor:
    """A second with four bursts of noise that die away."""
    generator = torch.Generator().manual_seed(2)
    fall = torch.exp(-torch.arange(RATE // 4) / (0.03 * RATE))
    return (0.2 * torch.randn(4, RATE // 4, generator=generator) * fall).flatten()


def clip() -> torch.Tensor:
    """Four seconds: five notes, a tone that rises, four beats."""
    return torch.cat([plucked(), glide(), beats()])


class Player:
    """A sound in a page, as FLAC, so that what is heard is what was computed.

    Args:
        waveform: (time,), between -1 and 1.
        title: what it is, for those who see no picture.
    """

    def __init__(self, waveform: torch.Tensor, title: str) -> None:
        import soundfile

        file = io.BytesIO()
        soundfile.write(file, waveform.detach().clamp(-1, 1).numpy(), RATE, format="FLAC", subtype="PCM_16")
        self.data = base64.b64encode(file.getvalue()).decode()
        self.title = title

    def _repr_html_(self) -> str:
        title = html.escape(self.title)
        source = f"data:audio/flac;base64,{self.data}"
        player = f'<audio controls preload="none" aria-label="{title}" src="{source}"></audio>'
        return f'<figure class="sound"><figcaption>{title}</figcaption>{player}</figure>'


class Page:
    """Pictures and sounds, one after another.

    Args:
        parts: objects with `_repr_html_`.
    """

    def __init__(self, *parts: object) -> None:
        self.parts = parts

    def _repr_html_(self) -> str:
        return '<div class="sounds">' + "".join(part._repr_html_() for part in self.parts) + "</div>"
