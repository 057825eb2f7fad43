"""The CUDA device of tests: see `benchmarks/device/fake_cuda.py`, which benchmarks share."""

from __future__ import annotations

import pytest
import torch

from benchmarks.device.fake_cuda import Notes, fake_cuda, noted, on_cuda

__all__ = ["Notes", "fake_cuda", "needs_cuda_build", "noted", "on_cuda"]

needs_cuda_build = pytest.mark.skipif(
    not torch.backends.cuda.is_built(), reason="this torch is built without CUDA, and makes no tensors there"
)
