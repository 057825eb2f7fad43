"""The front-ends of known models as functions that return modules, `audiofeed.presets.name()`: one file a family."""

from audiofeed.presets.extractors import from_extractor
from audiofeed.presets.sound.audioset import vggish, yamnet
from audiofeed.presets.sound.beats import beats
from audiofeed.presets.sound.clap import clap
from audiofeed.presets.sound.crepe import crepe
from audiofeed.presets.sound.music_tagging import music_tagging, musicnn
from audiofeed.presets.sound.musicgen_melody import musicgen_melody
from audiofeed.presets.sound.onsets_and_frames import onsets_and_frames
from audiofeed.presets.sound.panns import panns
from audiofeed.presets.sound.passt import efficientat, passt
from audiofeed.presets.sound.pop2piano import pop2piano
from audiofeed.presets.speech.ast import ast
from audiofeed.presets.speech.fun_asr import fun_asr_nano, sense_voice
from audiofeed.presets.speech.gemma import gemma3n, gemma4
from audiofeed.presets.speech.granite import granite_speech, granite_speech5
from audiofeed.presets.speech.kaldi import kaldi_fbank, kaldi_mfcc
from audiofeed.presets.speech.lasr import lasr
from audiofeed.presets.speech.nemo import cohere_asr, nemo, nemotron, parakeet
from audiofeed.presets.speech.phi4_multimodal import phi4_multimodal
from audiofeed.presets.speech.qwen import moss_transcribe, qwen2_audio, qwen3_asr, voxtral, voxtral_realtime
from audiofeed.presets.speech.seamless import seamless
from audiofeed.presets.speech.speech_to_text import speech_to_text
from audiofeed.presets.speech.waveforms import hubert, kyutai_speech_to_text, moonshine, muse_spark, omniasr, wav2vec2
from audiofeed.presets.speech.whisper import whisper
from audiofeed.presets.synthesis.dac import dac, dac_loss, pe_audio
from audiofeed.presets.synthesis.encodec import encodec, mimi
from audiofeed.presets.synthesis.hifigan import bigvgan, hifigan, matcha
from audiofeed.presets.synthesis.speecht5 import speecht5
from audiofeed.presets.synthesis.tacotron2 import clvp, tacotron2
from audiofeed.presets.synthesis.tokenizers import vibevoice, wavtokenizer
from audiofeed.presets.synthesis.univnet import univnet
from audiofeed.presets.synthesis.vocos import vocos
from audiofeed.presets.synthesis.xcodec2 import neucodec, xcodec2

__all__ = [
    "ast",
    "beats",
    "bigvgan",
    "clap",
    "clvp",
    "cohere_asr",
    "crepe",
    "dac",
    "dac_loss",
    "efficientat",
    "encodec",
    "from_extractor",
    "fun_asr_nano",
    "gemma3n",
    "gemma4",
    "granite_speech",
    "granite_speech5",
    "hifigan",
    "hubert",
    "kaldi_fbank",
    "kaldi_mfcc",
    "kyutai_speech_to_text",
    "lasr",
    "matcha",
    "mimi",
    "moonshine",
    "moss_transcribe",
    "muse_spark",
    "music_tagging",
    "musicgen_melody",
    "musicnn",
    "nemo",
    "nemotron",
    "neucodec",
    "omniasr",
    "onsets_and_frames",
    "panns",
    "parakeet",
    "passt",
    "pe_audio",
    "phi4_multimodal",
    "pop2piano",
    "qwen2_audio",
    "qwen3_asr",
    "seamless",
    "sense_voice",
    "speech_to_text",
    "speecht5",
    "tacotron2",
    "univnet",
    "vggish",
    "vibevoice",
    "vocos",
    "voxtral",
    "voxtral_realtime",
    "wav2vec2",
    "wavtokenizer",
    "whisper",
    "xcodec2",
    "yamnet",
]
