"""Kaldi's filter banks and cepstra."""

from __future__ import annotations

import numpy as np
from torch import nn
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_count, check_not_negative
from audiofeed.arguments.setting_groups import pick
from audiofeed.arguments.signature import function_takes
from audiofeed.presets.speech.kaldi_settings import Kaldi, KaldiOptions
from audiofeed.signal.cepstral.cepstrum import cepstral_matrix
from audiofeed.transforms.cepstral.project_bins import ProjectBins
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.compose.concat import Concat
from audiofeed.transforms.normalization.clips import NormalizeClips
from audiofeed.transforms.normalization.rescale import Rescale


@function_takes(Kaldi)
def kaldi_fbank(*, use_log_fbank: bool = True, use_power: bool = True, **settings: Unpack[KaldiOptions]) -> Chain:
    """Return Kaldi's filter banks (compute-fbank-feats), the features of most speech recognizers, as a module.

    The references are Kaldi's `feature-fbank.cc`, `kaldi_native_fbank.OnlineFbank` and
    `torchaudio.compliance.kaldi.fbank`, whose argument names these are (`sample_frequency` is `sample_rate`).

    1. Frames of 25 ms, 10 ms apart: those that lie inside the clip.
    2. Each frame less its mean; pre-emphasis within the frame, x[i] - 0.97 x[i - 1], the first sample times 1 - 0.97;
       the window.
    3. |FFT|^2, zeros behind the frame up to a power of two.
    4. Triangles straight in mel, 1127 ln(1 + f / 700), from 20 Hz to half the rate; ln(max(., 2^-23)).

    Samples of full scale 1, as audiofeed has them, stand for 16-bit integers: what 2^15 does to a power is added to its
    logarithm, 30 ln 2, so that no sample is multiplied.

    With `use_energy` the logarithm of the frame's energy stands above the filter banks, or below with `htk_compat`.

    Past a clip's end: 0. A clip shorter than a frame has one, filled up with zeros.

    Args:
        use_log_fbank: logarithms; False: the filter banks themselves.
        use_power: of the squared magnitude; False: of the magnitude.

    Returns:
        The module: (..., num_mel_bins, frames), with the energy one bin more, from a waveform (..., time) and lengths
        (batch,).

    Raises:
        ValueError: for a setting outside its range.
        TypeError: for a setting of another name.

    Differs from the reference: bins come before frames. `dither` is noise, which a pure function of the waveform has
    not; `GPUSpecCollate(kaldi_fbank(), augment=af.Dither())` draws it from each example's seed. `channel` is chosen,
    and `min_duration` kept, by the dataset. A clip that is shorter than a frame has no frame there.

    >>> import torch
    >>> kaldi_fbank(num_mel_bins=80)(torch.zeros(2, 16000)).shape
    torch.Size([2, 80, 98])
    """
    kaldi, power = pick(Kaldi, settings), 2.0 if use_power else 1.0
    if use_log_fbank:
        banks = Chain(kaldi.log_mel(power=power), Rescale(add=kaldi.log_of_scale(power)))
    else:
        banks = Chain(kaldi.mel(power=power), Rescale(divide=kaldi.full_scale**-power))
    members: list[nn.Module] = list(banks)
    if kaldi.use_energy:
        members = [_with_energy(kaldi, banks)]
    return Chain(*members, *_less_mean(kaldi))


@function_takes(Kaldi)
def kaldi_mfcc(*, num_ceps: int = 13, cepstral_lifter: float = 22.0, **settings: Unpack[KaldiOptions]) -> Chain:
    """Return Kaldi's mel-frequency cepstral coefficients (compute-mfcc-feats) as a module.

    The references are Kaldi's `feature-mfcc.cc`, `kaldi_native_fbank.OnlineMfcc` and
    `torchaudio.compliance.kaldi.mfcc`, whose argument names these are (`sample_frequency` is `sample_rate`).

    1. The logarithms of the filter banks, as `kaldi_fbank` has them.
    2. Their orthonormal cosine transform (type 2), of which `num_ceps` coefficients are left.
    3. Coefficient k times 1 + L / 2 sin(pi k / L), L the lifter.

    With `use_energy`, Kaldi's own default but not torchaudio's, the logarithm of the frame's energy takes the place of
    coefficient 0. With `htk_compat` that comes last, coefficient 0 times the root of 2.

    Past a clip's end: 0. A clip shorter than a frame has one, filled up with zeros.

    Args:
        num_ceps: coefficients with the first, 1 to num_mel_bins.
        cepstral_lifter: L, >= 0; 0.0: coefficients are not weighted.

    Returns:
        The module: (..., num_ceps, frames) from a waveform (..., time) and lengths (batch,).

    Raises:
        ValueError: for a setting outside its range.
        TypeError: for a setting of another name.

    Differs from the reference as `kaldi_fbank` does.

    >>> import torch
    >>> kaldi_mfcc()(torch.zeros(2, 16000)).shape
    torch.Size([2, 13, 98])
    """
    kaldi, n = pick(Kaldi, settings), check_count("num_ceps", num_ceps, "an integer number of coefficients, 1 or more")
    lifter, bands = check_not_negative("cepstral_lifter", cepstral_lifter, "0.0 does not lifter"), kaldi.num_mel_bins
    if n > bands:
        raise ValueError(f"num_ceps={n} must not exceed num_mel_bins={bands}: a transform has as many coefficients")
    cosines = cepstral_matrix(n, bands, dct_type=2, norm="ortho", lifter=0.0)
    if lifter:
        cosines = cosines * (1.0 + lifter / 2 * np.sin(np.pi * np.arange(n) / lifter))[:, None]
    banks = Chain(kaldi.log_mel(), Rescale(add=kaldi.log_of_scale()))
    members: list[nn.Module] = list(banks)
    if kaldi.use_energy:
        members = [_with_energy(kaldi, banks)]
        energy = np.zeros((n, 1))
        cosines = np.hstack([cosines, energy]) if kaldi.htk_compat else np.hstack([energy, cosines])
        cosines[0] = 0.0
        cosines[0, -1 if kaldi.htk_compat else 0] = 1.0
    elif kaldi.htk_compat:
        cosines[0] *= np.sqrt(2.0)
    if kaldi.htk_compat:
        cosines = np.roll(cosines, -1, axis=0)
    return Chain(*members, ProjectBins(cosines), *_less_mean(kaldi))


def _with_energy(kaldi: Kaldi, banks: Chain) -> Concat:
    energy = Chain(kaldi.log_energy(), Rescale(add=kaldi.log_of_scale()))
    return Concat(banks=banks, energy=energy) if kaldi.htk_compat else Concat(energy=energy, banks=banks)


def _less_mean(kaldi: Kaldi) -> list[nn.Module]:
    return [NormalizeClips(norm_vars=False)] if kaldi.subtract_mean else []
