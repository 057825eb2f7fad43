"""An augmentation's work clip by clip on a CPU: each as long as it is itself, and those left out cost nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from audiofeed.augment.contract.clips import Clips
from audiofeed.parallel.observed import observed
from audiofeed.parallel.thread_pool import alone, deal


def may_look(clips: Clips) -> bool:
    """Return True if an augmentation may read lengths and draws: the clips are on a CPU, and nothing observes them.

    >>> may_look(Clips(torch.zeros(1, 4), torch.tensor([4]), torch.tensor([0])))
    True
    """
    tensors = (clips.waveforms, clips.lengths, clips.seeds)
    return all(values.device.type == "cpu" for values in tensors) and observed(*tensors) is None


def changed_rows(
    clips: Clips,
    active: torch.Tensor,
    change: Callable[[int, torch.Tensor], torch.Tensor],
    lengths: torch.Tensor | None = None,
    size: int | None = None,
) -> Clips:
    """Return the clips with an augmentation's waveforms, computed for one active clip after another.

    What comes out for a clip cannot depend on the batch, and its intermediates stay in the CPU's cache. It is for clips
    of which `may_look` is True.

    Args:
        clips: The clips.
        active: (batch,) bool, the clips to change.
        change: Called in any thread, with one of torch's threads, with a clip's row and its waveform without padding,
            ([channel,] time); returns the new one, as long as `lengths` says.
        lengths: (batch,) samples of each clip afterwards; None: as before.
        size: Samples that the clips are padded to afterwards; None: as before.

    >>> clips = Clips(torch.ones(2, 3), torch.tensor([2, 3]), torch.tensor([0, 1]))
    >>> changed_rows(clips, torch.tensor([True, False]), lambda row, waveform: -waveform).waveforms
    tensor([[-1., -1.,  0.],
            [ 1.,  1.,  1.]])
    """
    waveforms = clips.waveforms
    before, drawn = clips.lengths.tolist(), active.tolist()
    after = before if lengths is None else lengths.tolist()
    width = clips.size if size is None else size
    if waveforms.requires_grad and torch.is_grad_enabled():
        # a product's last bits depend on how many of torch's threads share it
        with alone():
            rows = [
                _fitted(change(row, waveforms[row, ..., : before[row]]) if drawn[row] else waveforms[row], width)
                for row in range(clips.batch)
            ]
        result = torch.stack(rows).to(waveforms.dtype)
    else:
        result = _fitted(waveforms, width) if width != clips.size else waveforms.clone()
        active_rows = [row for row in range(clips.batch) if drawn[row]]

        def work(number: int) -> None:
            row = active_rows[number]
            result[row, ..., : after[row]] = change(row, waveforms[row, ..., : before[row]])
            result[row, ..., after[row] :] = 0

        deal_without_graph(work, len(active_rows))
    return clips.with_values(waveforms=result, lengths=clips.lengths if lengths is None else lengths)


def deal_without_graph(work: Callable[[int], None], parts: int) -> None:
    """Deal the parts of an augmentation's work to threads, in the caller's modes: without a graph, or for inference.

    Args:
        work: Computes the part of a number.
        parts: How many there are.

    >>> done = []
    >>> deal_without_graph(done.append, 3)
    >>> sorted(done)
    [0, 1, 2]
    """
    inference = torch.is_inference_mode_enabled()

    def in_modes(number: int) -> None:
        with torch.inference_mode(inference), torch.no_grad():
            work(number)

    deal(in_modes, parts)


def _fitted(waveforms: torch.Tensor, size: int) -> torch.Tensor:
    """Pad an augmentation's waveforms with zeros, or cut them, to so many samples."""
    missing = size - waveforms.shape[-1]
    return F.pad(waveforms, (0, missing)) if missing > 0 else waveforms[..., :size]
