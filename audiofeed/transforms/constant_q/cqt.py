"""The constant-Q and the variable-Q transform."""

from __future__ import annotations

from typing_extensions import Unpack

from audiofeed.arguments.setting_groups import pick
from audiofeed.arguments.signature import takes
from audiofeed.transforms.constant_q.constant_q_transform import ConstantQTransform
from audiofeed.transforms.constant_q.kernel_bank import KernelBank
from audiofeed.transforms.constant_q.settings import ConstantQ, CQTOptions, Kernels, VariableQ, VQTOptions


class CQT(ConstantQTransform):
    """Constant-Q transform (CQT) as a module, equal to `librosa.cqt`.

    Bin k has the frequency f_min * 2^(k / bins_per_octave) and a bandwidth in proportion; frame f is centered on sample
    f * hop_length. Three methods compute two definitions:

    - "octaves" is librosa's (Schörkhuber and Klapuri 2010): the rate is halved from octave to octave as long as the hop
      is even, by soxr's filter, and every octave has kernels of its own rate, cut to positive frequencies and
      sparsified.
    - "conv" is the plain definition at the full rate: every frame times every wavelet as it is (`sparsity` does
      nothing). The two differ by what the filters between the octaves and the sparsity leave out, and by the lengths
      of the wavelets, which each rate rounds: on noise 1 to 6 %.
    - "exact" is the plain definition to 1e-5 (on noise 3e-6) at about the cost of "octaves": an octave is taken at the
      lowest rate that holds its wavelets whole. For who wants to be nearer to the definition than librosa.

    Args:
        sample_rate: Hz.

    Returns:
        (..., n_bins, frames), from a waveform (..., time) and lengths (batch,); complex for `power=None`.

    Raises:
        ValueError: for bins that reach above half the sample rate, with the number of bins that do not.

    Differs from librosa: magnitudes unless `power=None`; clips shorter than a factor of early downsampling work;
    `pad_mode` has torch's names; wavelets are exact in float64 (there float32); a batch given to librosa as one array
    has one tuning for all. Where all wavelets are so low that the rate is divided by 4 or more before the first octave,
    librosa's resampler drops what its stages compute of the time before a clip, and a clip that starts loud comes out
    otherwise there: 0.4 % of all values, and up to 5 % of a bin that sees little but the start. Here nothing is
    dropped.

    float64 agrees with librosa to 3e-7 to 1.5e-6, not to its last digits: librosa has float32 wavelets and rates.

    >>> import torch
    >>> transform = CQT(sample_rate=22050)
    >>> transform(torch.zeros(2, 22050)).shape
    torch.Size([2, 84, 44])
    >>> transform.frame_lengths(torch.tensor([22050, 1])).tolist()
    [44, 1]
    """

    @takes(ConstantQ, Kernels)
    def __init__(self, *, sample_rate: float, **settings: Unpack[CQTOptions]) -> None:
        wavelets = pick(ConstantQ, settings, sample_rate=sample_rate)
        kernels = pick(Kernels, settings, wavelets=wavelets)
        super().__init__(wavelets, kernels)
        self.kernel_bank = KernelBank(self, kernels, *kernels.plan())


class VQT(ConstantQTransform):
    """Variable-Q transform (VQT) as a module: `CQT` with more bandwidth at low frequencies, equal to `librosa.vqt`.

    Args:
        sample_rate: Hz.

    Returns:
        (..., n_bins, frames), from a waveform (..., time) and lengths (batch,); complex for `power=None`.

    Raises:
        ValueError: for bins that reach above half the sample rate, with the number of bins that do not.

    Follows Schörkhuber, Klapuri, Holighaus and Dörfler (2014); differs from librosa as `CQT` does.

    >>> import torch
    >>> VQT(sample_rate=22050, intervals="ji5", n_bins=60)(torch.zeros(22050)).shape
    torch.Size([60, 44])
    """

    @takes(VariableQ, Kernels)
    def __init__(self, *, sample_rate: float, **settings: Unpack[VQTOptions]) -> None:
        wavelets = pick(VariableQ, settings, sample_rate=sample_rate)
        kernels = pick(Kernels, settings, wavelets=wavelets)
        super().__init__(wavelets, kernels)
        self.kernel_bank = KernelBank(self, kernels, *kernels.plan())
