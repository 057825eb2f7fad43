"""An augmentation's work on a CPU by groups of clips, dealt to threads: what is computed of a group stays in cache."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from audiofeed.augment.contract.by_row import deal_without_graph
from audiofeed.augment.contract.clips import Clips
from audiofeed.parallel.thread_pool import deal


def changed_groups(
    clips: Clips, active: torch.Tensor, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], most: int = 8
) -> Clips:
    """Return the clips with an augmentation's waveforms, computed for some of the active clips at a time.

    It is for clips of which `by_row.may_look` is True. A clip's result must not depend on the others of its group, nor
    on how far the group is padded.

    Args:
        clips: The clips.
        active: (batch,) bool, the clips to change.
        change: Called in any thread, with one of torch's threads, with the rows of a group (some,) and their waveforms
            (some, [channel,] time), padded to the longest of them; returns the new ones, 0 past each clip's end.
        most: Clips of a group.

    >>> clips = Clips(torch.ones(2, 3), torch.tensor([2, 3]), torch.tensor([0, 1]))
    >>> changed_groups(clips, torch.tensor([False, True]), lambda rows, waveforms: -waveforms).waveforms
    tensor([[ 1.,  1.,  1.],
            [-1., -1., -1.]])
    """
    waveforms, lengths = clips.waveforms, clips.lengths
    rows = active.nonzero()[:, 0]
    groups = list(rows.split(most)) if rows.numel() else []
    if not groups:
        return clips
    graph = torch.is_grad_enabled() and waveforms.requires_grad
    result = waveforms if graph else waveforms.detach().clone()
    made = list(groups)

    def work(number: int) -> None:
        own = groups[number]
        width = int(lengths[own].max())
        found = change(own, waveforms[own, ..., :width])
        if graph:
            made[number] = F.pad(found, (0, clips.size - width))
            return
        for row, waveform in zip(own.tolist(), found, strict=True):
            result[row, ..., :width] = waveform
            result[row, ..., width:] = 0

    def with_graph(number: int) -> None:
        with torch.enable_grad():
            work(number)

    if graph:
        deal(with_graph, len(groups))
    else:
        deal_without_graph(work, len(groups))
    if graph:
        result = waveforms.index_copy(0, rows, torch.cat(made).to(waveforms.dtype))
    return clips.with_values(waveforms=result)
