"""Where the frames of a short-time transform lie, and what is done to each before its window, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PLACEMENTS = ("center", "start", "hops", "but_last_sample", "vocoder", "snip_edges", "keep_edges")
WINDOW_PLACES = ("center", "left")
# frames of these begin at the clip's own first sample, and nothing but zeros fills up a clip that is too short
INSIDE = ("start", "snip_edges")
# whose frames are counted and centered by the window, as in Kaldi, not by the points of the FFT
BY_WINDOW = ("snip_edges", "keep_edges")
# frame f is centered on sample f * hop
CENTERED = ("center", "hops", "but_last_sample")


def window_offset(n_fft: int, win_length: int, window_at: str) -> int:
    """Return the first sample of the window within a frame of a short-time transform, in the middle or at the left.

    >>> window_offset(512, 400, "center"), window_offset(512, 400, "left")
    (56, 0)
    """
    return (n_fft - win_length) // 2 if window_at == "center" else 0


@dataclass(frozen=True, kw_only=True)
class Positions:
    """Positions of the frames of a short-time transform: frame f begins `margin` samples before f * hop.

    Args:
        margin: samples of frame 0 that lie before the clip.
        reach: samples of a frame that may lie past the clip's end.
        extra, more: of the number of frames, (samples looked at + extra) // hop + more, but 1 at least.
        first_center: the sample on which frame 0 is centered.
        left_out: samples at the end of a clip that are not looked at, unless it has no other.
    """

    margin: int
    reach: int
    extra: int
    more: int
    first_center: float
    left_out: int = 0


def positions(
    placement: str, *, n_fft: int, hop_length: int, win_length: int | None = None, window_at: str = "center"
) -> Positions:
    """Return where the frames of a short-time transform lie by one of the `PLACEMENTS`.

    Args:
        placement: "center" (frame f around sample f * hop), "hops" (the same, n // hop frames),
            "but_last_sample" (those of "center" of the clip without its last sample), "start" (frame f from sample
            f * hop on), "vocoder" ((n_fft - hop) / 2 samples before and after the clip), or Kaldi's: "snip_edges"
            (whole windows inside the clip), "keep_edges" (window f around sample (f + 1/2) * hop).
        n_fft: samples of a frame.
        hop_length: samples from frame to frame.
        win_length: samples of the window; None: n_fft.
        window_at: where it stands in a frame, "center" or "left".

    >>> positions("hops", n_fft=400, hop_length=160).extra, positions("vocoder", n_fft=1024, hop_length=256).margin
    (0, 384)
    """
    win = n_fft if win_length is None else win_length
    offset, half = window_offset(n_fft, win, window_at), hop_length // 2
    # the middle of the frame, or of a window at its left
    middle = n_fft / 2 if window_at == "center" else win / 2
    if placement == "start":
        return Positions(margin=0, reach=0, extra=-n_fft, more=1, first_center=middle)
    if placement == "snip_edges":
        return Positions(margin=offset, reach=n_fft - win - offset, extra=-win, more=1, first_center=win / 2)
    if placement == "keep_edges":
        margin = offset + win // 2 - half
        # a clip shorter than half a hop has a frame all the same
        reach = n_fft - offset - win // 2 + max(0, half - 1)
        return Positions(margin=margin, reach=reach, extra=half, more=0, first_center=half - win // 2 + win / 2)
    if placement == "vocoder":
        margin = (n_fft - hop_length) // 2
        extra, more, first = 2 * margin - n_fft, 1, middle - margin
        return Positions(margin=margin, reach=n_fft - margin - 1, extra=extra, more=more, first_center=first)
    margin, first = n_fft // 2, middle - n_fft / 2
    if placement == "hops":
        return Positions(margin=margin, reach=n_fft - margin - 1, extra=0, more=0, first_center=first)
    out = int(placement == "but_last_sample")
    extra = 2 * margin - n_fft
    return Positions(margin=margin, reach=margin, extra=extra, more=1, first_center=first, left_out=out)


def mirrored(positions: np.ndarray, length: int, pad_mode: str) -> np.ndarray:
    """Return the index of the sample that stands at each position beyond the ends of a clip that is cut into frames.

    The modes are those of `numpy.pad`: "reflect" and "symmetric" (without and with the sample at the end), "replicate"
    ("edge") and "circular" ("wrap").

    >>> mirrored(np.array([-2, -1, 3, 4]), 3, "symmetric").tolist()
    [1, 0, 2, 1]
    """
    if pad_mode == "replicate":
        return np.clip(positions, 0, length - 1)
    if pad_mode == "circular":
        return positions % length
    period = 2 * length if pad_mode == "symmetric" else max(1, 2 * (length - 1))
    folded = positions % period
    return np.where(folded < length, folded, period - folded - (pad_mode == "symmetric"))


def framed(
    waveform: np.ndarray,
    *,
    n_fft: int,
    hop_length: int,
    placement: str = "center",
    pad_mode: str = "constant",
    win_length: int | None = None,
    window_at: str = "center",
    remove_dc: bool = False,
    preemphasis: float = 0.0,
) -> np.ndarray:
    """Return all frames of one clip as a short-time transform cuts them, before their window, in float64.

    Args:
        waveform: (time,) one clip.
        n_fft, hop_length, placement, win_length, window_at: as in `positions`.
        pad_mode: what stands beyond the ends: "constant" (zeros), or as in `mirrored`.
        remove_dc: each frame less its mean under the window.
        preemphasis: each sample less so many times the one before it in its window, the first less so many times
            itself, as in Kaldi.

    Returns:
        float64 array of shape (frames, n_fft).

    >>> framed(np.arange(1.0, 6.0), n_fft=2, hop_length=2, placement="hops", pad_mode="reflect").tolist()
    [[2.0, 1.0], [2.0, 3.0]]
    """
    found = positions(placement, n_fft=n_fft, hop_length=hop_length, win_length=win_length, window_at=window_at)
    length = max(1, waveform.shape[0] - found.left_out)
    count = max(1, (length + found.extra) // hop_length + found.more)
    index = np.arange(count)[:, None] * hop_length + np.arange(n_fft) - found.margin
    if pad_mode == "constant" or placement in INSIDE:
        inside = (index >= 0) & (index < length)
        frames = np.where(inside, waveform[np.clip(index, 0, length - 1)], 0.0)
    else:
        frames = waveform[mirrored(index, length, pad_mode)]
    win = n_fft if win_length is None else win_length
    return frames @ shaping(n_fft, win, window_at, remove_dc=remove_dc, preemphasis=preemphasis).T


def shaping(n_fft: int, win_length: int, window_at: str, *, remove_dc: bool, preemphasis: float) -> np.ndarray:
    """Return what DC removal and pre-emphasis do to a frame of a short-time transform, as a float64 matrix.

    Samples that no window reaches become 0, unless neither is asked for.

    Shape: (n_fft, n_fft), from a frame to a frame.

    >>> shaping(3, 2, "left", remove_dc=False, preemphasis=0.5).tolist()
    [[0.5, 0.0, 0.0], [-0.5, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    if not (remove_dc or preemphasis):
        return np.eye(n_fft)
    start = window_offset(n_fft, win_length, window_at)
    under = slice(start, start + win_length)
    matrix = np.zeros((n_fft, n_fft))
    matrix[under, under] = np.eye(win_length)
    if remove_dc:
        matrix[under, under] -= 1.0 / win_length
    if preemphasis:
        before = np.concatenate([matrix[start : start + 1], matrix[start : start + win_length - 1]])
        matrix[under] = matrix[under] - preemphasis * before
    return matrix


def shaped_basis(
    basis: np.ndarray, win_length: int, window_at: str, *, remove_dc: bool, preemphasis: float
) -> np.ndarray:
    """Return a short-time transform's basis that does to plain frames what it would to those `shaping` has changed.

    Both steps are linear in the frame, so that their transpose is applied to the basis once.

    Shape: (n, n_fft) -> the same, float64.

    >>> shaped_basis(np.array([[1.0, 2.0]]), 2, "left", remove_dc=False, preemphasis=0.5).tolist()
    [[-0.5, 2.0]]
    """
    n_fft = basis.shape[-1]
    start = window_offset(n_fft, win_length, window_at)
    found = np.array(basis, dtype=np.float64)
    under = found[:, start : start + win_length]  # a view
    if preemphasis:
        first = under[:, 0].copy()
        under[:, :-1] -= preemphasis * under[:, 1:]
        under[:, 0] -= preemphasis * first
    if remove_dc:
        under -= under.mean(axis=-1, keepdims=True)
    return found
