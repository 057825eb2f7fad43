"""The front-ends of known models as functions that return modules, `audiofeed.presets.name()`: one file a family."""

from audiofeed.presets.extractors import from_extractor
from audiofeed.presets.speech.kaldi import kaldi_fbank, kaldi_mfcc
from audiofeed.presets.speech.whisper import whisper

__all__ = ["from_extractor", "kaldi_fbank", "kaldi_mfcc", "whisper"]
