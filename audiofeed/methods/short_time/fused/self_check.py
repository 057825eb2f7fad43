"""The CUDA kernel's self-check: before a form of it is used on a device, one small batch beside torch's FFT.

The kernel is compiled for whatever card is there, and most cards have never been tried. What is found out, once in a
process for each form and device, stays: nothing, or the reason why the form is not used there, which a warning says.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace

import torch

from audiofeed.methods.decibels import Log
from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.frame_steps import Affine, Step, Wanted
from audiofeed.methods.frames import Framing
from audiofeed.methods.lengths import past_of
from audiofeed.methods.short_time import fft
from audiofeed.methods.short_time.fused.cuda_text import Form
from audiofeed.methods.short_time.fused.nvrtc import CompilerError

LOG_NATS = 2e-3
# of a value, and of the loudest of its clip, by power: what float32 leaves of an FFT's bins
OF_VALUE, OF_LOUDEST = 3e-5, {2.0: 2e-6, 1.0: 2e-4}
# of what torch's FFT in float32 is off by: a bin in which nothing is left is nothing but rounding
OF_FFT = 8.0
ROWS = (1.0, 0.8, 0.3)  # of the longest, each row's length

Compute = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
_VERDICTS: dict[tuple[Form, torch.device], str | None] = {}


def verdict(form: Form, device: torch.device) -> str | None:
    """Return the reason why a form of the CUDA kernel was found not to be usable on a device; None if there is none."""
    return _VERDICTS.get((form, device))


def is_checked(form: Form, device: torch.device) -> bool:
    """Return whether a form of the CUDA kernel was compared with torch's FFT on a device."""
    return (form, device) in _VERDICTS


def is_right(form: Form, device: torch.device) -> bool:
    """Return whether a form of the CUDA kernel was compared with torch's FFT on a device, and equals it."""
    return _VERDICTS.get((form, device), "not known") is None


def reject(form: Form, device: torch.device, why: str) -> None:
    """Keep the reason why a form of the CUDA kernel is not used on a device, and warn of the first."""
    known = any(why is not None and key[1] == device for key, why in _VERDICTS.items())
    _VERDICTS[form, device] = why
    if not known:
        warnings.warn(
            f"the CUDA kernel of method='fused' is not used on {device} by this process: {why}; Triton's kernel or "
            "torch's FFT is taken, which is slower",
            RuntimeWarning,
            stacklevel=2,
        )


def passes(
    form: Form, waveform: torch.Tensor, framing: Framing, window: torch.Tensor, one: Wanted, run: Compute
) -> bool:
    """Return whether a form of the CUDA kernel computes on a device what torch's FFT does; find out where not known.

    Args:
        form: of the kernel.
        waveform: of the batch to come, whose device and dtype count.
        framing, window: of the frames, with what scales int16 samples.
        one: the feature, with steps that the kernel takes.
        run: calls the kernel on samples and lengths.
    """
    device = waveform.device
    if not is_checked(form, device):
        try:
            why = _difference(form, waveform, framing, window, one, run)
        except CompilerError as error:
            why = str(error).splitlines()[0][:300]
        if why is None:
            _VERDICTS[form, device] = None
        else:
            reject(form, device, why)
    return verdict(form, device) is None


def _difference(
    form: Form, waveform: torch.Tensor, framing: Framing, window: torch.Tensor, one: Wanted, run: Compute
) -> str | None:
    """Return how a form of the CUDA kernel differs from torch's FFT in float64 on a small batch, or None."""
    samples, lengths = trial(form, waveform)
    with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
        found = run(samples, lengths).double()
        exact, rounded = (
            fft.short_time_powers(
                samples.to(dtype), lengths, framing, window.to(dtype), wanted=[_as(one, dtype)], graph=True
            )[0].double()
            for dtype in (torch.float64, torch.float32)
        )
        if found.shape != exact.shape:
            return f"its shape is {tuple(found.shape)}, not {tuple(exact.shape)}"
        frames = framing.count(lengths)
        own = ~past_of(found.shape[-1], frames)[:, None]  # (row, 1, frame)
        if bool((found != 0).logical_and(~own).any()):
            return "a frame past the end of its row is not 0"
        error = torch.where(own, (found - exact).abs(), 0.0)
        rounding = torch.where(own, (rounded - exact).abs(), 0.0).amax(dim=(0, 2), keepdim=True)
        allowed = (OF_FFT * rounding).clamp(min=_tolerated(one, exact, own))
        if bool((error <= allowed).all()):
            return None
        return f"it differs from torch's FFT by {float(error.nan_to_num(math.inf).max()):.2e} on a small batch"


def trial(form: Form, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return noise for the CUDA kernel's self-check: rows of several lengths, with blocks at their ends and inside.

    Of two rows that have a block inside, one begins where samples can be loaded several at once, the other does not.

    Args:
        form: of the kernel.
        like: a waveform of the dtype and device that are wanted.

    Shape: -> (3, time), (3,).
    """
    plan = form.plan
    time = (3 * plan.frames + 3) * plan.hop_length + plan.n_fft
    time += (2 - time) % 4
    generator = torch.Generator().manual_seed(plan.n_fft)
    noise = torch.randn(len(ROWS), time, generator=generator) / 8
    samples = (noise * 32768).round().clamp(-32768, 32767) if form.short else noise
    lengths = torch.tensor([max(1, int(share * time)) for share in ROWS])
    return samples.to(like.device, like.dtype), lengths.to(like.device)


def _as(one: Wanted, dtype: torch.dtype) -> Wanted:
    steps: list[Step] = []
    for step in one.steps:
        if isinstance(step, FilterBank):
            step = step.with_filters(step.filters.detach().to(dtype))
        elif isinstance(step, Affine):
            step = replace(step, add=step.add.to(dtype), divide=step.divide.to(dtype))
        steps.append(step)
    return one._replace(steps=tuple(steps))


def _tolerated(one: Wanted, exact: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Return by how much each value of the CUDA kernel may be off in its self-check.  Shape: as `exact`."""
    scale, logs = 1.0, False
    for step in one.steps:
        if isinstance(step, Log):
            logs, scale = True, step.factor
        elif isinstance(step, Affine) and logs:
            scale /= float(step.divide.abs().min())
    if logs:
        return torch.full_like(exact, LOG_NATS * scale)
    loudest = torch.where(own, exact.abs(), 0.0).amax(dim=(1, 2), keepdim=True)
    return OF_VALUE * exact.abs() + OF_LOUDEST[one.power] * loudest
