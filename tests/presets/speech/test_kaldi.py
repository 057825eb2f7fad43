"""Kaldi's filter banks and cepstra against torchaudio's and kaldi-native-fbank's."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

import audiofeed as af
from tests.presets import comparison
from tests.presets.comparison import Case
from tests.presets.speech.kaldi_formulas import fbank, mfcc

kaldi = pytest.importorskip("torchaudio.compliance.kaldi", exc_type=ImportError)


def torchaudio_of(function: Any, options: dict[str, Any]):
    given = {name: value for name, value in options.items() if name not in ("sample_rate", "full_scale", "mel_floor")}

    def features(x: np.ndarray) -> np.ndarray:
        scaled = torch.from_numpy(x)[None] * options.get("full_scale", 32768.0)
        return function(scaled, sample_frequency=options.get("sample_rate", 16000), **given).T.numpy()

    return features


def native(online: str, options: dict[str, Any]):
    """Features by kaldi-native-fbank with torchaudio's names of options."""
    knf = pytest.importorskip("kaldi_native_fbank")
    settings = knf.MfccOptions() if online == "OnlineMfcc" else knf.FbankOptions()
    settings.frame_opts.dither, settings.use_energy = 0.0, False
    settings.energy_floor = 1.0
    names = {
        "num_mel_bins": ("mel_opts", "num_bins"), "low_freq": ("mel_opts", "low_freq"),
        "high_freq": ("mel_opts", "high_freq"), "frame_length": ("frame_opts", "frame_length_ms"),
        "frame_shift": ("frame_opts", "frame_shift_ms"), "window_type": ("frame_opts", "window_type"),
        "blackman_coeff": ("frame_opts", "blackman_coeff"), "snip_edges": ("frame_opts", "snip_edges"),
        "preemphasis_coefficient": ("frame_opts", "preemph_coeff"),
        "remove_dc_offset": ("frame_opts", "remove_dc_offset"), "sample_rate": ("frame_opts", "samp_freq"),
        "round_to_power_of_two": ("frame_opts", "round_to_power_of_two"),
    }  # fmt: skip
    for name, value in options.items():
        group, called = names.get(name, (None, name))
        setattr(settings if group is None else getattr(settings, group), called, value)

    def features(x: np.ndarray) -> np.ndarray:
        stream = getattr(knf, online)(settings)
        stream.accept_waveform(options.get("sample_rate", 16000), (x * np.float32(32768.0)).tolist())
        stream.input_finished()
        return np.stack([stream.get_frame(f) for f in range(stream.num_frames_ready)]).T

    return features


def counted(options: dict[str, Any]):
    rate = options.get("sample_rate", 16000)
    size, hop = (
        int(rate * options.get(name, default) / 1000) for name, default in (("frame_length", 25), ("frame_shift", 10))
    )

    def count(n: int) -> int:
        if options.get("snip_edges", True):
            return max(1, 1 + (n - size) // hop)
        return max(1, (n + hop // 2) // hop)

    return count


BANKS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "80": {"num_mel_bins": 80},
    "edges": {"num_mel_bins": 40, "snip_edges": False, "window_type": "hamming"},
    "sizes": {"sample_rate": 8000, "frame_length": 32.0, "frame_shift": 12.5, "low_freq": 60.0, "high_freq": -200.0},
    "plain": {"remove_dc_offset": False, "preemphasis_coefficient": 0.0, "window_type": "rectangular"},
    "linear": {"use_log_fbank": False, "window_type": "hanning", "round_to_power_of_two": False},
    "magnitude": {"use_power": False, "window_type": "blackman", "blackman_coeff": 0.4, "high_freq": 7000.0},
    "warped": {"vtln_warp": 1.15, "num_mel_bins": 40},
    "warped-back": {"vtln_warp": 0.9, "vtln_low": 150.0, "vtln_high": 7000.0},
    "energy": {"use_energy": True, "subtract_mean": True},
    "energy-last": {"use_energy": True, "raw_energy": False, "htk_compat": True, "energy_floor": 0.0},
    "as-they-are": {"full_scale": 1.0, "num_mel_bins": 64, "mel_floor": 1e-5},
}
CEPSTRA: dict[str, dict[str, Any]] = {
    "defaults": {},
    "all": {"num_ceps": 23, "cepstral_lifter": 0.0, "subtract_mean": True},
    "energy": {"use_energy": True, "num_mel_bins": 40, "num_ceps": 20},
    "htk": {"htk_compat": True, "snip_edges": False},
    "htk-energy": {"htk_compat": True, "use_energy": True, "raw_energy": False},
}


def case(name: str, preset: Any, definition: Any, reference: Any, options: dict[str, Any]) -> Case:
    known = not {"mel_floor"} & options.keys()
    return Case(
        name=name,
        preset=lambda: preset(**options),
        definition=lambda x: definition(x, **options),
        reference=reference if known else None,
        count=counted(options),
        rate=options.get("sample_rate", 16000),
        samples=(7077, 9600, 4001),
    )


CASES = [
    *[
        case(f"fbank-{name}", af.presets.kaldi_fbank, fbank, torchaudio_of(kaldi.fbank, options), options)
        for name, options in BANKS.items()
    ],
    *[
        case(f"mfcc-{name}", af.presets.kaldi_mfcc, mfcc, torchaudio_of(kaldi.mfcc, options), options)
        for name, options in CEPSTRA.items()
    ],
]
CASES = [dataclasses.replace(case, shortest=case.shortest or 400) for case in CASES]


@pytest.mark.parametrize("check", comparison.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_preset(case, check):
    check(case)


@pytest.mark.parametrize("window_type", ["povey", "hanning", "hamming", "rectangular", "blackman", "sine", "hann"])
def test_each_window_is_kaldi_native_fbank_s(window_type):
    options = {"window_type": window_type, "num_mel_bins": 30}
    one = case(window_type, af.presets.kaldi_fbank, fbank, native("OnlineFbank", options), options)
    comparison.values(one)


@pytest.mark.parametrize("name", ["80", "edges", "sizes", "plain", "energy-last", "magnitude"])
def test_filter_banks_are_kaldi_native_fbank_s(name):
    options = {**BANKS[name]}
    reference = native("OnlineFbank", options)
    comparison.values(case(name, af.presets.kaldi_fbank, fbank, reference, options))
    count = counted(options)
    for n in (1000, 3000, 4001):
        assert reference(np.zeros(n, dtype=np.float32)).shape[1] == count(n)


@pytest.mark.parametrize("name", ["defaults", "energy", "htk"])
def test_cepstra_are_kaldi_native_fbank_s(name):
    options = CEPSTRA[name]
    comparison.values(case(name, af.presets.kaldi_mfcc, mfcc, native("OnlineMfcc", options), options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_type": "hann2"}, "window_type='hann2' must be one of 'povey', 'hanning'"),
        ({"num_mel_bins": 0}, "num_mel_bins=0 must be an integer"),
        ({"frame_length": 0.01}, r"frame_length=0\.01 and frame_shift=10\.0 ms must be 2 and 1 samples or more"),
        ({"frame_length": 25.1, "sample_rate": 8010, "round_to_power_of_two": False}, "an even number of samples"),
        ({"high_freq": 9000.0}, r"high_freq=9000\.0 Hz must lie above low_freq=20\.0 and not above half"),
        ({"low_freq": -1.0}, r"low_freq=-1\.0 must be a number >= 0"),
        ({"preemphasis_coefficient": 1.5}, r"preemphasis_coefficient=1\.5 must be 0 to 1"),
        ({"vtln_warp": 1.2, "vtln_low": 10.0}, r"vtln_low=10\.0 and vtln_high=7500\.0 Hz must lie between"),
        ({"full_scale": 0.0}, r"full_scale=0\.0 must be a finite number > 0"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        af.presets.kaldi_fbank(**options)


def test_an_option_of_another_name_is_answered():
    with pytest.raises(TypeError, match=r"kaldi_fbank has no argument num_mel_bin=40; do you mean num_mel_bins\?"):
        af.presets.kaldi_fbank(num_mel_bin=40)
    with pytest.raises(ValueError, match="num_ceps=24 must not exceed num_mel_bins=23"):
        af.presets.kaldi_mfcc(num_ceps=24)
