"""The stack of harmonics against six calls of librosa, and against six transforms of our own."""

from __future__ import annotations

from collections.abc import Iterator

import librosa
import numpy as np
import torch

from audiofeed.transforms.constant_q.cqt import CQT
from audiofeed.transforms.constant_q.harmonic_cqt import HarmonicCQT
from catalogue import COMPAT, Contest

RATE, CLIPS, SECONDS = 22050, 4, 10
C1 = float(librosa.note_to_hz("C1"))
# bins, bins per octave, hop: a coarse stack, Basic Pitch's bins, and those of "Deep salience"
STACKS = ((72, 12, 512), (216, 36, 256), (360, 60, 256))


def contests() -> Iterator[Contest]:
    """HarmonicCQT in three sizes."""
    # silent ends: early downsampling of a low harmonic shows at loud ones, in librosa (see test_harmonic_cqt.py)
    soft = np.random.default_rng(0).standard_normal((CLIPS, RATE * SECONDS)) * 0.1
    soft[:, :8192] = soft[:, -8192:] = 0
    for n_bins, per_octave, hop in STACKS:
        yield of_harmonics(soft, {"n_bins": n_bins, "bins_per_octave": per_octave, "hop_length": hop})


def of_harmonics(exact: np.ndarray, settings: dict[str, int]) -> Contest:
    single = exact.astype(np.float32)
    x = torch.from_numpy(single)
    ours = HarmonicCQT(sample_rate=RATE, compat=COMPAT, **settings)
    alone = [CQT(sample_rate=RATE, f_min=C1 * harmonic, compat=COMPAT, **settings) for harmonic in ours.harmonics]
    frames = int(ours.frame_lengths(torch.tensor(x.shape[-1])))

    def of_librosa(y: np.ndarray) -> np.ndarray:
        each = [np.abs(librosa.cqt(y, sr=RATE, fmin=C1 * harmonic, **settings)) for harmonic in ours.harmonics]
        return np.stack([found[..., :frames] for found in each], axis=-3)

    return Contest(
        transform="HarmonicCQT",
        setting=(
            f"{RATE} Hz, hop {settings['hop_length']}, harmonics 1/2 to 5 of {settings['n_bins']} bins, "
            f"{settings['bins_per_octave']} in an octave, {CLIPS} x {SECONDS} s"
        ),
        calls={
            "audiofeed": lambda: ours(x),
            "librosa, six times": lambda: of_librosa(single),
            "our CQT, six times": lambda: torch.stack([each(x)[..., :frames] for each in alone], dim=-3),
        },
        expected=of_librosa(exact),
        note="there is no other package with it; the peers are stacks of one transform for each harmonic.",
    )
