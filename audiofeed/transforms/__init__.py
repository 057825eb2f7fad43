"""Features as nn.Modules: build the filters once, call a method."""

from audiofeed.transforms.base import Transform
from audiofeed.transforms.cepstral import BFCC, LFCC, MFCC
from audiofeed.transforms.cfp import CFP
from audiofeed.transforms.chain import Chain
from audiofeed.transforms.chroma import Chroma
from audiofeed.transforms.chroma_cens import ChromaCENS
from audiofeed.transforms.chroma_cqt import ChromaCQT, ChromaVQT
from audiofeed.transforms.cmvn import CMVN
from audiofeed.transforms.constant_q import CQT, VQT
from audiofeed.transforms.contrast import SpectralContrast
from audiofeed.transforms.decibels import AmplitudeToDB
from audiofeed.transforms.deltas import Deltas
from audiofeed.transforms.descriptors import (
    PolyFeatures,
    SpectralBandwidth,
    SpectralCentroid,
    SpectralFlatness,
    SpectralRolloff,
)
from audiofeed.transforms.features import FeatureTransform
from audiofeed.transforms.gabor import GaborFilterbank
from audiofeed.transforms.gammatone import Gammatonegram
from audiofeed.transforms.griffin_lim import GriffinLim
from audiofeed.transforms.harmonic_cqt import HarmonicCQT
from audiofeed.transforms.hybrid_cqt import HybridCQT, PseudoCQT
from audiofeed.transforms.inverse_cqt import InverseCQT
from audiofeed.transforms.inverse_mel import InverseMel
from audiofeed.transforms.inverse_mfcc import InverseMFCC
from audiofeed.transforms.inverse_stft import InverseSTFT
from audiofeed.transforms.invertible_cqt import InvertibleCQT
from audiofeed.transforms.invertible_cqt_inverse import InvertibleCQTInverse
from audiofeed.transforms.log_frequency import LogFrequencySpectrogram, LogFrequencySTFT
from audiofeed.transforms.mel import LogMelSpectrogram, MelSpectrogram
from audiofeed.transforms.onset import OnsetStrength
from audiofeed.transforms.pcen import PCEN
from audiofeed.transforms.reassigned import ReassignedSpectrogram
from audiofeed.transforms.sinc import SincFilterbank
from audiofeed.transforms.stack import Stack
from audiofeed.transforms.stft import STFT, Spectrogram
from audiofeed.transforms.tempogram import FourierTempogram, Tempogram
from audiofeed.transforms.time_stretch import TimeStretch
from audiofeed.transforms.tonnetz import Tonnetz
from audiofeed.transforms.waveform_descriptors import RMS, ZeroCrossingRate

__all__ = [
    "BFCC",
    "CFP",
    "CMVN",
    "CQT",
    "LFCC",
    "MFCC",
    "PCEN",
    "RMS",
    "STFT",
    "VQT",
    "AmplitudeToDB",
    "Chain",
    "Chroma",
    "ChromaCENS",
    "ChromaCQT",
    "ChromaVQT",
    "Deltas",
    "FeatureTransform",
    "FourierTempogram",
    "GaborFilterbank",
    "Gammatonegram",
    "GriffinLim",
    "HarmonicCQT",
    "HybridCQT",
    "InverseCQT",
    "InverseMFCC",
    "InverseMel",
    "InverseSTFT",
    "InvertibleCQT",
    "InvertibleCQTInverse",
    "LogFrequencySTFT",
    "LogFrequencySpectrogram",
    "LogMelSpectrogram",
    "MelSpectrogram",
    "OnsetStrength",
    "PolyFeatures",
    "PseudoCQT",
    "ReassignedSpectrogram",
    "SincFilterbank",
    "SpectralBandwidth",
    "SpectralCentroid",
    "SpectralContrast",
    "SpectralFlatness",
    "SpectralRolloff",
    "Spectrogram",
    "Stack",
    "Tempogram",
    "TimeStretch",
    "Tonnetz",
    "Transform",
    "ZeroCrossingRate",
]
