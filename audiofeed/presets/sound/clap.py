"""The log-mel spectrograms of CLAP, models of audio and text, of both kinds."""

from __future__ import annotations

from typing import Any

from torch import nn

from audiofeed.arguments.checks import check_choice, check_positive
from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.short_time.fuse_frames import FuseFrames
from audiofeed.transforms.waveform.padding import PadWaveform

_MODES = {"repeatpad": "copies", "repeat": "circular", "pad": "constant"}
_TRUNCATIONS = ("fusion", "rand_trunc")


def clap(
    *,
    truncation: str = "rand_trunc",
    padding: str = "repeatpad",
    seconds: float = 10.0,
    f_min: float = 50.0,
    at: float = 0.5,
) -> nn.Module:
    """Return the front-end of LAION's CLAP, Wu et al. 2023, as the module that computes it.

    The reference is `ClapFeatureExtractor` of transformers with the settings of LAION's checkpoints (frequency_min=50),
    and `get_audio_features` of CLAP's `training/data.py`.

    1. A clip shorter than 10 s is continued: by whole copies of itself and then zeros ("repeatpad"), by copies alone
       ("repeat"), or by zeros ("pad").
    2. Of a longer one "rand_trunc" leaves the first 10 s; "fusion" leaves all of it.
    3. Frames of 1,024 samples, 480 apart, centered, their ends reflected: 1 + n // 480 frames.
    4. |STFT|^2 with a periodic Hann window; 64 mel filters up to 14,000 Hz, for "rand_trunc" with Slaney's scale and
       area, for "fusion" on HTK's scale, triangles in Hz of peak 1.
    5. 10 log10(max(., 1e-10)).
    6. With "fusion": the whole shrunk to 1,001 frames by interpolation, and three crops of 1,001 frames from the first,
       second and last third of all places for one; of a clip of 10 s or less it is four times the same.

    All clips have 1,001 frames. The model takes (batch, 1 or 4, frames, bins): `features.mT[:, None]`, and with
    "fusion" `features.mT`, beside `is_longer = batch.lengths[:, None] >= 480480`.

    Args:
        truncation: "rand_trunc" (the checkpoints without fusion) or "fusion".
        padding: "repeatpad", "repeat" or "pad".
        seconds: s of every clip, > 0.
        f_min: Hz, the lower edge of the lowest filter, 50 in LAION's checkpoints; the class itself has 0.
        at: with "fusion": where in its third a crop begins, 0 (as early as can be) to 1 (as late).

    Returns:
        The module: (..., 64, 1001), with "fusion" (..., 4, 64, 1001), from a waveform of 48 kHz (..., time) and lengths
        (batch,).

    Raises:
        ValueError: for a setting outside its range.

    Differs from the reference: there the crop of a longer clip, and the three of "fusion", are drawn. A dataset draws
    as much with `crop=RandomCrop(seconds=10.0)`. LAION's own code rounds samples to 16 bits first. If no clip of a
    batch is longer, one of them, drawn, is said to be.

    >>> import torch
    >>> clap()(torch.zeros(2, 48000)).shape, clap(truncation="fusion")(torch.zeros(2, 48000)).shape
    (torch.Size([2, 64, 1001]), torch.Size([2, 4, 64, 1001]))
    """
    return _clap(
        truncation=check_choice("truncation", truncation, _TRUNCATIONS),
        padding=check_choice("padding", padding, tuple(_MODES)),
        samples=round(check_positive("seconds", seconds) * 48000),
        at=at,
        f_min=f_min,
    )


def _clap(
    *,
    truncation: str,
    padding: str,
    samples: int,
    at: float,
    f_min: float,
    f_max: float = 14000.0,
    sample_rate: int = 48000,
    n_fft: int = 1024,
    hop_length: int = 480,
    n_mels: int = 64,
) -> nn.Module:
    fusion = truncation == "fusion"
    filters: dict[str, Any] = {"mel_scale": "htk", "norm": None} if fusion else {}
    mel = LogMelSpectrogram(
        sample_rate=sample_rate,
        n_fft=n_fft,
        hop_length=hop_length,
        pad_mode="reflect",
        n_mels=n_mels,
        f_min=f_min,
        f_max=f_max,
        log="db",
        **filters,
    )
    mode, longer = _MODES[padding], "keep" if fusion else "crop"
    fuse = [FuseFrames(1 + samples // hop_length, at=at)] if fusion else []
    return Chain(PadWaveform(to=samples, longer=longer, mode=mode), mel, *fuse)


def _of_extractor(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    settings.ignore("top_db")  # the class makes no use of it
    rate, n_fft = settings.take("sampling_rate"), settings.take("fft_window_size")
    f_min, f_max = settings.take("frequency_min"), settings.take("frequency_max")
    n_mels, hop_length = settings.take("feature_size"), settings.take("hop_length")
    seconds = settings.take("max_length_s")
    samples = seconds * rate
    settings.derived("nb_max_samples", samples)
    settings.derived("nb_frequency_bins", n_fft // 2 + 1)
    span: dict[str, Any] = {"sample_rate": rate, "n_fft": n_fft, "n_mels": n_mels, "f_min": f_min, "f_max": f_max}
    settings.derived("mel_filters", mel_filterbank(**span, mel_scale="htk", norm=None).T)
    settings.derived("mel_filters_slaney", mel_filterbank(**span).T)
    # what older versions of the class had beside these, and checkpoints still hold
    settings.derived("n_fft", n_fft)
    settings.derived("chunk_length_s", seconds)
    settings.derived("nb_max_frames", samples // hop_length)
    return _clap(
        truncation=settings.expect("truncation", *_TRUNCATIONS),
        padding=settings.expect("padding", *_MODES),
        samples=samples,
        at=0.5,
        f_min=f_min,
        f_max=f_max,
        sample_rate=rate,
        n_fft=n_fft,
        hop_length=hop_length,
        n_mels=n_mels,
    )


EXTRACTORS = {"ClapFeatureExtractor": _of_extractor}
