"""Front-ends of known models beside the code they follow and beside asrfront, one thread, each with its error.

    python benchmarks/models/presets.py [--rounds 15] [--check]

One clip of 30 s of speech-like noise. Errors are against the float64 definitions in NumPy that the tests have
(tests/presets/speech), over the feature's largest value. `--check` exits 1 where a preset is not faster by what is
promised, or off by more than 2e-5 and by more than its reference. A peer that is not installed is left out, and named.

kaldi-native-fbank takes samples as a list, which Python has to unpack: what its stream of raw samples takes for the
same list is taken off its time ("filters alone"), and the promise holds against that.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import audiofeed as af

# the timing of peers lies beside this folder, and the definitions with the tests
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import peers

from tests.presets.speech import kaldi_formulas, mel_formulas

RATE, SECONDS = 16000, 30
BOUND = 2e-5
# preset, peer: how many times as long the peer takes at least
PROMISED = {
    ("kaldi_fbank", "kaldi-native-fbank, filters alone"): 3.0,
    ("kaldi_fbank", "torchaudio"): 9.0,
    ("kaldi_fbank", "asrfront"): 1.3,
    ("whisper", "asrfront"): 1.3,
}
Call = Callable[[], Any]
_PACKAGES = ("torch", "numpy", "torchaudio", "transformers", "kaldi-native-fbank", "asrfront", "openai-whisper")


def samples() -> np.ndarray:
    """Noise of a falling spectrum whose level changes four times a second, and pauses."""
    random = np.random.default_rng(0)
    x = np.convolve(random.standard_normal(RATE * SECONDS), [1.0, 0.9, 0.5])[: RATE * SECONDS]
    level = np.repeat(10 ** random.uniform(-3, -0.5, 4 * SECONDS), RATE // 4)
    return (0.3 * x * level).astype(np.float32)


def installed(name: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(name) is not None


def native_fbank(x: np.ndarray) -> dict[str, Call]:
    """kaldi-native-fbank, and what its list of samples takes to unpack."""
    import kaldi_native_fbank as knf

    options, given = knf.FbankOptions(), (x * np.float32(32768)).tolist()
    options.frame_opts.dither, options.mel_opts.num_bins, options.frame_opts.window_type = 0.0, 80, "hamming"

    def features() -> np.ndarray:
        stream = knf.OnlineFbank(options)
        stream.accept_waveform(RATE, given)
        stream.input_finished()
        return np.stack([stream.get_frame(f) for f in range(stream.num_frames_ready)])

    def unpacked() -> None:
        stream = knf.OnlineRawAudioSamples(knf.RawAudioSamplesOptions())
        stream.accept_waveform(RATE, given)

    return {"kaldi-native-fbank": features, "unpacking": unpacked}


def groups(x: np.ndarray) -> dict[str, tuple[dict[str, Call], np.ndarray]]:
    """By preset: what makes its features, ours first, and the float64 definition (bins, frames)."""
    wave = torch.from_numpy(x)
    fbank = af.presets.kaldi_fbank(num_mel_bins=80, window_type="hamming")
    kaldi: dict[str, Call] = {"audiofeed": lambda: fbank(wave)}
    whisper, whisper_peers = af.presets.whisper(), {}
    recognizers: dict[str, tuple[dict[str, Call], np.ndarray]] = {}
    if installed("kaldi_native_fbank"):
        kaldi |= native_fbank(x)
    if installed("torchaudio"):
        from torchaudio.compliance.kaldi import fbank as reference

        kaldi["torchaudio"] = lambda: reference(32768 * wave[None], num_mel_bins=80, window_type="hamming")
    if installed("asrfront"):
        import asrfront

        kaldi["asrfront"] = lambda: asrfront.sensevoice.fbank_raw(x)
        whisper_peers["asrfront"] = lambda: asrfront.whisper.log_mel(x)
    if installed("transformers"):
        import transformers

        def extracting(name: str, key: str = "input_features", **given: Any) -> Call:
            extractor = getattr(transformers, name)()
            return lambda: np.asarray(extractor([x], sampling_rate=RATE, **given)[key][0])

        whisper_peers["transformers"] = extracting("WhisperFeatureExtractor")
        for name, call in {
            "seamless": extracting("SeamlessM4TFeatureExtractor"),
            "parakeet": extracting("ParakeetFeatureExtractor"),
            "speech_to_text": extracting("Speech2TextFeatureExtractor"),
            "gemma4": extracting("Gemma4AudioFeatureExtractor"),
            "qwen3_asr": extracting("Qwen3ASRFeatureExtractor", padding=True, return_attention_mask=True),
            "ast": extracting("ASTFeatureExtractor", key="input_values"),
        }.items():
            module = getattr(af.presets, name)()
            recognizers[name] = (
                {"audiofeed": lambda module=module: module(wave), "transformers": call},
                definition(name, x),
            )
        if installed("asrfront"):
            recognizers["gemma4"][0]["asrfront"] = lambda: asrfront.gemma4.log_mel(x)
            recognizers["qwen3_asr"][0]["asrfront"] = lambda: asrfront.qwen3_asr.log_mel(x)
    if installed("whisper"):
        from whisper.audio import log_mel_spectrogram

        whisper_peers["openai-whisper"] = lambda: log_mel_spectrogram(wave)
    x64 = x.astype(np.float64)
    return {
        "kaldi_fbank": (kaldi, kaldi_formulas.fbank(x64, num_mel_bins=80, window_type="hamming")),
        "whisper": ({"audiofeed": lambda: whisper(wave), **whisper_peers}, mel_formulas.whisper(x64)),
        **recognizers,
    }


def definition(name: str, x: np.ndarray) -> np.ndarray:
    """The float64 definition of a recognizer's features, which the tests have."""
    from tests.presets.speech import test_recognizers

    return getattr(test_recognizers, name)(x.astype(np.float64))


def error_of(call: Call, expected: np.ndarray) -> float:
    """The largest error over the feature's largest value, of frames before bins as well."""
    found = np.asarray(call(), dtype=np.float64)
    found = found if found.shape[0] == len(expected) and found.shape != expected.T.shape else found.T
    frames = min(found.shape[1], expected.shape[1])
    return float(np.abs(found[:, :frames] - expected[:, :frames]).max() / np.abs(expected).max())


def main() -> int:
    """Measure, write the table, and with --check hold it against the promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--check", action="store_true", help="exit 1 where a promise is not kept")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    x = samples()
    rows, faults, record = [], [], {}
    for preset, (calls, expected) in groups(x).items():
        with torch.no_grad():
            seconds = peers.in_turn(calls, rounds=arguments.rounds, rest=0.02, warm_up=0.1)
            errors = {peer: error_of(call, expected) for peer, call in calls.items() if peer != "unpacking"}
        if "unpacking" in seconds:
            unpacked = seconds.pop("unpacking")
            alone = [max(a - b, 0.0) for a, b in zip(seconds["kaldi-native-fbank"], unpacked, strict=True)]
            seconds["kaldi-native-fbank, filters alone"] = alone
            errors["kaldi-native-fbank, filters alone"] = errors["kaldi-native-fbank"]
        ours = errors["audiofeed"]
        for peer, taken in seconds.items():
            ratio = peers.ratio(seconds, peer, "audiofeed")
            record[f"{preset}: {peer}"] = {"seconds": taken, "ratio": ratio, "error": errors[peer]}
            rows.append([preset, peer, f"{np.median(taken) * 1e3:.2f} ms", f"x{ratio:.2f}", f"{errors[peer]:.1e}"])
            least = PROMISED.get((preset, peer))
            if least is not None and ratio < least:
                faults.append(f"{preset}: {peer} takes {ratio:.2f} times as long, promised {least}")
        others = [error for peer, error in errors.items() if peer != "audiofeed"]
        if ours > max([BOUND, *others]):
            faults.append(f"{preset}: error {ours:.1e}, promised {BOUND} or that of its reference")
    about = peers.versions(*_PACKAGES)
    text = (
        f"Presets on a CPU with one thread, one clip of {SECONDS} s: median time, how many times that of audiofeed it "
        "is (median of the ratios within a round), and the largest error against the float64 definition in NumPy, over "
        "the feature's largest value.\n\n"
        + peers.markdown(["preset", "by", "time", "beside audiofeed", "error"], rows)
        + f"\n{peers.machine()}; {', '.join(f'{k} {v}' for k, v in about.items())}; {arguments.rounds} rounds. "
        'kaldi-native-fbank is given a list of samples; "filters alone" is its time less what unpacking that takes. '
        "Made by `python benchmarks/models/presets.py`.\n"
    )
    peers.write("presets.md", text)
    (peers.RESULTS / "presets.json").write_text(json.dumps({"about": about, "results": record}, indent=1) + "\n")
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return int(arguments.check and bool(faults))


if __name__ == "__main__":
    sys.exit(main())
