"""The constant-Q kernels on the device: that they are taken, and that they equal float64 on the CPU."""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch

import audiofeed as af
from audiofeed.methods.constant_q.device import self_check
from audiofeed.methods.short_time.fused import cuda_launch
from gpu.checks import Check, Recorder

SECTION = "cuda kernel"
NAME = "constant q: the CUDA kernels"
OF_ALL = 1e-6  # relative error of all values together
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "84 bins": ("CQT", {"sample_rate": 22050}),
    "252 bins, complex": ("CQT", {"sample_rate": 22050, "n_bins": 252, "bins_per_octave": 36, "power": None}),
    "VQT, powers": ("VQT", {"sample_rate": 22050, "gamma": 20.0, "power": 2.0}),
    "hop 160": ("CQT", {"sample_rate": 16000, "hop_length": 160}),
    "early downsampling": ("CQT", {"sample_rate": 22050, "hop_length": 256, "n_bins": 24}),
    "exact, reflected": ("CQT", {"sample_rate": 22050, "method": "exact", "pad_mode": "reflect", "n_bins": 48}),
}


def run(recorder: Recorder, device: torch.device) -> None:
    """Check each setting, with lengths and without; a layout that its self-check refused is a problem."""
    if recorder.has(SECTION, NAME):
        return
    with recorder.check(SECTION, NAME) as check:
        if device.type != "cuda":
            check.note("no card: the tests run their text on a CPU")
            return
        with mock.patch.object(cuda_launch, "PROVEN", [torch.cuda.get_device_capability(device)]):
            for name, (kind, options) in SETTINGS.items():
                _check(check, name, kind, options, device)


def _check(check: Check, name: str, kind: str, options: dict[str, Any], device: torch.device) -> None:
    x = 0.05 * torch.randn(4, 60001, generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([60001, 9000, 1, 30004])
    module, exact = getattr(af, kind)(**options).to(device), getattr(af, kind)(**options).double()
    for of_each in (None, lengths):
        with torch.no_grad():
            found = module(x.to(device), None if of_each is None else of_each.to(device)).cpu()
            want = exact(x.double(), of_each)
        error = float((found - want).abs().square().sum().sqrt() / want.abs().square().sum().sqrt())
        check.within(f"{name}{'' if of_each is None else ', with lengths'}", error, OF_ALL)
    kept = module.kernel_bank._on_devices
    if kept is None or not any(kept._ready.values()):
        verdicts = [] if kept is None else [self_check.VERDICTS.get((kept._layout, one)) for one in kept._ready]
        check.problem(f"{name}: the kernels were not taken: {verdicts or 'not tried'}")
