"""Short-time features by a fused kernel on a GPU: which it can compute, and how they are asked of it.

There are two kernels: that in CUDA, and that in Triton for what the first cannot, or where it cannot be compiled.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from audiofeed.methods.decibels import Log
from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.frame_steps import Affine, Step, Wanted, through
from audiofeed.methods.frames import Framing
from audiofeed.methods.short_time import fft
from audiofeed.methods.short_time.fused.cuda_layout import plan_for
from audiofeed.methods.short_time.fused.layout import split_for
from audiofeed.parallel.observed import observed

if TYPE_CHECKING:
    from audiofeed.methods.short_time.fused.cuda_text import Form

MOST_FILTERS = 512
MOST_VALUES = 2**31 - 1  # of a row: the kernel counts them in 32 bits
OLDEST = (8, 0)  # the compute capability from which on there are TF32 and bfloat16
DEVICE = "cuda"
COMPILED_FOR = ("cuda",)  # devices of whose tensors a compiler keeps the kernels as one operator
MOST_TOGETHER = 2  # features of one spectrum: the kernel computes it for each, torch's FFT once in 2.5 times the time
_FAILED: dict[torch.device, str] = {}  # why Triton's kernel could not be launched on a device


def cannot(*, trainable: bool, n_fft: int | None = None, power: float | None = 2.0, **needs: object) -> str | None:
    """Return the reason why settings of short-time spectra do not fit the fused kernel, or None."""
    if trainable:
        return "trainable=True: the fused kernel has no basis to train; use method='conv' or 'auto'"
    if power not in (1.0, 2.0):
        return f"power={power}: the fused kernel computes magnitudes and their squares; use method='fft' or 'auto'"
    why = None if n_fft is None else _missing(n_fft)
    return None if why is None else f"n_fft={n_fft}: {why}; use method='fft' or 'auto'"


def _missing(n_fft: int) -> str | None:
    """Return the reason why neither kernel takes frames of a length here, or None."""
    by_triton, by_cuda = split_for(n_fft) is not None, plan_for(n_fft, n_fft) is not None
    if not (by_triton or by_cuda):
        return f"n_fft={n_fft} is odd, too long, or has no factors that fit the fused kernel"
    if (by_triton and _installed()) or (by_cuda and _built_for_cuda()):
        return None
    return "triton is not installed" + (", and torch was built without CUDA" if by_cuda else "")


def _built_for_cuda() -> bool:
    return torch.version.cuda is not None


@functools.cache
def _installed() -> bool:
    return importlib.util.find_spec("triton") is not None


def leaves(
    waveform: torch.Tensor,
    framing: Framing,
    window: torch.Tensor,
    *,
    graph: bool,
    wanted: Sequence[Wanted] | None = None,
) -> str | None:
    """Return the reason why "auto" leaves a batch that the fused kernel may compute to another method, or None.

    It is empty on another device than a GPU, for which the kernel is not made.
    """
    if waveform.device.type != DEVICE:
        return ""
    if graph:
        return "a graph is recorded, and only torch's FFT can be differentiated twice"
    if wanted is not None and len(wanted) > MOST_TOGETHER:
        return f"{len(wanted)} features of one spectrum, which torch's FFT computes once"
    forms = [] if wanted is None else [_cuda_form(waveform, framing, one) for one in wanted]
    without = any(isinstance(form, str) for form in forms)
    if wanted is not None and without and any(taken_steps(one.steps)[0] is None for one in wanted):
        # by Triton's kernel, on an H200, faster than the FFT for frames of 400 and 1,024 samples, and slower for 512:
        # launch settings are chosen with filters
        return "powers without filters, which are not faster for every n_fft"
    watching = observed(waveform)
    if watching is not None:
        return f"{watching} follows the operations"
    return _unready(waveform.device, framing.n_fft, forms)


def _unready(device: torch.device, n_fft: int, forms: Sequence[Form | str]) -> str | None:
    """Return the reason why a CUDA graph that is being captured should not be the first to use the kernel, or None."""
    if not _capturing(device):
        return None
    from audiofeed.methods.short_time.fused import self_check

    if forms and all(not isinstance(form, str) and self_check.is_checked(form, device) for form in forms):
        return None
    from audiofeed.methods.short_time.fused.launch import has_run

    return None if has_run(split_for(n_fft), device) else "a CUDA graph is captured before the kernel was compiled"


def _capturing(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def cannot_now(
    waveform: torch.Tensor,
    framing: Framing,
    window: torch.Tensor,
    *,
    graph: bool,
    wanted: Sequence[Wanted] | None = None,
) -> str | None:
    """Return the reason why the fused kernel cannot compute the short-time features of a batch, or None."""
    if wanted is None:
        return "a complex spectrum, and the fused kernel computes powers"
    if torch.compiler.is_compiling():  # which cannot follow the search for a kernel: the operator makes it
        why = _unfit(waveform, graph=False) or (
            None if waveform.device.type in COMPILED_FOR else f"a tensor on {waveform.device.type}"
        )
        return why or _too_large(waveform, framing, wanted)
    why = _unfit(waveform, graph=graph) or _missing(framing.n_fft)
    if why is None:
        why = _unfit_for_both(waveform, framing, wanted)
    return why or _too_large(waveform, framing, wanted)


def _too_large(waveform: torch.Tensor, framing: Framing, wanted: Sequence[Wanted]) -> str | None:
    """Return the reason why no fused kernel computes features of a batch, whatever its settings, or None."""
    if any(one.power not in (1.0, 2.0) for one in wanted):
        return "a power other than 1 and 2"
    time, most = waveform.shape[-1], framing.n_fft // 2 + 1
    for one in wanted:
        bank = taken_steps(one.steps)[0]
        most = most if bank is None else max(most, bank.filters.shape[0])
    if max(time, most * framing.count(time)) > MOST_VALUES // 2:
        return f"a row of {time} samples is too long"
    return None


def _unfit(waveform: torch.Tensor, *, graph: bool) -> str | None:
    """Return the reason why the fused kernel takes no such waveform, or None."""
    if waveform.dtype not in (torch.float32, torch.int16):
        return str(waveform.dtype).removeprefix("torch.")
    if graph and observed(waveform) is not None:
        return f"{observed(waveform)} follows the operations"
    return None


def _unfit_for_both(waveform: torch.Tensor, framing: Framing, wanted: Sequence[Wanted]) -> str | None:
    """Return the reason why neither the CUDA kernel nor Triton's takes such a waveform, or None."""
    forms = [_cuda_form(waveform, framing, one) for one in wanted]
    by_cuda = [form for form in forms if isinstance(form, str)]
    by_triton = _unfit_for_triton(waveform, framing) if by_cuda else None
    if by_triton is None:
        return None
    from audiofeed.methods.short_time.fused import cuda_launch

    return f"{by_cuda[0]}; {by_triton}" if cuda_launch.unreachable(waveform.device) is None else by_triton


def _unfit_for_triton(waveform: torch.Tensor, framing: Framing) -> str | None:
    """Return the reason why Triton's kernel takes no such waveform, or None."""
    if split_for(framing.n_fft) is None:
        why = f"n_fft={framing.n_fft} is too long, or has no factors that fit Triton's kernel"
        return why if waveform.device.type == "cuda" else f"a tensor on {waveform.device.type}"
    if not _installed():
        return "triton is not installed"
    if waveform.device.type == "cpu":
        from audiofeed.methods.short_time.fused import triton_kernel

        return _FAILED.get(waveform.device) if triton_kernel.interpreted() else "a tensor on cpu"
    if waveform.device.type != "cuda":
        return f"a tensor on {waveform.device.type}"
    capability = torch.cuda.get_device_capability(waveform.device)
    return f"compute capability {capability} is below {OLDEST}" if capability < OLDEST else _FAILED.get(waveform.device)


def _cuda_form(waveform: torch.Tensor, framing: Framing, one: Wanted) -> Form | str:
    """Return the form of the CUDA kernel for a feature, or the reason why that kernel is not taken."""
    from audiofeed.methods.short_time.fused import cuda_launch, self_check

    why = cuda_launch.unreachable(waveform.device)
    if why is not None:
        return why
    bank, before, log, after, _ = taken_steps(one.steps)
    if bank is not None and bank.tiles is None and split_for(framing.n_fft) is not None and _installed():
        return "filters that may be anywhere, as those that train are: faster by the products of Triton's kernel"
    plan, under = plan_for(framing.n_fft, framing.hop_length), framing.under_window
    if plan is None:
        return f"n_fft={framing.n_fft}, hop_length={framing.hop_length} do not fit the CUDA kernel"
    form = cuda_launch.form_of(
        plan,
        short=waveform.dtype == torch.int16,
        pad_mode=framing.pad_mode if framing.extends else "constant",
        remove_dc=framing.remove_dc,
        preemphasis=framing.preemphasis,
        power=one.power,
        root_offset=one.root_offset,
        log=_kind(log),
        offset=0.0 if log is None else log.offset,
        under=under.start,
        win_length=under.stop - under.start,
        n_values=framing.n_fft // 2 + 1 if bank is None else bank.filters.shape[0],
        rounds=cuda_launch.rounds_for(bank, plan),
        before=len(before),
        after=len(after),
    )
    return self_check.verdict(form, waveform.device) or form


def _kind(log: Log | None) -> str:
    """Return the kind of a logarithm by its name in a fused kernel."""
    return "" if log is None else "log1p" if log.kind == "log1p" else "ln"


def short_time_spectrum(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, window: torch.Tensor, *, graph: bool
) -> torch.Tensor | None:
    """Return None: complex short-time spectra are not computed by the fused kernel."""
    return None


def short_time_powers(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    *,
    wanted: Sequence[Wanted],
    graph: bool,
) -> list[torch.Tensor] | None:
    """Compute one or several powers of |STFT| by the fused kernel, each through its steps.

    See `fft.short_time_powers`. The kernel takes as many of the first steps as it can; the others follow. With a
    graph the gradient is that of torch's FFT, computed anew from the samples. Where the kernel cannot be compiled or
    launched (Triton needs a C compiler), the result is None, which one warning says for each device.
    """
    if torch.compiler.is_compiling():
        from audiofeed.methods.short_time.fused_operator import features  # with the operator, which takes its time

        found = [(features(waveform, lengths, framing, window, _taken(one)), one) for one in wanted]
        return [_through_rest(made, one) for made, one in found]
    if _by_cuda(waveform, framing, window, wanted):
        from audiofeed.methods.short_time.fused import nvrtc, self_check

        try:
            return _powers(waveform, lengths, framing, window, wanted=wanted, graph=graph, by_cuda=True)
        except nvrtc.CompilerError as error:
            form = _cuda_form(waveform, framing, wanted[0])
            if not isinstance(form, str):
                self_check.reject(form, waveform.device, str(error).splitlines()[0][:300])
    if _unfit_for_triton(waveform, framing) is not None:
        return None
    from audiofeed.methods.short_time.fused.launch import LaunchError  # with Triton, which takes its time

    try:
        return _powers(waveform, lengths, framing, window, wanted=wanted, graph=graph, by_cuda=False)
    except LaunchError as error:
        _remember(waveform.device, str(error))
        return None


def _by_cuda(waveform: torch.Tensor, framing: Framing, window: torch.Tensor, wanted: Sequence[Wanted]) -> bool:
    """Return whether the CUDA kernel computes all of some features; at first it is compared with torch's FFT."""
    from audiofeed.methods.short_time.fused import self_check

    for one in wanted:
        form = _cuda_form(waveform, framing, one)
        if isinstance(form, str):
            return False
        if not self_check.is_checked(form, waveform.device) and _capturing(waveform.device):
            return False  # which compares nothing, since it runs nothing
        own = _taken(one)

        def run(samples: torch.Tensor, lengths: torch.Tensor, own: Wanted = own) -> torch.Tensor:
            return _features(samples, lengths, framing, window, own, by_cuda=True)

        if not self_check.passes(form, waveform, framing, window, own, run):
            return False
    return True


def _remember(device: torch.device, why: str) -> None:
    """Keep the reason why the fused kernel cannot be launched on a device, and warn of the first."""
    if _FAILED.setdefault(device, why) is why:
        warnings.warn(
            f"method='fused' cannot be used on {device} by this process: {why}; method='auto' takes torch's FFT, "
            "which is slower. Triton needs a C compiler (gcc or clang, or the variable CC) and Python's headers",
            RuntimeWarning,
            stacklevel=2,
        )


def _powers(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    *,
    wanted: Sequence[Wanted],
    graph: bool,
    by_cuda: bool,
) -> list[torch.Tensor]:
    found = []
    for one in wanted:
        bank, own = taken_steps(one.steps)[0], _taken(one)
        if graph:
            filters = None if bank is None else bank.filters
            features = _Recomputed.apply(waveform, window, filters, lengths, framing, own, by_cuda)
        else:
            features = _features(waveform, lengths, framing, window, own, by_cuda=by_cuda)
        found.append(_through_rest(features, one))
    return found


def _through_rest(features: torch.Tensor, one: Wanted) -> torch.Tensor:
    """Take features of a fused kernel through the steps that it does not take.  Shape: (rows, values, frames)."""
    rest = taken_steps(one.steps)[-1]
    return through(rest, features.transpose(1, 2), None).transpose(1, 2) if rest else features


def _taken(one: Wanted) -> Wanted:
    """Return a feature with the steps alone that a fused kernel takes."""
    rest = taken_steps(one.steps)[-1]
    return one._replace(steps=one.steps[: len(one.steps) - len(rest)])


class _Recomputed(torch.autograd.Function):
    """The fused kernel with a gradient: nothing is kept but the samples, of which the FFT is computed again."""

    @staticmethod
    def forward(
        ctx: Any,
        waveform: torch.Tensor,
        window: torch.Tensor,
        filters: torch.Tensor | None,
        lengths: torch.Tensor | None,
        framing: Framing,
        wanted: Wanted,
        by_cuda: bool,
    ) -> torch.Tensor:
        ctx.save_for_backward(waveform, window, filters, lengths)
        ctx.framing, ctx.wanted = framing, wanted
        return _features(waveform, lengths, framing, window, wanted, by_cuda=by_cuda)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        waveform, window, filters, lengths = ctx.saved_tensors
        each = gradients(waveform, window, filters, lengths, ctx.framing, ctx.wanted, ctx.needs_input_grad, grad)
        return (*each, None, None, None, None)


def gradients(
    waveform: torch.Tensor,
    window: torch.Tensor,
    filters: torch.Tensor | None,
    lengths: torch.Tensor | None,
    framing: Framing,
    wanted: Wanted,
    needed: Sequence[bool],
    grad: torch.Tensor,
) -> list[torch.Tensor | None]:
    """Compute the gradients of a feature of a fused kernel to waveform, window and filters, by torch's FFT.

    Args:
        waveform, window, filters, lengths, framing, wanted: of the feature.
        needed: of the first three, which gradients are.
        grad: the feature's own.
    """
    leaves: list[Any] = [
        None if one is None else one.detach().requires_grad_(need)
        for one, need in zip((waveform, window, filters), needed, strict=False)
    ]
    if leaves[2] is not None:
        wanted = wanted._replace(steps=(replace(wanted.steps[0], filters=leaves[2]), *wanted.steps[1:]))
    with torch.enable_grad(), torch.autocast(grad.device.type, enabled=False):
        features = fft.short_time_powers(leaves[0], lengths, framing, leaves[1], wanted=[wanted], graph=True)[0]
        wrt = [one for one in leaves if one is not None and one.requires_grad]
        found = iter(torch.autograd.grad(features, wrt, grad.to(features.dtype)))
    return [next(found) if one is not None and one.requires_grad else None for one in leaves]


def _features(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    wanted: Wanted,
    *,
    by_cuda: bool,
) -> torch.Tensor:
    bank, before, log, after, _ = taken_steps(wanted.steps)
    n_values = framing.n_fft // 2 + 1 if bank is None else bank.filters.shape[0]
    least = 0.0 if log is None else log.least
    if log is not None and log.kind == "log1p":
        # below 1 in float32, so that there is a logarithm
        least = max(log.least - 1.0, -1.0 + torch.finfo(torch.float32).eps)
    under, where = framing.under_window, framing.where
    shifts = shifts_of(wanted, framing)
    numbers = (
        framing.count(waveform.shape[-1]),
        framing.n_fft,
        framing.hop_length,
        where.margin,
        where.extra,
        where.more,
        where.left_out,
        under.start,
        under.stop - under.start,
        framing.pad_mode if framing.extends else "constant",
        framing.remove_dc,
        framing.preemphasis,
        wanted.power,
        wanted.root_offset,
        _kind(log),
        least,
        1.0 if log is None else log.factor,
        0.0 if log is None else log.offset,
        len(before),
        len(after),
    )
    if by_cuda:
        from audiofeed.methods.short_time.fused.cuda_launch import cuda_features, packed, rounds_for

        plan = plan_for(framing.n_fft, framing.hop_length)
        if plan is None:
            raise ValueError(f"n_fft={framing.n_fft} has no CUDA kernel; use method='fft'")
        weights, spans = (None, None) if bank is None else packed(bank, plan, wanted.power)
        rounds = rounds_for(bank, plan)
        return cuda_features(waveform, lengths, window, weights, spans, shifts, rounds, n_values, *numbers)
    from audiofeed.methods.short_time.fused.launch import fused_features

    return fused_features(waveform, lengths, window, None if bank is None else bank.filters, shifts, *numbers)


def shifts_of(wanted: Wanted, framing: Framing) -> torch.Tensor | None:
    """Return the shifts and scales among the steps that a fused kernel takes.  Shape: -> (steps, 2, values) or None."""
    bank, before, _, after, _ = taken_steps(wanted.steps)
    n_values = framing.n_fft // 2 + 1 if bank is None else bank.filters.shape[0]
    affine = [value.float().expand(n_values) for step in (*before, *after) for value in (step.add, step.divide)]
    return torch.stack(affine).view(-1, 2, n_values) if affine else None


def taken_steps(
    steps: Sequence[Step],
) -> tuple[FilterBank | None, list[Affine], Log | None, list[Affine], Sequence[Step]]:
    """Split the steps after a power into those that the fused kernel takes, and the others.

    Returns:
        The filter bank, shifts and scales, the logarithm, shifts and scales after it, and the remaining steps.
    """
    bank = steps[0] if steps and isinstance(steps[0], FilterBank) else None
    if bank is not None and bank.filters.shape[0] > MOST_FILTERS:
        return None, [], None, [], steps
    log: Log | None = None
    parts: tuple[list[Affine], list[Affine]] = ([], [])
    start = int(bank is not None)
    for taken, step in enumerate(steps[start:], start):
        if isinstance(step, Affine):
            parts[log is not None].append(step)
        elif isinstance(step, Log) and log is None:
            log = step
        else:
            return bank, parts[0], log, parts[1], steps[taken:]
    return bank, parts[0], log, parts[1], ()
