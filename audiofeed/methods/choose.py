"""Which method runs: the one named, or for "auto" the first that can, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

METHODS = ("fft", "conv")


@dataclass(frozen=True)
class Choice:
    """A method and why it was taken."""

    method: str
    reason: str


def choose_short_time(method: str, *, trainable: bool) -> Choice:
    """The method of a short-time Fourier transform.

    Raises:
        ValueError: for an unknown method, or one that cannot do what is asked; it never falls back silently.

    >>> choose_short_time("auto", trainable=True).method
    'conv'
    """
    if method == "auto":
        if trainable:
            return Choice("conv", "trainable=True: the basis is a parameter of a convolution")
        return Choice("fft", "the fastest that computes the definition with a fixed basis")
    if method not in METHODS:
        raise ValueError(f"method={method!r} must be 'auto', 'fft' or 'conv'")
    if method == "fft" and trainable:
        raise ValueError(
            "method='fft' cannot be used with trainable=True: an FFT has no basis to train; use method='conv' or 'auto'"
        )
    return Choice(method, "named by the caller")
