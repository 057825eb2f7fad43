"""For every argument of every public transform: another value, and what that must change.

`test_every_argument.py` reads the signatures and looks here for values. An argument that is new needs an entry: in
`VALUES` where one list of values serves every class that has it, or in `OF[cls].values` where a class needs its own.
"""

from __future__ import annotations

import math
from typing import Any

import torch

import audiofeed as af
from audiofeed.signal.framing import PLACEMENTS
from tests.signals import noise
from tests.transforms.contract import effects
from tests.transforms.contract.shared_alternatives import ALL_NORMS, IN_TIMES, VALUES, Base, To

__all__ = ["OF", "VALUES", "Base", "To"]


def _complex(*shape: int) -> torch.Tensor:
    return torch.complex(noise(*shape), noise(*shape, seed=1))


_T = torch.arange(6000, dtype=torch.float64) / 8000
NOISE = noise(1000).float()  # single precision: what the compiled kernels take
LONG_NOISE = noise(2000)
RISING = noise(3000) * torch.linspace(0.2, 1, 3000)
CHORD = torch.sin(2 * torch.pi * 446 * _T) + torch.sin(2 * torch.pi * 664 * _T) + 0.05 * noise(6000)
FEATURES = noise(6, 40, seed=1).float()
POWERS = noise(6, 50).square().float()
SPECTRUM = _complex(64, 30)

RATED = {"sample_rate": 8000, "n_fft": 64, "hop_length": 16}
MEL = {"sample_rate": 8000, "n_fft": 128, "n_mels": 10}
CEPSTRUM = {"sample_rate": 8000, "n_fft": 128}
LOG = {"sample_rate": 8000, "n_fft": 64, "f_min": 200.0, "n_bins": 12}
CQT = {"sample_rate": 8000, "f_min": 200.0, "n_bins": 20, "bins_per_octave": 5, "hop_length": 32}
CHROMA = {"sample_rate": 8000, "f_min": 110.0, "n_octaves": 3, "hop_length": 256}
PITCHES = {**CHROMA, "bins_per_octave": 24, "tuning": 0.0}
TEMPO = {"sample_rate": 8000, "hop_length": 64, "win_length": 12}
SLICES = {"sample_rate": 8000, "f_min": 500.0, "bins_per_octave": 4, "hop_length": 4}
ONSETS = {"sample_rate": 8000, "n_fft": 256, "hop_length": 64, "n_mels": 10}
ONSET = af.OnsetStrength(**ONSETS)
UNTUNED = {"tuning": 0.0}  # what trains needs a number, and not one estimated for each clip


def _cepstrum(n_of_features: str, n_of_filters: str, filters: str, **values: list[Any]) -> Base:
    settings = {**CEPSTRUM, n_of_features: 6, n_of_filters: 10}
    return Base(
        settings,
        NOISE,
        values={
            # linear filters up to half the rate are the same at any rate
            "sample_rate": [To(16000, also={"f_max": 4000.0})],
            "dct_type": [1, 3],
            "norm": [None],
            "lifter": [12],
            "log": [To(name, also={"top_db": None}) for name in ("ln", "log10", "log1p")],
            "floor": [100.0, To(None, given={"floor": 100.0, "offset": 1e-6})],
            "top_db": [3.0],
            "top": [To(3.0, given={"log": "ln", "top_db": None})],
            n_of_features: [7],
            n_of_filters: [12],
            filters: [True],
            **values,
        },
    )


def _inverse_rows(transform: Any) -> int:
    return transform.n_fft // 2 + 1


def _bins(transform: Any) -> int:
    return transform.n_bins


# so many bins that the octave below the highest reaches above a fifth of the rate
_INVERSE_CQT = {
    "compat": [To("librosa-0.11", given={"n_bins": 26})],
    "sample_rate": [9000],
    "hop_length": [24],
    "f_min": [190.0],
    "n_bins": [12],
    "bins_per_octave": [7],
    "tuning": [0.3],
    "filter_scale": [0.7],
    "norm": [2.0],
    "window": ["hamming"],
    "sparsity": [0.3],
    "scale": [False],
    "gamma": [20.0],
    "intervals": ["ji5"],
    # two ways that sum the same inverse, but for what `sparsity` leaves out
    "method": [To("conv", effect=effects.values)],
    "normalization": ["wrap"],
    "n_iter": [5],
}
_CQT = {
    "compat": [To("librosa-0.11", given={"f_min": 205.0, "n_bins": 21, "hop_length": 16})],
    "sample_rate": [9000],
    "hop_length": [33, 64],
    "f_min": [150.0, None],
    "n_bins": [15, None],
    "bins_per_octave": [7],
    "tuning": [0.4],
    "filter_scale": [0.6],
    "norm": ALL_NORMS,
    "window": ["hamming"],
    "sparsity": [0.0, 0.2],
    "power": [2.0],
}
_BOTH_METHODS = {
    **_CQT,
    "power": [2.0, None],
    # "conv" computes the definition at the full rate, "octaves" librosa's
    "method": [To("conv", effect=effects.values)],
    "normalization": ["convolutional", "wrap"],
}
_CHROMA_CQT = {
    "compat": [To("librosa-0.11", given={"f_min": 480.0, "bins_per_octave": 12})],
    "sample_rate": [9000],
    "hop_length": [200],
    "f_min": [120.0],
    "n_octaves": [2],
    "bins_per_octave": [12, None],
    "tuning": [0.4, None],
    "n_chroma": [6],
    "window": [(0.5, 1.0, 0.5)],
    "hybrid": [To(True, given={"hop_length": 512})],
    "norm": [1.0, None],
}
_SLICED = {
    "sample_rate": [9000],
    "f_min": [400.0, None],
    "f_max": [1500.0],
    "bins_per_octave": [5],
    "hop_length": [3],
    "slice_length": [To(2000, effect=effects.waits)],
    "transition": [To(200, given={"slice_length": 2000})],
}
_FILTERS = {"sample_rate": [16000], "n_filters": [6], "f_min": [200.0], "f_max": [3000.0]}
_ANY_LOG_SCALE = {
    "sample_rate": [9000],
    "freq_scale": ["linear"],
    "f_min": [100.0],
    "n_bins": [13, None],
    "bins_per_octave": [To(2, also={"freq_scale": "octave", "n_bins": None})],
}
_TEMPO = {
    "sample_rate": [10000],
    "n_fft": [512],
    "hop_length": [50],
    "win_length": [13],
    "onset": [ONSET],
}

OF: dict[type, Base] = {
    af.STFT: Base({"n_fft": 64}, NOISE, values={"sample_rate": IN_TIMES, "placement": list(PLACEMENTS[1:])}),
    af.Spectrogram: Base({"n_fft": 64}, NOISE, values={"sample_rate": IN_TIMES, "power": [1.0, 1.5, None]}),
    af.MelSpectrogram: Base(MEL, NOISE),
    af.LogMelSpectrogram: Base(
        MEL,
        NOISE,
        # decibels are of power, whatever the exponent of the magnitudes
        values={
            "top_db": [To(3.0, given={"log": "db"})],
            "top": [1.0],
            "power": [1.0, 1.5, To(1.5, given={"log": "db"})],
        },
    ),
    af.Gammatonegram: Base(
        {"sample_rate": 8000, "n_fft": 128, "n_bins": 10},
        NOISE,
        values={
            "n_bins": [12],
            "width": [1.5],
            "weighting": ["power"],
            "norm": ["slaney", "n_fft", 1.0, math.inf],
        },
    ),
    af.PCEN: Base(
        {"sample_rate": 8000},
        POWERS,
        values={
            "hop_length": [100],
            "gain": [0.5],
            "bias": [1.0, 0.0],
            "power": [0.25, 0.0],
            "time_constant": [0.1],
            "eps": [1.0],
            "b": [0.5],
            "max_size": [3, 2],
            "initial": [0.0, "first"],
            "n_bins": [To(6, given={"trainable": True}, effect=effects.trains_more)],
        },
    ),
    af.SincFilterbank: Base(
        {"sample_rate": 8000, "n_filters": 5, "win_length": 31, "hop_length": 10},
        NOISE,
        more=({"trainable": False},),
        values={
            **_FILTERS,
            "win_length": [33],
            "hop_length": [5],
            "min_low_hz": [200.0],
            "min_band_hz": [200.0],
            "norm": [None],
        },
    ),
    af.GaborFilterbank: Base(
        {"sample_rate": 8000, "n_filters": 5, "win_length": 41, "hop_length": 20},
        NOISE,
        more=({"trainable": False},),
        values={
            **_FILTERS,
            "win_length": [43],
            "hop_length": [10],
            "pool_width": [0.2],
            "compression": ["log", None],
            "floor": [To(5.0, given={"compression": None})],
        },
    ),
    af.AmplitudeToDB: Base(
        {},
        POWERS,
        values={"stype": ["magnitude"], "ref": [2.0, "max"], "amin": [1.0], "top_db": [3.0]},
    ),
    af.LogCompression: Base(
        {},
        POWERS,
        values={"top_db": [To(3.0, given={"log": "db"})], "top": [1.0], "power": [To(1.0, given={"log": "db"})]},
    ),
    af.MFCC: _cepstrum("n_mfcc", "n_mels", "trainable_mel", mel_norm=[None, 1.0]),
    af.LFCC: _cepstrum("n_lfcc", "n_filter", "trainable_filters"),
    af.BFCC: _cepstrum("n_bfcc", "n_barks", "trainable_filters", bark_scale=["schroeder", "wang"]),
    af.Deltas: Base(
        {},
        FEATURES,
        more=({"order": 2},),
        values={"win_length": [5], "order": [2, 3], "mode": ["nearest", "mirror", "constant", "wrap"]},
    ),
    af.CMVN: Base(
        {},
        FEATURES,
        values={
            "window": [To(9, also={"min_window": 5})],
            "center": [To(True, given={"window": 9})],
            "norm_vars": [False, To(False, given={"window": 9})],
            "min_window": [To(5, given={"window": 9})],
            "floor": [100.0],
        },
    ),
    af.InverseMFCC: Base(
        {"n_mels": 8},
        FEATURES,
        values={
            "n_mels": [20],
            "dct_type": [1, 3],
            "log": ["ln", "log10", "log1p"],
            "norm": [None],
            "lifter": [9],
            "ref": [2.0],
        },
    ),
    af.InverseSTFT: Base({"n_fft": 64}, SPECTRUM, _inverse_rows, values={"hop_length": [12]}),
    af.GriffinLim: Base(
        {"n_fft": 64, "n_iter": 3},
        SPECTRUM.abs(),
        _inverse_rows,
        values={
            "n_iter": [4],
            "hop_length": [12],
            "momentum": [0.5],
            "power": [2.0],
            "seed": [1],
            "progress": [To(lambda base: effects.Told(), effect=effects.is_called)],
        },
    ),
    af.InverseMel: Base(
        {"sample_rate": 8000, "n_fft": 256, "n_mels": 12},
        SPECTRUM.abs(),
        lambda transform: transform.n_mels,
        values={"n_mels": [7], "solver": ["lstsq"]},
    ),
    af.TimeStretch: Base({"rate": 0.8}, SPECTRUM, values={"rate": [0.9], "compat": ["librosa-0.11"]}),
    af.LogFrequencySTFT: Base(LOG, NOISE, values=_ANY_LOG_SCALE),
    af.LogFrequencySpectrogram: Base(LOG, NOISE, values={**_ANY_LOG_SCALE, "power": [1.0, 1.5, None]}),
    af.ReassignedSpectrogram: Base(
        {"sample_rate": 8000, "n_fft": 64, "ref_power": 1.0},
        NOISE,
        values={"sample_rate": IN_TIMES, "ref_power": [0.0]},
    ),
    af.CFP: Base(
        {"sample_rate": 8000, "n_fft": 400, "win_length": 129, "hop_length": 100, "f_min": 100.0},
        NOISE,
        values={
            "sample_rate": [9000],
            "n_fft": [401, None],
            "hop_length": [90, None],
            "win_length": [128],
            "window_at": ["left"],
            "window": ["hann"],
            "f_min": [120.0],
            "f_max": [900.0],
            "bins_per_octave": [24],
            "gammas": [(0.24, 0.6), (0.24, 0.0, 1.0), (0.3, 0.6, 1.0)],
            "output": ["spectrum", "frequency", "periodicity"],
        },
    ),
    af.SpectralCentroid: Base(RATED, RISING, values={"sample_rate": [10000]}),
    af.SpectralBandwidth: Base(RATED, RISING, values={"sample_rate": [10000], "p": [3.0], "norm": [False]}),
    af.SpectralRolloff: Base(
        # steps of a bin: a window must be short for its last sample to count
        {**RATED, "win_length": 6},
        RISING,
        values={"sample_rate": [10000], "win_length": [32], "roll_percent": [0.5], "placement": ["start", "hops"]},
    ),
    af.SpectralFlatness: Base({"n_fft": 64, "hop_length": 16}, RISING, values={"sample_rate": IN_TIMES, "amin": [1.0]}),
    af.PolyFeatures: Base(RATED, RISING, values={"sample_rate": [10000], "order": [2]}),
    af.SpectralContrast: Base(
        {**RATED, "n_bands": 3, "f_min": 400.0},
        RISING,
        values={"sample_rate": [10000], "f_min": [600.0], "n_bands": [2], "quantile": [0.5]},
    ),
    af.RMS: Base({"frame_length": 64}, RISING, values={"sample_rate": IN_TIMES}),
    af.ZeroCrossingRate: Base(
        {"frame_length": 64},
        RISING,
        values={"sample_rate": IN_TIMES, "threshold": [0.2], "zero_pos": [To(False, given={"threshold": 0.2})]},
    ),
    af.Chroma: Base(
        RATED,
        RISING,
        more=(UNTUNED,),
        values={
            "sample_rate": [10000],
            "n_chroma": [24],
            "tuning": [0.3, To(0.2, given={"tuning": 0.1})],
            "ctroct": [4.0],
            "octwidth": [1.0, None],
            "trainable_chroma": [To(True, given=UNTUNED)],
        },
    ),
    af.Tonnetz: Base(
        RATED,
        RISING,
        values={
            "sample_rate": [10000],
            "tuning": [0.3],
            "chroma": [
                To("cqt", given={"sample_rate": 16000, "n_fft": 2048, "hop_length": 512}),
                To(af.Chroma(**RATED, tuning=0.4), given={"n_fft": 2048, "hop_length": None}),
            ],
        },
    ),
    af.OnsetStrength: Base(
        ONSETS,
        RISING,
        values={
            "sample_rate": [10000],
            "n_fft": [255],
            "hop_length": [50],
            "win_length": [100],
            # gains of decibels, from which a factor of a band falls out unless the band leaves the range of 80 dB
            "norm": [To(None, effect=effects.values_of_a_clip_that_fades_in)],
            "log": [To(name, also={"top_db": None}) for name in ("ln", "log10", "log1p")],
            "top_db": [3.0],
            "top": [To(1.0, given={"log": "ln", "top_db": None})],
            "lag": [2],
            "max_size": [3],
            "aggregate": ["median"],
        },
    ),
    af.Tempogram: Base(TEMPO, RISING, values=_TEMPO),
    af.FourierTempogram: Base(TEMPO, RISING, values=_TEMPO),
    af.HybridTempogram: Base(TEMPO, RISING, values=_TEMPO),
    af.Metrogram: Base(
        TEMPO,
        RISING,
        values={
            **_TEMPO,
            "factors": [(1 / 3, 1 / 2), (2, 3, 1)],
            "aggregate": ["mean", "max", None],
            "tempogram": [
                "fourier",
                "autocorrelation",
                To(af.Tempogram(**{**TEMPO, "win_length": 15}), given={"hop_length": 512, "win_length": 384}),
            ],
        },
    ),
    af.CQT: Base(CQT, LONG_NOISE, values=_BOTH_METHODS),
    af.VQT: Base(
        CQT,
        LONG_NOISE,
        values={
            **_BOTH_METHODS,
            "gamma": [0.0, 50.0],
            "intervals": ["ji5", To((1, 1.5), also={"n_bins": 6})],
        },
    ),
    # a hybrid needs short wavelets to have both of its parts
    af.HybridCQT: Base({**CQT, "hop_length": 128}, LONG_NOISE, values=_CQT),
    af.PseudoCQT: Base(CQT, LONG_NOISE, values=_CQT),
    af.HarmonicCQT: Base(
        {"sample_rate": 8000, "harmonics": (1, 2, 3), "f_min": 200.0, "n_bins": 12, "bins_per_octave": 5},
        CHORD,
        values={
            "sample_rate": [9000],
            "harmonics": [(1, 3, 2)],
            "hop_length": [33],
            "f_min": [150.0, None],
            "compat": [To("librosa-0.11", given={"f_min": 205.0, "n_bins": 13})],
            "n_bins": [10, None],
            "bins_per_octave": [7],
            "above_nyquist": [To("zeros", given={"harmonics": (1, 50)}, effect=effects.lifts("at harmonic 50"))],
            "tuning": [0.4, None],
            "filter_scale": [0.6],
            "norm": [2.0],
            "window": ["hamming"],
            "sparsity": [0.2],
            "power": [2.0, None],
            "method": [To("conv", effect=effects.values)],
            "normalization": ["wrap"],
        },
    ),
    af.InverseCQT: Base(
        {"sample_rate": 8000, "hop_length": 16, "f_min": 200.0, "n_bins": 18, "bins_per_octave": 6},
        SPECTRUM,
        _bins,
        values=_INVERSE_CQT,
    ),
    af.InvertibleCQT: Base(SLICES, noise(3000), values={**_SLICED, "power": [1.0, 2.0, 0.7]}),
    af.InvertibleCQTInverse: Base(SLICES, _complex(64, 750), _bins, values=_SLICED),
    af.ChromaCQT: Base(
        PITCHES,
        CHORD,
        values={
            **_CHROMA_CQT,
            # a class has no value below 0 for the threshold to take away, unless a window makes one
            "threshold": [To(0.5, given={"norm": None}), To(None, given={"window": (1.0, -2.0)})],
        },
    ),
    af.ChromaVQT: Base(
        {**CHROMA, "intervals": "equal"},
        CHORD,
        values={
            "sample_rate": [9000],
            "intervals": ["ji5", (1.0, 1.25, 1.5)],
            "hop_length": [255],
            "f_min": [120.0],
            "n_octaves": [2],
            "compat": _CHROMA_CQT["compat"],
            "bins_per_octave": [6],
            "gamma": [30.0, None],
            "threshold": [To(0.5, given={"norm": None})],
        },
    ),
    af.ChromaCENS: Base(
        PITCHES,
        CHORD,
        values={**_CHROMA_CQT, "win_len_smooth": [11, None], "smoothing_window": ["boxcar"]},
    ),
}
