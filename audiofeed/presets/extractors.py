"""Presets from objects of transformers' feature extractor classes: the table of known classes, and what reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.presets.sound import clap, musicgen_melody, pop2piano
from audiofeed.presets.speech import (
    ast,
    fun_asr,
    gemma,
    granite,
    lasr,
    nemo,
    phi4_multimodal,
    qwen,
    seamless,
    speech_to_text,
    waveforms,
    whisper,
)
from audiofeed.presets.synthesis import dac, encodec, speecht5, tacotron2, tokenizers, univnet, xcodec2

# class name: what makes a module of the settings of an object of that class; each family's file has its own entries
EXTRACTORS: dict[str, Callable[[ExtractorSettings], nn.Module]] = {
    **ast.EXTRACTORS,
    **fun_asr.EXTRACTORS,
    **gemma.EXTRACTORS,
    **granite.EXTRACTORS,
    **lasr.EXTRACTORS,
    **nemo.EXTRACTORS,
    **phi4_multimodal.EXTRACTORS,
    **qwen.EXTRACTORS,
    **seamless.EXTRACTORS,
    **speech_to_text.EXTRACTORS,
    **waveforms.EXTRACTORS,
    **whisper.EXTRACTORS,
    **clap.EXTRACTORS,
    **musicgen_melody.EXTRACTORS,
    **pop2piano.EXTRACTORS,
    **dac.EXTRACTORS,
    **encodec.EXTRACTORS,
    **speecht5.EXTRACTORS,
    **tacotron2.EXTRACTORS,
    **tokenizers.EXTRACTORS,
    **univnet.EXTRACTORS,
    **xcodec2.EXTRACTORS,
}

# class name: why no preset computes what it does, and what does
LEFT_OUT = {
    "Dots3NoteFeatureExtractor": "it splits clips at a minute and cuts features after the longest clip of a batch; "
    "each piece has the values of af.presets.whisper(n_mels=128, seconds=60)",
    "Gemma4UnifiedAudioFeatureExtractor": "it puts samples in rows, as af.Chain(af.PadWaveform(multiple=640), "
    "af.FrameWaveform(640, hop_length=640, center=False)) does",
    "InklingFeatureExtractor": "it raises each magnitude to a floor before the filters, which no transform here has",
    "MarkupLMFeatureExtractor": "it reads text",
}


def from_extractor(feature_extractor: Any) -> nn.Module:
    """Return the preset that computes what an object of one of transformers' feature extractor classes does.

    Every setting of the object is read: what it holds arrives in the module, or an error names it. transformers is not
    imported; the class is known by its name.

    Args:
        feature_extractor: made by its class, or by `from_pretrained` of it or of `AutoFeatureExtractor`. Of a processor
            it is `processor.feature_extractor`.

    Returns:
        The module: (..., bins, frames) from a waveform (..., time) and lengths (batch,), or (..., time) for extractors
        that give waveforms.

    Raises:
        TypeError: for an object of a class that is not known; the message lists those that are, or says why this one is
            left out.
        ValueError: for a setting that no preset can express, or that is unknown.

    >>> from transformers import WhisperFeatureExtractor  # doctest: +SKIP
    >>> from_extractor(WhisperFeatureExtractor())(torch.zeros(16000)).shape  # doctest: +SKIP
    torch.Size([80, 3000])
    """
    name = type(feature_extractor).__name__
    if name in LEFT_OUT:
        raise TypeError(f"feature_extractor is a {name}, which no preset can express: {LEFT_OUT[name]}")
    if name not in EXTRACTORS:
        inner = getattr(feature_extractor, "feature_extractor", None)
        remedy = "; pass its .feature_extractor" if type(inner).__name__ in EXTRACTORS else ""
        raise TypeError(
            f"feature_extractor is a {name}, and must be an object of one of these classes{remedy}: "
            f"{', '.join(sorted(EXTRACTORS))}"
        )
    settings = ExtractorSettings(name, vars(feature_extractor))
    module = EXTRACTORS[name](settings)
    settings.finish()
    return module
