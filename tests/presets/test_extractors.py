"""`from_extractor`: which classes of transformers it knows, what it refuses, and whose batch-mates matter there."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from typing import Any

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.presets.extractor_settings import _NO_SETTINGS
from audiofeed.presets.extractors import EXTRACTORS, LEFT_OUT

transformers = pytest.importorskip("transformers")

# settings that have to be another than their default: noise, and an end that follows from the samples
REFUSED = {"CohereAsrFeatureExtractor": ("dither", 0.0), "PocketTTSFeatureExtractor": ("end_on_pause", False)}


def extractor_classes() -> dict[str, type]:
    """Every class of transformers that makes features of audio, by name."""
    models = importlib.import_module("transformers.models")
    found = {}
    for model in pkgutil.iter_modules(models.__path__):
        name = f"transformers.models.{model.name}.feature_extraction_{model.name}"
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        for called, member in vars(module).items():
            own = inspect.isclass(member) and member.__module__ == name and called != "AutoFeatureExtractor"
            if own and called.endswith("FeatureExtractor"):
                found[called] = member
    return found


def test_every_class_of_transformers_is_known_or_named():
    """A newer version may have more: then it is added to its family's table, or to those left out, with the reason."""
    classes = extractor_classes()
    assert len(classes) >= 30
    unknown = classes.keys() - EXTRACTORS.keys() - LEFT_OUT.keys()
    assert not unknown, f"no preset knows {sorted(unknown)}"
    assert not EXTRACTORS.keys() & LEFT_OUT.keys()
    assert len(EXTRACTORS.keys() & classes.keys()) >= 30


@pytest.mark.parametrize("name", sorted(EXTRACTORS))
def test_an_object_as_its_class_makes_it_becomes_a_module(name):
    """Or the error names the setting: noise, which is drawn from each example's seed here."""
    cls = getattr(transformers, name, None)
    if cls is None:
        pytest.skip(f"this version of transformers has no {name}")
    try:
        extractor = cls()
    except ImportError as error:
        pytest.skip(" ".join(str(error).split())[:80])
    if name in REFUSED:
        setting, other = REFUSED[name]
        with pytest.raises(ValueError, match=f"{name}'s {setting}=.* cannot be expressed by a preset"):
            af.presets.from_extractor(extractor)
        setattr(extractor, setting, other)
    module = af.presets.from_extractor(extractor)
    assert module.sample_rate == extractor.sampling_rate
    found = module(0.01 * torch.ones(1, 48000))
    for features in found.values() if isinstance(found, dict) else [found]:
        assert torch.isfinite(features).all()


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_a_class_that_is_left_out_is_answered_by_the_reason(name):
    """By its name alone: an object of some is made only beside other packages."""
    reason = f"feature_extractor is a {name}, which no preset can express: {LEFT_OUT[name]}"
    with pytest.raises(TypeError, match=re.escape(reason)):
        af.presets.from_extractor(type(name, (), {})())


@pytest.mark.parametrize("name", ["Dots3NoteFeatureExtractor", "Gemma4UnifiedAudioFeatureExtractor"])
def test_what_a_reason_names_instead_has_the_values_of_the_class(name):
    extractor = extractor_classes().get(name)
    if extractor is None:
        pytest.skip(f"this version of transformers has no {name}")
    if name.startswith("Dots"):
        instead = af.presets.whisper(n_mels=128, seconds=60)
    else:
        rows = af.FrameWaveform(640, hop_length=640, center=False)
        instead = af.Chain(af.PadWaveform(multiple=640), rows)
    waveform = clips()[1]
    found = np.asarray(extractor()(waveform, sampling_rate=16000, return_tensors="np")["input_features"][0])
    found = found if name.startswith("Dots") else found.T
    ours = instead(torch.from_numpy(waveform)).numpy()[:, : found.shape[1]]
    assert ours.shape == found.shape
    assert np.abs(ours - found).max() <= 2e-5 * np.abs(found).max()


def test_a_class_that_is_not_known_is_answered_by_those_that_are():
    with pytest.raises(TypeError, match=r"feature_extractor is a dict, and must be .*: ASTFeatureExtractor, .*Whisper"):
        af.presets.from_extractor({})

    class Processor:
        feature_extractor = transformers.WhisperFeatureExtractor()

    with pytest.raises(TypeError, match=r"is a Processor, and must be .*; pass its \.feature_extractor: "):
        af.presets.from_extractor(Processor())
    assert af.presets.from_extractor(Processor.feature_extractor).sample_rate == 16000


def changed(name: str, settings: dict[str, Any] | None = None, **attributes: Any) -> Any:
    extractor = getattr(transformers, name)(**(settings or {}))
    for attribute, value in attributes.items():
        setattr(extractor, attribute, value)
    return extractor


@pytest.mark.parametrize(
    ("extractor", "message"),
    [
        (lambda: changed("WhisperFeatureExtractor", {"dither": 0.1}), r"dither=0\.1 cannot be .*example's seed here"),
        (lambda: changed("WhisperFeatureExtractor", {"padding_value": 1.0}), r"padding_value=1\.0 cannot be"),
        (lambda: changed("WhisperFeatureExtractor", {"padding_side": "left"}), r"padding_side='left' cannot be"),
        (lambda: changed("WhisperFeatureExtractor", nb_max_frames=7), "nb_max_frames=7 cannot be .* and is 3000"),
        (lambda: changed("WhisperFeatureExtractor", mel_filters=np.ones((201, 80))), "mel_filters=<201 x 80 values>"),
        (
            lambda: changed("WhisperFeatureExtractor", hop_ratio=2),
            "its preset does not know: hop_ratio=2",
        ),
        (lambda: changed("Wav2Vec2FeatureExtractor", {"feature_size": 2}), "feature_size=2 cannot be"),
        (lambda: changed("Gemma3nAudioFeatureExtractor", {"preemphasis_htk_flavor": False}), "htk_flavor=False cannot"),
        (lambda: changed("CohereAsrFeatureExtractor"), "dither=1e-05 cannot be"),
        (lambda: changed("ParakeetFeatureExtractor", window="hamming"), "does not know: window='hamming'"),
        (lambda: changed("GraniteSpeechFeatureExtractor", feature_size=3), "feature_size=3 cannot be"),
        (lambda: changed("Speech2TextFeatureExtractor", {"normalize_means": False}), "normalize_vars=True cannot be"),
        (lambda: changed("KyutaiSpeechToTextFeatureExtractor", {"chunk_length_s": 1.0}), r"chunk_length_s=1\.0 cannot"),
    ],
)
def test_a_setting_that_cannot_be_expressed_is_named(extractor, message):
    with pytest.raises(ValueError, match=message):
        af.presets.from_extractor(extractor())


# settings that may be any, since no value depends on them, and why; any of these names is read in other classes
WITHOUT_EFFECT = {
    "ASTFeatureExtractor": {"feature_size"},  # num_mel_bins is the number of bins
    "ClapFeatureExtractor": {"top_db"},  # the class makes no use of it
    # how a clip of more than half a minute is split
    "CohereAsrFeatureExtractor": {"max_audio_clip_s", "overlap_chunk_second", "min_energy_window_samples"},
    # channels, which the waveform has; chunk_length_s means nothing as long as overlap is None
    "EncodecFeatureExtractor": {"feature_size", "chunk_length_s"},
    "Gemma4AudioFeatureExtractor": {"preemphasis_htk_flavor"},  # preemphasis is 0
    # how many embeddings the model makes of frames
    "GraniteSpeechFeatureExtractor": {"projector_window_size", "projector_downsample_rate"},
    "Phi4MultimodalFeatureExtractor": {"audio_compression_rate", "audio_downsample_rate", "audio_feat_stride"},
    # of the pause, which has to be off
    "PocketTTSFeatureExtractor": {
        "frame_size", "pause_duration", "fade_out_duration", "silence_floor_db", "analysis_frame_duration",
    },
    "SeamlessM4TFeatureExtractor": {"feature_size"},  # num_mel_bins is the number of bins
    "Speech2TextFeatureExtractor": {"feature_size"},  # num_mel_bins is the number of bins
    # normalization is off, padding of a call, and noise that the model is given
    "UnivNetFeatureExtractor": {"normalize_min", "normalize_max", "model_in_channels", "pad_end_length"},
    "VoxtralRealtimeFeatureExtractor": {"win_length"},  # of the mask
    "WavTokenizerFeatureExtractor": {"hop_length", "target_peak_dB_FS"},  # of the mask; normalization is off
}  # fmt: skip


def other_than(value: Any) -> Any:
    """Another setting of the same kind, a number for None; None for kinds that are not tried."""
    if value is None:
        return 3
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + max(1, value // 8)
    if isinstance(value, float):
        return 2 * value + 0.25
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return 1.5 * value + 0.1
    return None


def outcome(module: torch.nn.Module, waveform: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
    found = [module(waveform, lengths), module.frame_lengths(lengths)]
    return [tensor for one in found for tensor in (one.values() if isinstance(one, dict) else [one])]


@pytest.mark.filterwarnings("ignore:.* filters hold no bin")
@pytest.mark.parametrize("name", sorted(EXTRACTORS))
def test_every_setting_arrives_or_is_refused_by_its_name(name):
    """But for those that are listed, each changed setting changes the features, or raises an error that names it."""
    try:
        extractor = changed(name)
    except (AttributeError, ImportError) as error:
        pytest.skip(" ".join(str(error).split())[:80])
    if name in REFUSED:
        setattr(extractor, *REFUSED[name])
    noise = 0.1 * torch.randn(3, 48_000, generator=torch.Generator().manual_seed(0))
    noise[:2, 10_000:20_000] *= 1e-7  # where floors are
    lengths = torch.tensor([48_000, 30_001, 3_000])
    usual_module = af.presets.from_extractor(extractor)
    usual = outcome(usual_module, noise, lengths)
    silent, tried = set(), 0
    for setting, value in list(vars(extractor).items()):
        other = other_than(value)
        if setting in _NO_SETTINGS or other is None:
            continue
        tried += 1
        setattr(extractor, setting, other)
        try:
            module = af.presets.from_extractor(extractor)
            found = outcome(module, noise, lengths)
        except (TypeError, ValueError):  # a number is no list
            pass
        else:
            alike = len(found) == len(usual) and all(map(torch.equal, found, usual))
            if alike and module.sample_rate == usual_module.sample_rate:
                silent.add(setting)
        setattr(extractor, setting, value)
    assert tried >= 3
    assert silent == WITHOUT_EFFECT.get(name, set())


def test_an_attribute_that_is_missing_is_named():
    extractor = changed("WhisperFeatureExtractor")
    del extractor.n_fft
    with pytest.raises(ValueError, match="WhisperFeatureExtractor has no attribute n_fft"):
        af.presets.from_extractor(extractor)


def test_what_an_object_was_loaded_with_is_no_setting(tmp_path):
    transformers.WhisperFeatureExtractor(feature_size=128).save_pretrained(tmp_path)
    loaded = transformers.AutoFeatureExtractor.from_pretrained(tmp_path)
    assert af.presets.from_extractor(loaded)(torch.zeros(1600)).shape == (128, 3000)


# ---------------------------------------------------------------- batch-mates


def clips() -> list[np.ndarray]:
    """The second is longer and louder."""
    random = np.random.default_rng(0)
    return [(level * random.standard_normal(n)).astype(np.float32) for n, level in ((12345, 0.01), (20333, 0.5))]


# what is called, what it gives, and how a row of that is cut to the first clip's frames
BATCHED = {
    "WhisperFeatureExtractor": ({"padding": "longest"}, "input_features"),
    "Qwen3ASRFeatureExtractor": ({"padding": True, "n_window": 0}, "input_features"),
    "VoxtralRealtimeFeatureExtractor": ({"padding": "longest"}, "input_features"),
    "Wav2Vec2FeatureExtractor": ({"padding": True}, "input_values"),
    "GraniteSpeechFeatureExtractor": ({}, "input_features"),
    "GraniteSpeech5FeatureExtractor": ({}, "input_features"),
    "Gemma3nAudioFeatureExtractor": ({}, "input_features"),
}


def frames_of(name: str, *batch: np.ndarray) -> np.ndarray:
    """(bins, frames) that an extractor of transformers gives the first clip of a batch."""
    extractor = changed(name)
    given, key = BATCHED[name]
    rate = {} if name.startswith("Granite") and "5" not in name else {"sampling_rate": 16000}
    found = np.asarray(extractor(list(batch), **rate, **given)[key][0])
    return found.reshape(1, -1) if key == "input_values" else (found if found.shape[0] in (80, 128) else found.T)


@pytest.mark.parametrize("name", BATCHED)
def test_batch_mates_matter_to_these_extractors_and_not_to_ours(name):
    first, second = clips()
    alone, together = frames_of(name, first), frames_of(name, first, second)
    preset = af.presets.from_extractor(changed(name))
    lengths = torch.tensor([len(first), len(second)])
    padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(x) for x in (first, second)], batch_first=True)
    ours = preset(padded, lengths)
    single = preset(torch.from_numpy(first)[None])
    frames = int(preset.frame_lengths(lengths)[0])
    assert torch.equal(ours[0][..., :frames], single[0][..., :frames])
    assert not ours[0][..., frames:].any()
    if name == "Gemma3nAudioFeatureExtractor":
        # frames of the zeros behind the clip, which its mask counts as the clip's
        found = changed(name)([first, second], sampling_rate=16000)
        counts = [int(np.sum(changed(name)(batch)["input_features_mask"][0])) for batch in ([first], [first, second])]
        assert counts[0] < counts[1]
        assert len(found["input_features"][0]) > alone.shape[1]
        return
    width = alone.shape[1]
    assert together.shape[1] > width or name == "WhisperFeatureExtractor"
    worst = np.abs(together[:, :width] - alone).max()
    assert worst > 5 * 2e-5, f"{name} changed nothing: {worst:.1e}"


def test_the_presets_of_classes_without_a_difference_agree_with_their_batches():
    """Nothing of ours is another because it is batched: theirs, batched and masked, is still within the bound."""
    first, second = clips()
    extractor = transformers.ParakeetFeatureExtractor()
    found = extractor([first, second], sampling_rate=16000)
    preset = af.presets.from_extractor(extractor)
    lengths = torch.tensor([len(first), len(second)])
    padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(x) for x in (first, second)], batch_first=True)
    theirs = np.asarray(found["input_features"]).transpose(0, 2, 1)
    ours = preset(padded, lengths).numpy()
    width = ours.shape[-1]
    assert np.abs(ours - theirs[..., :width]).max() <= 2e-5 * np.abs(theirs).max()
