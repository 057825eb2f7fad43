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
from audiofeed.presets.speech.kaldi import kaldi_fbank, kaldi_mfcc
from audiofeed.presets.speech.whisper import whisper
from audiofeed.presets.synthesis.dac import dac, pe_audio
from audiofeed.presets.synthesis.encodec import encodec, mimi
from audiofeed.presets.synthesis.hifigan import bigvgan, hifigan, matcha
from audiofeed.presets.synthesis.speecht5 import speecht5
from audiofeed.presets.synthesis.tacotron2 import clvp, tacotron2
from audiofeed.presets.synthesis.tokenizers import vibevoice, wavtokenizer
from audiofeed.presets.synthesis.univnet import univnet
from audiofeed.presets.synthesis.vocos import vocos
from audiofeed.presets.synthesis.xcodec2 import neucodec, xcodec2

__all__ = [
    "beats",
    "bigvgan",
    "clap",
    "clvp",
    "crepe",
    "dac",
    "efficientat",
    "encodec",
    "from_extractor",
    "hifigan",
    "kaldi_fbank",
    "kaldi_mfcc",
    "matcha",
    "mimi",
    "music_tagging",
    "musicgen_melody",
    "musicnn",
    "neucodec",
    "onsets_and_frames",
    "panns",
    "passt",
    "pe_audio",
    "pop2piano",
    "speecht5",
    "tacotron2",
    "univnet",
    "vggish",
    "vibevoice",
    "vocos",
    "wavtokenizer",
    "whisper",
    "xcodec2",
    "yamnet",
]
