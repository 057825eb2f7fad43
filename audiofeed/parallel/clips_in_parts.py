"""The clips of a batch computed in parts with a graph, one thread each, and their results in one tensor.

Every part has a graph of its own, and autograd sees them as one node: the parts are dealt to threads again when it goes
backward. See `thread_pool` for the reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch

from audiofeed.parallel.busy_cores import cores_are_busy
from audiofeed.parallel.observed import in_memory, observed
from audiofeed.parallel.thread_pool import alone, deal, parts_of

# from clips (n, ...) and what else there is of each, cut in the same way, to their results (n, ...)
Compute = Callable[..., torch.Tensor]
Part = tuple[torch.Tensor | None, ...]


def is_dealt(clips: torch.Tensor, *, light: bool = False) -> bool:
    """Return whether a batch of clips that a graph is recorded of is to be computed in parts, dealt to threads.

    On cores that nobody else wants torch's own threads are faster, since threads that record graphs hand the
    interpreter to each other at every step. Under `torch.use_deterministic_algorithms` nobody is asked who wants the
    cores, and every batch is dealt: how many parts a parameter's gradient is summed from decides its last bits.

    Args:
        clips: (clips, ...).
        light: a few operations for each value, which take no longer than to deal them out: that is worth it only beside
            busy cores, and in one part, for torch's threads to stay out of it.

    >>> is_dealt(torch.zeros(1, 1, device="meta"))
    False
    """
    if clips.device.type != "cpu" or observed(clips) is not None or torch.get_num_threads() == 1:
        return False
    if torch.are_deterministic_algorithms_enabled():
        return not light and len(parts_of(len(clips), clips.numel())) > 1
    return cores_are_busy()


def compute_in_parts(
    compute: Compute, clips: torch.Tensor, others: Part, parameters: Iterable[torch.Tensor], *, light: bool = False
) -> torch.Tensor:
    """Compute the clips of a batch with a graph in parts, dealt to as many threads as torch has.

    Args:
        compute: from some clips and their `others` to results, (some clips, ...); a clip's result must not depend on
            the others of its part. The last dimension may be longer for some: zeros follow where it is shorter.
        clips: (clips, ...).
        others: each (clips, ...), or None.
        parameters: what autograd is to see beside the clips.
        light: in one part, by the thread that calls, and by that of autograd: see `is_dealt`.

    Returns:
        (clips, ...).

    >>> compute_in_parts(lambda x, n: x * n[:, None], torch.ones(3, 2), (torch.arange(3),), [])[:, 0]
    tensor([0., 1., 2.])
    """
    given = [parameter for parameter in parameters if parameter.requires_grad]
    parts = [slice(0, len(clips), None)] if light else parts_of(len(clips), clips.numel())
    return _InParts.apply(compute, parts, others, clips, *given)


def rows_in_parts(
    compute: Callable[[torch.Tensor, torch.Tensor | None, list[int]], torch.Tensor],
    rows: torch.Tensor,
    lengths: torch.Tensor | None,
    leading: list[int],
    parameters: Iterable[torch.Tensor],
    *,
    light: bool = False,
) -> torch.Tensor:
    """Compute the rows of a batch with a graph in parts of whole clips, dealt to as many threads as torch has.

    Args:
        compute: from some rows, their lengths and their leading dimensions to results, (some rows, ...).
        rows: (rows, ...), of leading dimensions flattened.
        lengths: (rows,), or None.
        leading: the leading dimensions, of which the first is the batch.
        parameters: what autograd is to see beside the rows.
        light: in one part: see `is_dealt`.

    Returns:
        (rows, ...).

    >>> rows_in_parts(lambda rows, lengths, leading: rows * leading[1], torch.ones(6, 1), None, [2, 3], []).sum().item()
    18.0
    """
    batch = leading[0] if leading else 1

    def of_clips(clips: torch.Tensor, own: torch.Tensor | None) -> torch.Tensor:
        found = compute(clips.flatten(0, 1), None if own is None else own.flatten(), list(clips.shape[:2]))
        return found.unflatten(0, clips.shape[:2])

    own = None if lengths is None else lengths.unflatten(0, (batch, -1))
    return compute_in_parts(of_clips, rows.unflatten(0, (batch, -1)), (own,), parameters, light=light).flatten(0, 1)


def _cut(others: Part, part: slice) -> Part:
    return tuple(None if other is None else other[part] for other in others)


def _gathered(work: Callable[[slice], torch.Tensor], parts: list[slice]) -> torch.Tensor:
    """Compute the parts of the clips on threads, and gather their results in one tensor."""
    if len(parts) == 1:
        with alone():
            return work(parts[0]).detach()
    whole: list[torch.Tensor] = []
    shorter: dict[int, torch.Tensor] = {}
    lock = threading.Lock()

    def place(number: int) -> None:
        result = work(parts[number]).detach()
        with lock:
            if not whole:
                whole.append(_for_all(result, parts[-1].stop))
        if whole[0][parts[number]].shape == result.shape:
            whole[0][parts[number]] = result
        else:  # the longest is not known before all are there
            shorter[number] = result

    deal(place, len(parts))
    if not shorter:
        return whole[0]
    longest = max([whole[0].shape[-1], *(result.shape[-1] for result in shorter.values())])
    out = torch.nn.functional.pad(whole[0], (0, longest - whole[0].shape[-1]))
    for number, result in shorter.items():
        out[parts[number]] = torch.nn.functional.pad(result, (0, longest - result.shape[-1]))
    return out


def _for_all(result: torch.Tensor, n_clips: int) -> torch.Tensor:
    """Return memory for the results of all clips, laid out as the result of one part of them."""
    order = sorted(range(1, result.dim()), key=result.stride, reverse=True)
    shape = (n_clips, *(result.shape[dimension] for dimension in order))
    back = [0, *(1 + order.index(dimension) for dimension in range(1, result.dim()))]
    return torch.empty(shape, dtype=result.dtype).permute(back)


class _InParts(torch.autograd.Function):
    """Node of a graph whose clips are computed in parts, each with a graph of its own."""

    @staticmethod
    def forward(
        ctx: Any, compute: Compute, parts: list[slice], others: Part, clips: torch.Tensor, *parameters: torch.Tensor
    ) -> torch.Tensor:
        """Compute the parts of the clips with a graph each, and return the results without one."""
        ctx.compute, ctx.parts, ctx.others = compute, parts, others
        ctx.save_for_backward(clips, *parameters)
        ctx.pieces = {part.start: clips.detach()[part].requires_grad_(clips.requires_grad) for part in parts}
        ctx.results = {}

        def work(part: slice) -> torch.Tensor:
            with torch.enable_grad():
                result = compute(ctx.pieces[part.start], *_cut(others, part))
            ctx.results[part.start] = result
            return result

        gathered = _gathered(work, parts)
        if not any(result.requires_grad for result in ctx.results.values()):
            ctx.mark_non_differentiable(gathered)
        return gathered

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        """Deal the parts of the clips to threads again, for the gradient of each."""
        needed = ctx.needs_input_grad[3:]
        clips, *parameters = ctx.saved_tensors  # once: a checkpoint gives them no second time
        graph = torch.is_grad_enabled()
        # for a gradient of the gradient the graphs of the parts would have to be one, and a batch of gradients is none
        # of clips
        if graph or not in_memory(gradient):
            wanted = [tensor for tensor, is_needed in zip([clips, *parameters], needed, strict=True) if is_needed]
            with torch.enable_grad():
                whole = ctx.compute(clips, *ctx.others)
            found = iter(torch.autograd.grad(whole, wanted, gradient, create_graph=graph, allow_unused=True))
            return None, None, None, *(next(found) if is_needed else None for is_needed in needed)
        wanted_parameters = [p for p, is_needed in zip(parameters, needed[1:], strict=True) if is_needed]
        keep = _keeps_graph()
        of_parts: dict[int, tuple[torch.Tensor | None, ...]] = {}
        whole = len(ctx.parts) == 1  # of which the gradient need not be copied
        of_clips: list[torch.Tensor] = [torch.empty_like(clips)] if needed[0] else []

        def work(number: int) -> None:
            part = ctx.parts[number]
            result = ctx.results[part.start]
            if not result.requires_grad:
                if needed[0]:
                    of_clips[0][part] = 0
                return
            inputs = [ctx.pieces[part.start]] * needed[0] + wanted_parameters
            own = gradient[part][..., : result.shape[-1]]
            grads = torch.autograd.grad(result, inputs, own, retain_graph=keep, allow_unused=True)
            if needed[0] and whole and grads[0] is not None:
                of_clips[0] = grads[0]
            elif needed[0]:
                of_clips[0][part] = 0 if grads[0] is None else grads[0]
            of_parts[number] = grads[int(needed[0]) :]

        deal(work, len(ctx.parts))
        sums = iter([_sum([of_parts[n][i] for n in sorted(of_parts)]) for i in range(len(wanted_parameters))])
        of_parameters = [next(sums) if is_needed else None for is_needed in needed[1:]]
        return None, None, None, of_clips[0] if of_clips else None, *of_parameters


def _sum(found: list[torch.Tensor | None]) -> torch.Tensor | None:
    """Return the sum of the gradients that the parts of the clips give for one parameter, in order."""
    there = [gradient for gradient in found if gradient is not None]
    return sum(there[1:], there[0]) if there else None


def _keeps_graph() -> bool:
    """Return whether the graphs of the clips' parts are to be kept for another time, as far as torch tells."""
    try:
        return bool(torch._C._autograd._get_current_graph_task_keep_graph())
    except AttributeError:
        return True
