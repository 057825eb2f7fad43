"""Samplers: which examples make a batch, in which order, on which rank. Metadata alone; no audio is read."""

from audiofeed.sampling.clip_batch_sampler import ClipBatchSampler
from audiofeed.sampling.duration_batch_sampler import DurationBatchSampler
from audiofeed.sampling.epoch_sampler import EpochSampler
from audiofeed.sampling.evaluation_sampler import EvaluationSampler
from audiofeed.sampling.mixture import Mixture
from audiofeed.sampling.sources import takes_keys

__all__ = ["ClipBatchSampler", "DurationBatchSampler", "EpochSampler", "EvaluationSampler", "Mixture", "takes_keys"]
