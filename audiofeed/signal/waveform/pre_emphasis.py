"""Pre-emphasis of a waveform, in float64: each sample less a share of the one before it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# What the sample before the first one is taken for: see `pre_emphasized`.
FIRST_SAMPLES = ("keep", "replicate", "extrapolate", "drop")


def pre_emphasized(waveform: npt.ArrayLike, *, coeff: float = 0.97, first: str = "keep") -> np.ndarray:
    """Return a waveform after pre-emphasis, y[n] = x[n] - coeff x[n - 1], in float64.

    Args:
        waveform: (..., time).
        coeff: the share.
        first: what y[0] is. "keep": x[0], as in torchaudio and NeMo. "replicate": (1 - coeff) x[0], as in Kaldi and
            HTK. "extrapolate": 3 x[0] - x[1], as in librosa. "drop": there is none, and the waveform is one sample
            shorter, y[n] = x[n + 1] - coeff x[n].

    Returns:
        float64 (..., time), or (..., time - 1). A single sample has no neighbor: "extrapolate" takes it for x[1] too,
        and "drop" takes x[1] for 0.

    >>> pre_emphasized([1.0, 2.0, 4.0], coeff=0.5).tolist()
    [1.0, 1.5, 3.0]
    >>> pre_emphasized([1.0, 2.0, 4.0], coeff=0.5, first="drop").tolist()
    [1.5, 3.0]
    """
    samples = np.asarray(waveform, dtype=np.float64)
    differences = samples[..., 1:] - coeff * samples[..., :-1]
    if first == "drop":
        return differences if samples.shape[-1] > 1 else -coeff * samples
    head = samples[..., :1]
    if first == "replicate":
        head = (1.0 - coeff) * head
    if first == "extrapolate":
        head = 3.0 * head - samples[..., min(1, samples.shape[-1] - 1)][..., None]
    return np.concatenate([head, differences], axis=-1)
