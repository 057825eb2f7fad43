"""What a feature's settings alone ask of the fused kernels: found at a module's first call, kept for the others.

A call of a kernel takes some tens of microseconds, and so may the host's way to it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import torch

from audiofeed.methods.decibels import Log
from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.frame_steps import Affine, Step, Wanted
from audiofeed.methods.frames import Framing
from audiofeed.methods.short_time.fused.cuda_filters import rounds_of
from audiofeed.methods.short_time.fused.cuda_layout import Plan, plan_for
from audiofeed.methods.short_time.fused.cuda_text import Form, Numbers, form_of

MOST_FILTERS = 512
MOST_KEPT = 256
_KEPT: dict[Hashable, Asked] = {}


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


def kind_of(log: Log | None) -> str:
    """Return the kind of a logarithm by its name in a fused kernel."""
    return "" if log is None else "log1p" if log.kind == "log1p" else "ln"


@dataclass(frozen=True, eq=False, kw_only=True)
class Asked:
    """What a feature asks of a fused kernel, whatever its samples and filters are.

    Args:
        n_taken: of its steps, how many a kernel takes, the first ones.
        has_bank: whether the first step is a filter bank.
        is_anywhere: whether the filters of that may be other than zero anywhere.
        n_shifts: of the steps taken, how many are shifts and scales before the logarithm, and after it.
        n_values: filters, or bins.
        plan: of the CUDA kernel; None: it takes no such frames.
        numbers: for the kernels.
        of_float, of_int16: form of the CUDA kernel for samples of either type; None: there is none.
        holds: what the settings were recognized by, which is to live as long.
    """

    n_taken: int
    has_bank: bool
    is_anywhere: bool
    n_shifts: tuple[int, int]
    n_values: int
    plan: Plan | None
    numbers: Numbers
    of_float: Form | None
    of_int16: Form | None
    holds: object = field(repr=False)

    def form(self, dtype: torch.dtype) -> Form | None:
        """Return the form of the CUDA kernel for samples of a type; None: it takes no such frames."""
        return self.of_int16 if dtype == torch.int16 else self.of_float


def asked(framing: Framing, one: Wanted) -> Asked:
    """Return what a feature asks of a fused kernel.

    Args:
        framing: of the frames.
        one: the feature.
    """
    key = (framing, one.power, one.root_offset, tuple(map(_sign, one.steps)))
    found = _KEPT.get(key)
    if found is None:
        if len(_KEPT) >= MOST_KEPT:
            _KEPT.clear()
        found = _KEPT[key] = _find(framing, one)
    return found


def _sign(step: Step) -> Hashable:
    """Return what is the same for a step of one module at each of its calls, and not for another's."""
    if isinstance(step, Log):
        return step
    if isinstance(step, FilterBank):
        return id(step.tiles), step.filters.shape
    return type(step).__name__


def _find(framing: Framing, one: Wanted) -> Asked:
    bank, before, log, after, rest = taken_steps(one.steps)
    n_values = framing.n_fft // 2 + 1 if bank is None else bank.filters.shape[0]
    least = 0.0 if log is None else log.least
    if log is not None and log.kind == "log1p":
        # below 1 in float32, so that there is a logarithm
        least = max(log.least - 1.0, -1.0 + torch.finfo(torch.float32).eps)
    where, under = framing.where, framing.under_window
    numbers = Numbers(
        n_fft=framing.n_fft, hop_length=framing.hop_length, margin=where.margin, extra=where.extra, more=where.more,
        left_out=where.left_out, under=under.start, win_length=under.stop - under.start,
        pad_mode=framing.pad_mode if framing.extends else "constant", remove_dc=framing.remove_dc,
        preemphasis=framing.preemphasis, power=one.power, root_offset=one.root_offset, log=kind_of(log), floor=least,
        factor=1.0 if log is None else log.factor, offset=0.0 if log is None else log.offset, before=len(before),
        after=len(after),
    )  # fmt: skip
    plan = plan_for(framing.n_fft, framing.hop_length)
    forms: list[Form | None] = [None, None]
    if plan is not None:
        rounds = () if bank is None else rounds_of(*bank.supports, plan.parts)
        forms = [form_of(plan, numbers, short=short, n_values=n_values, rounds=rounds) for short in (False, True)]
    return Asked(
        n_taken=len(one.steps) - len(rest), has_bank=bank is not None,
        is_anywhere=bank is not None and bank.tiles is None, n_shifts=(len(before), len(after)), n_values=n_values,
        plan=plan, numbers=numbers, of_float=forms[0], of_int16=forms[1], holds=None if bank is None else bank.tiles,
    )  # fmt: skip
