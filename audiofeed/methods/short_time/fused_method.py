"""Short-time features by a fused kernel on a GPU: which it can compute, and how they are asked of it.

There are two kernels: that in CUDA, and that in Triton for what the first cannot, or where it cannot be compiled.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.frame_steps import Step, Wanted, through
from audiofeed.methods.frames import Framing
from audiofeed.methods.lengths import note_clear
from audiofeed.methods.short_time import fft
from audiofeed.methods.short_time.fused.asked import Asked, asked, taken_steps
from audiofeed.methods.short_time.fused.cuda_layout import plan_for
from audiofeed.methods.short_time.fused.layout import split_for
from audiofeed.parallel.observed import observed

if TYPE_CHECKING:
    from audiofeed.methods.short_time.fused.cuda_text import Form

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
    if wanted is not None and without and not all(asked(framing, one).has_bank for one in wanted):
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
        if torch.compiler.is_compiling():  # which cannot follow what is kept of settings
            bank = taken_steps(one.steps)[0]
            most = most if bank is None else max(most, bank.filters.shape[0])
        else:
            most = max(most, asked(framing, one).n_values)
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
    from audiofeed.methods.short_time.fused import cuda_launch

    capability = cuda_launch.capability(waveform.device)
    return f"compute capability {capability} is below {OLDEST}" if capability < OLDEST else _FAILED.get(waveform.device)


def _cuda_form(waveform: torch.Tensor, framing: Framing, one: Wanted) -> Form | str:
    """Return the form of the CUDA kernel for a feature, or the reason why that kernel is not taken."""
    from audiofeed.methods.short_time.fused import cuda_launch, self_check

    why = cuda_launch.unreachable(waveform.device)
    if why is not None:
        return why
    own = asked(framing, one)
    if own.is_anywhere and split_for(framing.n_fft) is not None and _installed():
        return "filters that may be anywhere, as those that train are: faster by the products of Triton's kernel"
    form = own.form(waveform.dtype)
    if form is None:
        return f"n_fft={framing.n_fft}, hop_length={framing.hop_length} do not fit the CUDA kernel"
    return self_check.verdict(form, waveform.device) or form


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

        split = [_split(one, len(one.steps) - len(taken_steps(one.steps)[-1])) for one in wanted]
        return [_through(rest, features(waveform, lengths, framing, window, own)) for own, rest in split]
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


def by_known_kernel(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    wanted: Sequence[Wanted],
) -> list[torch.Tensor] | None:
    """Compute one feature by the CUDA kernel without a graph, where an earlier call found it to be right.

    It answers at once all that `leaves`, `cannot_now` and `short_time_powers` ask one after another, which takes the
    host longer than the kernel takes a card. None where one of the answers is not known, or another than yes.

    Args:
        waveform, lengths, framing, window, wanted: see `short_time_powers`.

    Returns:
        For the one that is wanted (rows, features, frames).
    """
    if waveform.device.type != DEVICE or len(wanted) != 1 or waveform.dtype not in (torch.float32, torch.int16):
        return None
    if torch.compiler.is_compiling() or observed(waveform) is not None or _too_large(waveform, framing, wanted):
        return None
    one = wanted[0]
    of_kernel = asked(framing, one)
    form = of_kernel.form(waveform.dtype)
    if form is None or (of_kernel.is_anywhere and split_for(framing.n_fft) is not None):
        return None
    from audiofeed.methods.short_time.fused import cuda_launch, self_check

    device = waveform.device
    if not self_check.is_right(form, device) or cuda_launch.unreachable(device) is not None:
        return None
    own, rest = _split(one, of_kernel.n_taken)
    try:
        features = _features(waveform, lengths, framing, window, own, of_kernel, by_cuda=True)
    except self_check.CompilerError:
        return None  # which the way of all others finds, too, and says
    return [_followed(features, rest, lengths)]


def _by_cuda(waveform: torch.Tensor, framing: Framing, window: torch.Tensor, wanted: Sequence[Wanted]) -> bool:
    """Return whether the CUDA kernel computes all of some features; at first it is compared with torch's FFT."""
    from audiofeed.methods.short_time.fused import self_check

    for one in wanted:
        form = _cuda_form(waveform, framing, one)
        if isinstance(form, str):
            return False
        if self_check.is_checked(form, waveform.device):
            continue
        if _capturing(waveform.device):
            return False  # which compares nothing, since it runs nothing
        of_kernel = asked(framing, one)
        own, _ = _split(one, of_kernel.n_taken)

        def run(samples: torch.Tensor, lengths: torch.Tensor, own: Wanted = own, of: Asked = of_kernel) -> torch.Tensor:
            return _features(samples, lengths, framing, window, own, of, by_cuda=True)

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
        of_kernel = asked(framing, one)
        own, rest = _split(one, of_kernel.n_taken)
        if graph:
            filters = _bank_of(own).filters if of_kernel.has_bank else None
            features = _Recomputed.apply(waveform, window, filters, lengths, framing, own, by_cuda)
        else:
            features = _features(waveform, lengths, framing, window, own, of_kernel, by_cuda=by_cuda)
        # with a graph, the gradient past the ends is to be cleared, too
        found.append(_through(rest, features) if graph else _followed(features, rest, lengths))
    return found


def _followed(features: torch.Tensor, rest: Sequence[Step], lengths: torch.Tensor | None) -> torch.Tensor:
    """Take features of a fused kernel without a graph through the other steps; without such, they are clear."""
    if rest:
        return _through(rest, features)
    if lengths is not None:
        note_clear(lengths, features)
    return features


def _through(rest: Sequence[Step], features: torch.Tensor) -> torch.Tensor:
    """Take features of a fused kernel through the steps that it does not take.  Shape: (rows, values, frames)."""
    return through(rest, features.transpose(1, 2), None).transpose(1, 2) if rest else features


def _split(one: Wanted, n_taken: int) -> tuple[Wanted, Sequence[Step]]:
    """Return a feature with the first steps alone, those that a fused kernel takes, and the others."""
    if n_taken == len(one.steps):
        return one, ()
    return one._replace(steps=one.steps[:n_taken]), one.steps[n_taken:]


def _bank_of(own: Wanted) -> FilterBank:
    """Return the filter bank that a feature begins with, which a fused kernel takes first."""
    bank = own.steps[0]
    if not isinstance(bank, FilterBank):
        raise AssertionError("only for features that begin with one")
    return bank


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
        return _features(waveform, lengths, framing, window, wanted, asked(framing, wanted), by_cuda=by_cuda)

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
        wanted = wanted._replace(steps=(_bank_of(wanted).with_filters(leaves[2]), *wanted.steps[1:]))
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
    own: Asked,
    *,
    by_cuda: bool,
) -> torch.Tensor:
    bank = _bank_of(wanted) if own.has_bank else None
    shifts = shifts_of(wanted, own.n_values) if any(own.n_shifts) else None
    n_frames = framing.count(waveform.shape[-1])
    if by_cuda:
        from audiofeed.methods.short_time.fused.cuda_launch import launch, packed

        form = own.form(waveform.dtype)
        if form is None:
            raise ValueError(f"n_fft={framing.n_fft} has no CUDA kernel; use method='fft'")
        weights, spans = (None, None) if bank is None else packed(bank, form.plan, wanted.power)
        return launch(form, own.numbers, waveform, lengths, window, weights, spans, shifts, n_frames)
    from audiofeed.methods.short_time.fused.launch import fused_features

    filters = None if bank is None else bank.filters
    return fused_features(waveform, lengths, window, filters, shifts, n_frames, *own.numbers)


def shifts_of(wanted: Wanted, n_values: int) -> torch.Tensor | None:
    """Return the shifts and scales among the steps that a fused kernel takes.  Shape: -> (steps, 2, values) or None."""
    _, before, _, after, _ = taken_steps(wanted.steps)
    affine = [value.float().expand(n_values) for step in (*before, *after) for value in (step.add, step.divide)]
    return torch.stack(affine).view(-1, 2, n_values) if affine else None
