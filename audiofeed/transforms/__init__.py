"""Features as nn.Modules. A new transform is added here, in two places, and is then public as `audiofeed.Name`."""

from audiofeed.transforms.auditory.decibels import AmplitudeToDB
from audiofeed.transforms.auditory.gammatone import Gammatonegram
from audiofeed.transforms.auditory.leaf import GaborFilterbank
from audiofeed.transforms.auditory.log_compression import LogCompression
from audiofeed.transforms.auditory.mel import LogMelSpectrogram, MelSpectrogram
from audiofeed.transforms.auditory.pcen import PCEN
from audiofeed.transforms.auditory.sinc import SincFilterbank
from audiofeed.transforms.cepstral.cmvn import CMVN
from audiofeed.transforms.cepstral.coefficients import BFCC, LFCC, MFCC
from audiofeed.transforms.cepstral.deltas import Deltas
from audiofeed.transforms.cepstral.project_bins import ProjectBins
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.compose.concat import Concat
from audiofeed.transforms.compose.stack import Stack
from audiofeed.transforms.constant_q.cqt import CQT, VQT
from audiofeed.transforms.constant_q.harmonic_cqt import HarmonicCQT
from audiofeed.transforms.constant_q.hybrid_cqt import HybridCQT, PseudoCQT
from audiofeed.transforms.constant_q.inverse_cqt import InverseCQT
from audiofeed.transforms.constant_q.invertible_cqt import InvertibleCQT
from audiofeed.transforms.constant_q.invertible_cqt_inverse import InvertibleCQTInverse
from audiofeed.transforms.contract.feature_transform import FeatureTransform
from audiofeed.transforms.contract.transform import Transform
from audiofeed.transforms.descriptors.contrast import SpectralContrast
from audiofeed.transforms.descriptors.spectral import (
    PolyFeatures,
    SpectralBandwidth,
    SpectralCentroid,
    SpectralFlatness,
    SpectralRolloff,
)
from audiofeed.transforms.descriptors.waveform import RMS, ZeroCrossingRate
from audiofeed.transforms.harmony.cfp import CFP
from audiofeed.transforms.harmony.chroma import Chroma
from audiofeed.transforms.harmony.chroma_cens import ChromaCENS
from audiofeed.transforms.harmony.chroma_cqt import ChromaCQT, ChromaVQT
from audiofeed.transforms.harmony.tonnetz import Tonnetz
from audiofeed.transforms.inverse.griffin_lim import GriffinLim
from audiofeed.transforms.inverse.inverse_mel import InverseMel
from audiofeed.transforms.inverse.inverse_mfcc import InverseMFCC
from audiofeed.transforms.inverse.inverse_stft import InverseSTFT
from audiofeed.transforms.normalization.clips import NormalizeClips
from audiofeed.transforms.normalization.constants import Normalize
from audiofeed.transforms.normalization.frames import LargestBin, NormalizeFrames
from audiofeed.transforms.normalization.rescale import Rescale
from audiofeed.transforms.rhythm.metrogram import Metrogram
from audiofeed.transforms.rhythm.onset import OnsetStrength
from audiofeed.transforms.rhythm.tempogram import FourierTempogram, HybridTempogram, Tempogram
from audiofeed.transforms.short_time.frame_waveform import FrameWaveform
from audiofeed.transforms.short_time.fuse_frames import FuseFrames
from audiofeed.transforms.short_time.log_frequency import LogFrequencySpectrogram, LogFrequencySTFT
from audiofeed.transforms.short_time.pad_frames import PadFrames
from audiofeed.transforms.short_time.reassigned import ReassignedSpectrogram
from audiofeed.transforms.short_time.short_time_transform import ShortTime
from audiofeed.transforms.short_time.stack_frames import StackFrames
from audiofeed.transforms.short_time.stft import STFT, Spectrogram
from audiofeed.transforms.short_time.time_stretch import TimeStretch
from audiofeed.transforms.waveform.levels import NormalizePeak, NormalizeRMS
from audiofeed.transforms.waveform.padding import PadWaveform
from audiofeed.transforms.waveform.plain import Waveform
from audiofeed.transforms.waveform.pre_emphasis import PreEmphasis
from audiofeed.transforms.waveform.standardization import NormalizeWaveform, RemoveMean

__all__ = [
    "BFCC", "CFP", "CMVN", "CQT", "LFCC", "MFCC", "PCEN", "RMS", "STFT", "VQT", "AmplitudeToDB", "Chain", "Chroma",
    "ChromaCENS", "ChromaCQT", "ChromaVQT", "Concat", "Deltas", "FeatureTransform", "FourierTempogram", "FrameWaveform",
    "FuseFrames", "GaborFilterbank", "Gammatonegram", "GriffinLim", "HarmonicCQT", "HybridCQT", "HybridTempogram",
    "InverseCQT", "InverseMFCC", "InverseMel", "InverseSTFT", "InvertibleCQT", "InvertibleCQTInverse", "LargestBin",
    "LogCompression", "LogFrequencySTFT", "LogFrequencySpectrogram", "LogMelSpectrogram", "MelSpectrogram", "Metrogram",
    "Normalize", "NormalizeClips", "NormalizeFrames", "NormalizePeak", "NormalizeRMS", "NormalizeWaveform",
    "OnsetStrength", "PadFrames", "PadWaveform", "PolyFeatures", "PreEmphasis", "ProjectBins", "PseudoCQT",
    "ReassignedSpectrogram", "RemoveMean", "Rescale", "ShortTime", "SincFilterbank", "SpectralBandwidth",
    "SpectralCentroid", "SpectralContrast", "SpectralFlatness", "SpectralRolloff", "Spectrogram", "Stack",
    "StackFrames", "Tempogram", "TimeStretch", "Tonnetz", "Transform", "Waveform", "ZeroCrossingRate",
]  # fmt: skip
