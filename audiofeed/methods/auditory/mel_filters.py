"""Mel filters of each clip in a batch with limits of its own, as tensors on any device."""

from __future__ import annotations

import math

import torch

from audiofeed.signal.scales import fft_frequencies, hz_to_mel

_LINEAR_HZ_PER_MEL = 200.0 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0


def mel_filters(
    f_min: torch.Tensor,
    f_max: torch.Tensor,
    *,
    sample_rate: float,
    n_fft: int,
    n_mels: int,
    mel_scale: str,
    norm: str | float | None,
) -> torch.Tensor:
    """Compute mel filters for each clip of a batch, of limits that are tensors, in float64.

    Those of `audiofeed.signal.mel_filterbank`, of which no weight differs by more than 1e-12 of the largest.

    Args:
        f_min, f_max: (batch,) Hz, float64.
        sample_rate, n_fft, n_mels, mel_scale, norm: as in `audiofeed.signal.mel_filterbank`.

    Returns:
        float64 (batch, n_mels, n_fft // 2 + 1).

    >>> limits = torch.tensor([0.0, 20.0]).double(), torch.tensor([8000.0, 7600.0]).double()
    >>> settings = {"sample_rate": 16000, "n_fft": 400, "n_mels": 80, "mel_scale": "slaney", "norm": "slaney"}
    >>> mel_filters(*limits, **settings).shape
    torch.Size([2, 80, 201])
    """
    kaldi = mel_scale == "kaldi"
    ends = _to_mel(torch.stack([f_min, f_max]).double(), mel_scale)
    steps = torch.arange(n_mels + 2, dtype=torch.float64, device=ends.device)
    points = ends[0][:, None] + steps * ((ends[1] - ends[0]) / (n_mels + 1))[:, None]
    points = torch.cat([points[:, :-1], ends[1][:, None]], 1)  # the last as it is
    bins = fft_frequencies(sample_rate, n_fft)
    if kaldi:
        bins = hz_to_mel(bins, mel_scale=mel_scale)
    else:
        points = _to_hz(points, mel_scale)
    place = torch.from_numpy(bins).to(points.device).expand(points.shape[0], -1).contiguous()
    # a bin lies between two points: on the rising side of one filter, and on the falling side of the one before
    above = torch.searchsorted(points, place)
    inside = (above > 0) & (above < n_mels + 2)
    if kaldi:
        inside[:, n_fft // 2 :] = False
    upper = above.clamp(1, n_mels + 1)
    low, high = points.gather(1, upper - 1), points.gather(1, upper)
    width = high - low
    rise = torch.where(inside & (upper <= n_mels), (place - low) / width, 0)
    fall = torch.where(inside & (upper >= 2), (high - place) / width, 0)
    weights = points.new_zeros(points.shape[0], n_mels, place.shape[1])
    weights = weights.scatter(1, (upper - 1).clamp_max(n_mels - 1)[:, None], rise[:, None])
    weights = weights.scatter_add(1, (upper - 2).clamp_min(0)[:, None], fall[:, None])
    return _normed(weights, points, norm)


def _normed(weights: torch.Tensor, points: torch.Tensor, norm: str | float | None) -> torch.Tensor:
    """Scale the mel filters of a batch, tensors of peak 1, as the norm asks."""
    if norm is None:
        return weights
    if norm == "slaney":
        return weights * (2.0 / (points[:, 2:] - points[:, :-2]))[..., None]
    power = float(norm)
    if math.isinf(power):
        size = weights.amax(-1, keepdim=True)
    else:
        size = (weights**power).sum(-1, keepdim=True) ** (1.0 / power)
    # a filter between two bins is all zero and stays so
    return weights / torch.where(size < torch.finfo(torch.float64).tiny, 1.0, size)


def _to_mel(hz: torch.Tensor, mel_scale: str) -> torch.Tensor:
    """Convert a tensor of Hz to mel as `audiofeed.signal.hz_to_mel` does."""
    if mel_scale == "htk":
        return 2595.0 * torch.log10(1.0 + hz / 700.0)
    if mel_scale == "kaldi":
        return 1127.0 * torch.log1p(hz / 700.0)
    logarithmic = _BREAK_MEL + torch.log(hz.clamp_min(_BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return torch.where(hz >= _BREAK_HZ, logarithmic, hz / _LINEAR_HZ_PER_MEL)


def _to_hz(mel: torch.Tensor, mel_scale: str) -> torch.Tensor:
    """Convert a tensor of mel to Hz as `audiofeed.signal.mel_to_hz` does."""
    if mel_scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    logarithmic = _BREAK_HZ * torch.exp(_LOG_STEP * (mel.clamp_min(_BREAK_MEL) - _BREAK_MEL))
    return torch.where(mel >= _BREAK_MEL, logarithmic, mel * _LINEAR_HZ_PER_MEL)
