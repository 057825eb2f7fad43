"""Lengths that an FFT takes in small steps."""

from __future__ import annotations


def smooth_length(least: int, multiple: int = 2) -> int:
    """Plan a size that an FFT takes in small steps: the next one without a prime factor above 5.

    The smallest multiple of `multiple` that is at least `least` and whose quotient has no prime factor above 5.

    >>> smooth_length(1000, 16), smooth_length(1300), smooth_length(767)
    (1024, 1350, 768)
    """
    quotient = -(-least // multiple)
    while True:
        rest = quotient
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return quotient * multiple
        quotient += 1
