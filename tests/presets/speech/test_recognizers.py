"""Front-ends of speech recognizers and of language models that hear, against transformers' classes."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
import torch

import audiofeed as af
from tests.presets import comparison
from tests.presets.comparison import Case
from tests.presets.speech.kaldi_formulas import fbank, kaldi_filters, window_of
from tests.presets.speech.mel_formulas import hann_power, htk_filters, slaney_filters, whisper
from tests.transforms.frontends import formulas

transformers = pytest.importorskip("transformers")


def made(name: str, **settings: Any) -> Any:
    return getattr(transformers, name)(**settings)


def whole_frames(n: int, size: int = 400, hop: int = 160) -> int:
    return max(1, 1 + (n - size) // hop)


# ---------------------------------------------------------------- definitions, float64


def per_bin(x: np.ndarray, *, ddof: int, eps: float, to: str) -> np.ndarray:
    """Each bin less its mean, over its deviation; 0 where it does not change but for rounding."""
    spread = x.var(1, ddof=ddof, keepdims=True) if x.shape[1] > ddof else np.zeros((len(x), 1))
    divisor = np.sqrt(spread + eps) if to == "variance" else np.sqrt(spread) + eps
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (x - x.mean(1, keepdims=True)) / divisor
    return np.where(spread > 1e-24, found, 0.0)


def ast(x: np.ndarray) -> np.ndarray:
    found = fbank(x, num_mel_bins=128, window_type="hanning", full_scale=1.0)[:, :1024]
    found = np.pad(found, ((0, 0), (0, 1024 - found.shape[1])))
    return (found + 4.2677393) / (2 * 4.5689974)


def stacked(x: np.ndarray, size: int = 2) -> np.ndarray:
    count = x.shape[1] // size
    return x[:, : count * size].T.reshape(count, -1).T


def seamless(x: np.ndarray) -> np.ndarray:
    return stacked(per_bin(fbank(x, num_mel_bins=80), ddof=1, eps=1e-7, to="variance"))


def speech_to_text(x: np.ndarray) -> np.ndarray:
    return per_bin(fbank(x, num_mel_bins=80), ddof=0, eps=0.0, to="std")


def nemo_logs(x: np.ndarray, n_mels: int = 80, *, rounded: bool = False, win: int = 400) -> np.ndarray:
    emphasized = np.concatenate([x[:1], x[1:] - 0.97 * x[:-1]])
    n_fft = 512
    window, filters = formulas.hann(win, symmetric=True), slaney_filters(n_mels, n_fft, 16000, 8000.0)
    if rounded:
        window, filters = (torch.from_numpy(v).float().bfloat16().double().numpy() for v in (window, filters))
    frames = formulas.frames_of(
        emphasized, placement="hops", n_fft=n_fft, hop=160, win=win, window_at="center", pad_mode="constant"
    )
    power = np.abs(formulas.spectrum(formulas.prepared(frames, window, "center"))) ** 2
    return np.log(filters @ power + 2.0**-24)


def parakeet(x: np.ndarray, n_mels: int = 80, win: int = 400) -> np.ndarray:
    return per_bin(nemo_logs(x, n_mels, win=win), ddof=1, eps=1e-5, to="std")


def wav2vec2(x: np.ndarray, eps: float = 1e-7) -> np.ndarray:
    return (x - x.mean()) / np.sqrt(x.var() + eps)


def kyutai(x: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(4800), x, np.zeros(36000)])


def muse_spark(x: np.ndarray) -> np.ndarray:
    return np.pad(x, (0, -len(x) % 1920))


def qwen3_asr(x: np.ndarray) -> np.ndarray:
    found = whisper(np.pad(x, (0, max(0, 8000 - len(x)))), n_mels=128)
    return np.pad(found, ((0, 0), (0, -found.shape[1] % 100)))


def gemma3n(x: np.ndarray, mean: Any = 0.0, std: Any = 1.0, scale: float = 1.0) -> np.ndarray:
    x = np.pad(x[:480000], (0, -len(x[:480000]) % 128)) * scale
    frames = formulas.cut(x, 513, 160, whole_frames(len(x), 513))
    first, rest = frames[:, :1] * (1 - 0.97), frames[:, 1:-1] - 0.97 * frames[:, :-2]
    spectrum = np.abs(np.fft.rfft(np.hstack([first, rest]) * formulas.hann(512), n=1024)).T
    return (np.log(np.maximum(htk_filters(128, 1024, 16000, 125.0, 7600.0) @ spectrum, 1e-5)) - mean) / std


def gemma4(x: np.ndarray) -> np.ndarray:
    x = np.pad(x[:480000], (160, 0))
    frames = formulas.cut(x, 321, 160, whole_frames(len(x), 321))[:, :-1]
    spectrum = np.abs(np.fft.rfft(frames * formulas.hann(320), n=512)).T
    return np.log(htk_filters(128, 512, 16000, 0.0, 8000.0) @ spectrum + 1e-3)


def granite_logs(x: np.ndarray, frames: int | None = None) -> np.ndarray:
    power = hann_power(x, n_fft=512, hop=160, win=400, placement="center", pad_mode="reflect")[:, :frames]
    logs = np.log10(np.maximum(htk_filters(80, 512, 16000, 0.0, 8000.0) @ power, 1e-10))
    return np.maximum(logs, logs.max() - 8) / 4 + 1


def granite_speech(x: np.ndarray) -> np.ndarray:
    return stacked(granite_logs(x))


def granite_speech5(x: np.ndarray) -> np.ndarray:
    hops = len(x) // 160
    logs = granite_logs(x, hops + hops % 2)
    wide = np.pad(logs, ((0, 0), (1, 1)), mode="edge")
    return stacked(np.vstack([logs, (wide[:, 2:] - wide[:, :-2]) / 2]))


def phi4(x: np.ndarray) -> np.ndarray:
    frames = formulas.frames_of(
        x, placement="snip_edges", n_fft=512, hop=160, win=400, window_at="left", pad_mode="constant"
    )
    frames = formulas.prepared(frames, window_of("hamming", 400), "left", preemphasis=0.97) * 32768
    power = np.abs(formulas.spectrum(frames)) ** 2
    return np.log(np.maximum(kaldi_filters(80, 512, 16000, 0.0, 7690.0) @ power, 1.0))


def lfr(x: np.ndarray, size: int = 7, hop: int = 6) -> np.ndarray:
    columns = []
    for f in range(-(-x.shape[1] // hop)):
        at = np.clip(np.arange(size) + f * hop - (size - 1) // 2, 0, x.shape[1] - 1)
        columns.append(x[:, at].T.ravel())
    return np.stack(columns, 1)


def fun_asr(x: np.ndarray, full_scale: float = 1.0) -> np.ndarray:
    return lfr(fbank(x, num_mel_bins=80, window_type="hamming", full_scale=full_scale))


def lasr(x: np.ndarray) -> np.ndarray:
    power = hann_power(x, n_fft=512, hop=160, win=400, placement="snip_edges", window_at="left", symmetric=True)
    return np.log(np.maximum(kaldi_filters(128, 512, 16000, 125.0, 7500.0) @ power, 1e-5))


# ---------------------------------------------------------------- references, one clip at a time


def called(extractor: Any, *clips: np.ndarray, key: str = "input_features", mask: str | None = None, **given: Any):
    """(bins, frames) of each clip by an extractor of transformers, without what its mask leaves out."""
    found = extractor(list(clips), sampling_rate=extractor.sampling_rate, **given)
    rows = [np.asarray(row) for row in found[key]]
    if mask is not None:
        rows = [row[np.asarray(m).astype(bool)] for row, m in zip(rows, found[mask], strict=True)]
    return [row.T for row in rows]


def alone(name: str, *, key: str = "input_features", mask: str | None = None, settings: Any = None, **given: Any):
    extractor = made(name, **(settings or {}))
    return lambda x: called(extractor, x, key=key, mask=mask, **given)[0]


def of_whisper_kind(name: str, settings: Any = None, **given: Any):
    extractor = made(name, **(settings or {}))
    return lambda x: np.asarray(extractor(x, sampling_rate=16000, **given)["input_features"][0])


def granite(name: str):
    extractor = made(name)
    call = extractor if name == "GraniteSpeechFeatureExtractor" else functools.partial(extractor, sampling_rate=16000)
    return lambda x: call(x)["input_features"][0].T.numpy()


def of_waveform(name: str, settings: Any = None, **given: Any):
    extractor = made(name, **(settings or {}))
    return lambda x: np.asarray(extractor(x, sampling_rate=extractor.sampling_rate, **given)["input_values"][0]).ravel()


CONSTANTS = {
    "per_bin_mean": np.linspace(-1, 2, 128).tolist(),
    "per_bin_stddev": np.linspace(0.5, 3, 128).tolist(),
}
KYUTAI = {"audio_delay_seconds": 0.5, "audio_silence_prefix_seconds": 0.2}

# more quiet than that the guard of 2^-24 is nearly all there is, and what float32 rounds is divided by next to nothing
QUIET = 0.01

CASES = [
    Case(
        name="ast",
        preset=af.presets.ast,
        definition=ast,
        reference=alone("ASTFeatureExtractor", key="input_values"),
        extractor=lambda: made("ASTFeatureExtractor"),
        count=lambda n: 1024,
    ),
    Case(
        name="ast-plain",
        preset=lambda: af.presets.ast(n_mels=64, frames=50, mean=None),
        definition=lambda x: np.pad(
            fbank(x, num_mel_bins=64, window_type="hanning", full_scale=1.0)[:, :50],
            ((0, 0), (0, max(0, 50 - whole_frames(len(x))))),
        ),
        reference=alone(
            "ASTFeatureExtractor",
            key="input_values",
            settings={"num_mel_bins": 64, "max_length": 50, "do_normalize": False},
        ),
        extractor=lambda: made("ASTFeatureExtractor", num_mel_bins=64, max_length=50, do_normalize=False),
        count=lambda n: 50,
    ),
    Case(
        name="seamless",
        preset=af.presets.seamless,
        definition=seamless,
        reference=alone("SeamlessM4TFeatureExtractor", mask="attention_mask"),
        extractor=lambda: made("SeamlessM4TFeatureExtractor"),
        count=lambda n: max(1, whole_frames(n) // 2),
        shortest=560,
    ),
    Case(
        name="speech_to_text",
        preset=af.presets.speech_to_text,
        definition=speech_to_text,
        reference=alone("Speech2TextFeatureExtractor"),
        extractor=lambda: made("Speech2TextFeatureExtractor"),
        count=whole_frames,
        shortest=560,
    ),
    Case(
        name="speech_to_text-means",
        preset=lambda: af.presets.speech_to_text(normalize_vars=False),
        definition=lambda x: fbank(x, num_mel_bins=80, subtract_mean=True),
        reference=alone("Speech2TextFeatureExtractor", settings={"normalize_vars": False}),
        extractor=lambda: made("Speech2TextFeatureExtractor", normalize_vars=False),
        count=whole_frames,
    ),
    Case(
        name="speech_to_text-plain",
        preset=lambda: af.presets.speech_to_text(normalize_means=False, normalize_vars=False),
        definition=lambda x: fbank(x, num_mel_bins=80),
        reference=alone("Speech2TextFeatureExtractor", settings={"do_ceptral_normalize": False}),
        extractor=lambda: made("Speech2TextFeatureExtractor", do_ceptral_normalize=False),
        count=whole_frames,
    ),
    Case(
        name="parakeet",
        preset=af.presets.parakeet,
        definition=parakeet,
        reference=alone("ParakeetFeatureExtractor", mask="attention_mask"),
        extractor=lambda: made("ParakeetFeatureExtractor"),
        count=lambda n: max(1, n // 160),
        quiet=QUIET,
    ),
    Case(
        name="cohere_asr",
        preset=af.presets.cohere_asr,
        definition=lambda x: parakeet(x, 128),
        reference=alone("CohereAsrFeatureExtractor", mask="attention_mask", settings={"dither": 0.0}),
        extractor=lambda: made("CohereAsrFeatureExtractor", dither=0.0),
        count=lambda n: max(1, n // 160),
        quiet=QUIET,
    ),
    *[
        Case(
            name=f"nemotron-{rounded}",
            preset=lambda rounded=rounded: af.presets.nemotron(rounded=rounded),
            definition=lambda x, rounded=rounded: nemo_logs(x, 128, rounded=rounded == "bfloat16"),
            reference=alone(
                "NemotronAsrStreamingFeatureExtractor",
                mask="attention_mask",
                settings={"feature_size": 128, "mel_filters_dtype": rounded},
            ),
            extractor=lambda rounded=rounded: made(
                "NemotronAsrStreamingFeatureExtractor", feature_size=128, mel_filters_dtype=rounded
            ),
            count=lambda n: max(1, n // 160),
        )
        for rounded in ("float32", "bfloat16")
    ],
    Case(
        name="nemo",
        preset=lambda: af.presets.nemo(features=80, window_size=0.025, pad_to=0),
        definition=parakeet,
        count=lambda n: max(1, n // 160),
        quiet=QUIET,
    ),
    Case(
        name="nemo-spliced",
        preset=lambda: af.presets.nemo(window_size=0.025, frame_splicing=3, normalize=None, pad_to=0),
        definition=lambda x: stacked(nemo_logs(x, 64), 3),
        count=lambda n: max(1, max(1, n // 160) // 3),
    ),
    Case(
        name="wav2vec2",
        preset=af.presets.wav2vec2,
        definition=wav2vec2,
        reference=of_waveform("Wav2Vec2FeatureExtractor"),
        extractor=lambda: made("Wav2Vec2FeatureExtractor"),
        count=lambda n: n,
    ),
    Case(name="hubert", preset=af.presets.hubert, definition=wav2vec2, count=lambda n: n),
    Case(
        name="moonshine",
        preset=af.presets.moonshine,
        definition=lambda x: x,
        reference=of_waveform("Wav2Vec2FeatureExtractor", {"do_normalize": False}),
        extractor=lambda: made("Wav2Vec2FeatureExtractor", do_normalize=False),
        count=lambda n: n,
    ),
    Case(
        name="omniasr",
        preset=af.presets.omniasr,
        definition=lambda x: wav2vec2(x, 1e-5),
        reference=of_waveform("OmniASRFeatureExtractor"),
        extractor=lambda: made("OmniASRFeatureExtractor"),
        count=lambda n: n,
    ),
    Case(
        name="kyutai_speech_to_text",
        preset=lambda: af.presets.kyutai_speech_to_text(prefix_seconds=0.2, delay_seconds=0.5),
        definition=kyutai,
        reference=of_waveform("KyutaiSpeechToTextFeatureExtractor", KYUTAI),
        extractor=lambda: made("KyutaiSpeechToTextFeatureExtractor", **KYUTAI),
        count=lambda n: n + 40800,
    ),
    Case(
        name="muse_spark",
        preset=af.presets.muse_spark,
        definition=muse_spark,
        reference=of_waveform("MuseSparkFeatureExtractor"),
        extractor=lambda: made("MuseSparkFeatureExtractor"),
        count=lambda n: -(-n // 1920) * 1920,
    ),
    Case(
        name="qwen3_asr",
        preset=af.presets.qwen3_asr,
        definition=qwen3_asr,
        reference=of_whisper_kind("Qwen3ASRFeatureExtractor", padding=True, return_attention_mask=True),
        extractor=lambda: made("Qwen3ASRFeatureExtractor"),
        count=lambda n: max(n, 8000) // 160,
        counted=lambda x: int(
            made("Qwen3ASRFeatureExtractor")(x, sampling_rate=16000, padding=True, return_attention_mask=True)[
                "attention_mask"
            ].sum()
        ),
    ),
    Case(
        name="qwen2_audio",
        preset=lambda: af.presets.qwen2_audio(seconds=2.0),
        definition=lambda x: whisper(x, n_mels=128, samples=32000),
        count=lambda n: 200,
    ),
    Case(
        name="voxtral",
        preset=lambda: af.presets.voxtral(seconds=None),
        definition=lambda x: whisper(x, n_mels=128),
        count=lambda n: max(1, n // 160),
    ),
    Case(
        name="voxtral_realtime",
        preset=af.presets.voxtral_realtime,
        definition=lambda x: whisper(x, n_mels=128, largest=1.5),
        reference=of_whisper_kind("VoxtralRealtimeFeatureExtractor"),
        extractor=lambda: made("VoxtralRealtimeFeatureExtractor"),
        count=lambda n: max(1, n // 160),
    ),
    Case(
        name="voxtral_realtime-own",
        preset=lambda: af.presets.voxtral_realtime(largest=None),
        definition=lambda x: whisper(x, n_mels=128),
        reference=of_whisper_kind("VoxtralRealtimeFeatureExtractor", {"global_log_mel_max": None}),
        extractor=lambda: made("VoxtralRealtimeFeatureExtractor", global_log_mel_max=None),
        count=lambda n: max(1, n // 160),
    ),
    Case(
        name="moss_transcribe",
        preset=lambda: af.presets.moss_transcribe(seconds=2.0),
        definition=lambda x: whisper(x, samples=32000),
        reference=of_whisper_kind("MossTranscribeDiarizeFeatureExtractor", {"chunk_length": 2}),
        extractor=lambda: made("MossTranscribeDiarizeFeatureExtractor", chunk_length=2),
        count=lambda n: 200,
    ),
    Case(
        name="gemma3n",
        preset=af.presets.gemma3n,
        definition=gemma3n,
        reference=alone("Gemma3nAudioFeatureExtractor"),
        extractor=lambda: made("Gemma3nAudioFeatureExtractor"),
        count=lambda n: whole_frames(-(-n // 128) * 128, 513),
        shortest=520,
    ),
    Case(
        name="gemma3n-constants",
        preset=lambda: af.presets.gemma3n(**CONSTANTS),
        definition=lambda x: gemma3n(x, *(np.array(c)[:, None] for c in CONSTANTS.values())),
        reference=alone("Gemma3nAudioFeatureExtractor", settings=CONSTANTS),
        extractor=lambda: made("Gemma3nAudioFeatureExtractor", **CONSTANTS),
        count=lambda n: whole_frames(-(-n // 128) * 128, 513),
        shortest=520,
    ),
    Case(
        name="gemma4",
        preset=af.presets.gemma4,
        definition=gemma4,
        reference=alone("Gemma4AudioFeatureExtractor", mask="input_features_mask"),
        extractor=lambda: made("Gemma4AudioFeatureExtractor"),
        count=lambda n: whole_frames(n + 160, 321),
    ),
    Case(
        name="granite_speech",
        preset=af.presets.granite_speech,
        definition=granite_speech,
        reference=granite("GraniteSpeechFeatureExtractor"),
        extractor=lambda: made("GraniteSpeechFeatureExtractor"),
        count=lambda n: max(1, (1 + n // 160) // 2),
    ),
    Case(
        name="granite_speech5",
        preset=af.presets.granite_speech5,
        definition=granite_speech5,
        reference=granite("GraniteSpeech5FeatureExtractor"),
        extractor=lambda: made("GraniteSpeech5FeatureExtractor"),
        count=lambda n: max(1, (1 + n // 160) // 2),
    ),
    Case(
        name="phi4_multimodal",
        preset=af.presets.phi4_multimodal,
        definition=phi4,
        reference=alone("Phi4MultimodalFeatureExtractor", key="audio_input_features"),
        extractor=lambda: made("Phi4MultimodalFeatureExtractor"),
        count=whole_frames,
    ),
    Case(
        name="fun_asr_nano",
        preset=af.presets.fun_asr_nano,
        definition=fun_asr,
        reference=alone("FunAsrNanoFeatureExtractor"),
        extractor=lambda: made("FunAsrNanoFeatureExtractor"),
        count=lambda n: -(-whole_frames(n) // 6),
    ),
    Case(
        name="sense_voice",
        preset=af.presets.sense_voice,
        definition=lambda x: fun_asr(x, 32768.0),
        count=lambda n: -(-whole_frames(n) // 6),
    ),
    Case(
        name="lasr",
        preset=af.presets.lasr,
        definition=lasr,
        reference=alone("LasrFeatureExtractor"),
        extractor=lambda: made("LasrFeatureExtractor"),
        count=whole_frames,
    ),
]
CASES = [dataclasses.replace(case, shortest=case.shortest or 400) for case in CASES]


@pytest.mark.parametrize("check", comparison.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_preset(case, check):
    check(case)
