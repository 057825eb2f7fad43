"""The CUDA kernel of method="fused" on the device: that it is taken, and that it equals float64 on the CPU."""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch

import audiofeed as af
from audiofeed.methods.short_time import fused_method
from audiofeed.methods.short_time.fused import cuda_launch
from gpu.checks import Check, Recorder

SECTION = "cuda kernel"
NATS = 2e-3
OF_LOUDEST = 3e-6
MEL: dict[str, Any] = {"sample_rate": 16000, "n_mels": 40, "pad_mode": "reflect"}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "Whisper 400/160": ("LogMelSpectrogram", {**MEL, "n_fft": 400, "hop_length": 160, "log": "log10"}),
    "Kaldi 512/400/160": (
        "LogMelSpectrogram",
        {
            **MEL, "n_fft": 512, "win_length": 400, "hop_length": 160, "window": "povey", "window_at": "left",
            "placement": "snip_edges", "remove_dc": True, "preemphasis": 0.97,
        },
    ),
    "1024/320": ("LogMelSpectrogram", {**MEL, "n_fft": 1024, "hop_length": 320}),
    "2048/512": ("LogMelSpectrogram", {**MEL, "n_fft": 2048, "hop_length": 512}),
    "4096/1000": ("LogMelSpectrogram", {**MEL, "n_fft": 4096, "hop_length": 1000}),
    "882/441, an odd hop": ("LogMelSpectrogram", {**MEL, "n_fft": 882, "hop_length": 441}),
    "powers 400/160": ("Spectrogram", {"n_fft": 400, "hop_length": 160}),
    "magnitudes 512/128": ("Spectrogram", {"n_fft": 512, "hop_length": 128, "power": 1.0}),
}  # fmt: skip


def run(recorder: Recorder, device: torch.device) -> None:
    """Check each setting, as float32 and int16, with lengths; a form that its self-check refused is a problem."""
    if recorder.has(SECTION, "fused: the CUDA kernel"):
        return
    with recorder.check(SECTION, "fused: the CUDA kernel") as check:
        if device.type != "cuda":
            check.note("no card: the tests run its text on a CPU")
            return
        with mock.patch.object(cuda_launch, "PROVEN", [torch.cuda.get_device_capability(device)]):
            for name, (kind, options) in SETTINGS.items():
                for dtype in (torch.float32, torch.int16):
                    _check(check, f"{name}, {dtype}".replace("torch.", ""), kind, options, dtype, device)


def _check(
    check: Check, name: str, kind: str, options: dict[str, Any], dtype: torch.dtype, device: torch.device
) -> None:
    generator = torch.Generator().manual_seed(1)
    x = 0.05 * torch.randn(3, 24000, generator=generator)
    lengths = torch.tensor([24000, 9000, 4500])
    if dtype == torch.int16:
        x = (x * 32768).round()
    samples = x.to(dtype)
    fused, exact = getattr(af, kind)(method="fused", **options).to(device), getattr(af, kind)(method="fft", **options)
    want = exact.double()(x.double() / (32768 if dtype == torch.int16 else 1), lengths)
    with torch.no_grad():
        found = fused(samples.to(device), lengths.to(device)).cpu().double()
    form = fused_method._cuda_form(samples.to(device), fused.framing, fused.wanted(samples.to(device).float()))
    if isinstance(form, str):
        check.problem(f"{name}: the CUDA kernel was not taken: {form}")
    error = float((found - want).abs().max())
    if kind == "Spectrogram":
        limit = OF_LOUDEST if options.get("power", 2.0) == 2.0 else 1e-4
        check.within(f"{name}, of the loudest", error / float(want.max()), limit)
    else:
        check.within(f"{name}, nats", error * (2.302585 if options.get("log") == "log10" else 1.0), NATS)
