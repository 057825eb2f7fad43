"""Short-time spectra by machine code made for the settings at hand: see `kernel`.

Where LLVM has no kernel for a request after all, the functions return None.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch

from audiofeed.methods.decibels import Log
from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.frame_steps import Affine, Step, Wanted, through
from audiofeed.methods.frames import Framing, Place
from audiofeed.methods.lengths import note_clear
from audiofeed.methods.short_time.fft import finished, gathered
from audiofeed.methods.short_time.kernel import guard, limits
from audiofeed.methods.short_time.kernel.layout import NO_TAIL, FrameLayout, Tail
from audiofeed.methods.short_time.kernel_gradient import Feature, with_gradient
from audiofeed.methods.waveform.pre_emphasis import Emphasis
from audiofeed.methods.workspace import Workspace

# Weights for each bin up to which a kernel's filters are faster than a product of its powers. Mel filters have two.
FEW_WEIGHTS = 8


def cannot(*, trainable: bool, n_fft: int | None = None, named: bool = False, **needs: object) -> str | None:
    """Return the reason why short-time spectra cannot be computed by kernels, as far as the settings tell, or None."""
    if trainable:
        return "trainable=True: a kernel has no basis to train; use method='conv' or 'auto'"
    # LLVM takes 70 MB, so that it is asked only where the caller names this method
    if named and n_fft is not None:
        why = limits.missing(n_fft)
        return None if why is None else f"n_fft={n_fft}: {why}; use method='fft' or 'auto'"
    return None


def cannot_now(
    waveform: torch.Tensor,
    framing: Framing,
    window: torch.Tensor,
    *,
    graph: bool,
    wanted: Sequence[Wanted] | None = None,
) -> str | None:
    """Return the reason why kernels cannot compute the short-time spectra of a batch of waveforms, or None."""
    why = guard.watched(waveform) or guard.watched(window)
    if why is None and graph and window.requires_grad:
        why = "the window is trained"
    return why or limits.missing(framing.n_fft)


def says(
    waveform: torch.Tensor,
    framing: Framing,
    window: torch.Tensor,
    *,
    graph: bool,
    wanted: Sequence[Wanted] | None = None,
) -> str:
    """Return as text the number of frames that kernels of short-time spectra compute at once."""
    return f"{limits.lanes_for(framing.n_fft)} frames at a time"


def frames_of(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    emphasis: Emphasis | None = None,
) -> FrameLayout | None:
    """Return the frames of batched rows for kernels of short-time spectra; None without kernels for their length.

    Shape: waveform (rows, time), lengths (rows,) or None, window (n_fft,).
    """
    lanes = limits.lanes_for(framing.n_fft)
    return FrameLayout(waveform, lengths, framing, window, lanes, emphasis) if lanes else None


def emphasized_powers(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    *,
    wanted: Wanted,
    emphasis: Emphasis,
) -> torch.Tensor | None:
    """Compute a power of |STFT| of batched waveforms after pre-emphasis by machine-code kernels, through its steps.

    None where they do not take all steps, or the waveform: see `can_emphasize`.

    Shape: waveform (rows, time) and lengths (rows,) before pre-emphasis -> (rows, features, frames).
    """
    frames = frames_of(waveform, lengths, framing, window, emphasis)
    return None if frames is None else _whole(frames, wanted)


def can_emphasize(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, window: torch.Tensor, wanted: Wanted
) -> bool:
    """Return whether kernels can compute the pre-emphasis of batched waveforms with a power of their |STFT|.

    Shape: waveform (..., time) before pre-emphasis, lengths (batch,) or None.
    """
    if cannot_now(waveform, framing, window, graph=False) is not None or (wanted.steps and _in_kernel(wanted)[2]):
        return False
    shortest = waveform.shape[-1] if lengths is None else int(lengths.min())
    # with one sample less there are still two, and as many as a frame must have
    long = shortest > max(framing.least, 2)
    return long and not framing.shapes and waveform.dtype == torch.float32


def short_time_spectrum(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, window: torch.Tensor, *, graph: bool
) -> torch.Tensor | None:
    """Compute complex short-time spectra of batched waveforms by machine-code kernels.

    See `fft.short_time_spectrum`.
    """
    frames = frames_of(waveform, lengths, framing, window)
    spectrum = None if frames is None else frames.spectrum()
    if spectrum is None:
        return None
    if graph:
        return with_gradient(spectrum, waveform, lengths, framing, window, None).transpose(-1, -2)
    return _noted(spectrum.transpose(-1, -2), lengths)


def short_time_powers(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    *,
    wanted: Sequence[Wanted],
    graph: bool,
) -> list[torch.Tensor] | None:
    """Compute one or several powers of |STFT| by machine-code kernels, each taken through its steps.

    See `fft.short_time_powers`. A kernel takes as many of the first steps as it can; the others follow piece by piece.
    """
    frames = frames_of(waveform, lengths, framing, window)
    if frames is None:
        return None
    if graph:
        return _with_graph(frames, waveform, lengths, window, wanted)
    if len(wanted) == 1:
        whole = _whole(frames, wanted[0])
        if whole is not None:
            is_clear = wanted[0].power in (1.0, 2.0) and not wanted[0].width
            return [_noted(whole, lengths) if is_clear else whole]
    pieces = _finished_pieces(frames, Workspace(window), wanted)
    if pieces is None:
        return None
    return gathered(pieces, wanted, waveform.shape[0], framing.count(waveform.shape[-1]))


def _with_graph(
    frames: FrameLayout,
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    window: torch.Tensor,
    wanted: Sequence[Wanted],
) -> list[torch.Tensor] | None:
    """Compute powers of |STFT| with a graph by machine-code kernels, whose gradient goes back by kernels.

    One feature is taken through as many of its first steps as kernels take, without what is trained; autograd follows
    the others, and all steps of several features that share their spectrum.

    Shape: -> each (rows, features, frames).
    """
    alone = wanted[0] if len(wanted) == 1 and wanted[0].power in (1.0, 2.0) else None
    bank, tail, rest = (None, NO_TAIL, ()) if alone is None else _in_kernel(alone)
    if any(constant.requires_grad or guard.watched(constant) is not None for constant in _constants(bank, tail)):
        bank, tail, rest = None, NO_TAIL, wanted[0].steps
    power, root_offset = (2.0, 0.0) if alone is None else (alone.power, alone.root_offset)
    of = (power, root_offset)
    found = frames.powers(*of, tail) if bank is None else frames.filtered(bank, tail, *of)
    if found is None:
        return None
    feature = Feature(power, root_offset, bank, tail)
    values = with_gradient(found, waveform, lengths, frames.framing, window, feature)
    if alone is None:
        return [features.transpose(1, 2) for features in finished(values, wanted, None)]
    return [through(rest, values, None).transpose(1, 2)]


def _noted(features: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return features of kernels, which are 0 past the ends of their rows, with a note of that beside the lengths."""
    if lengths is not None:
        note_clear(lengths, features)
    return features


def _constants(bank: FilterBank | None, tail: Tail) -> list[torch.Tensor]:
    """Return the tensors that kernels read beside the samples: filters, shifts and scales."""
    return [
        *([] if bank is None else [bank.filters]),
        *(number for step in (*tail.before, *tail.after) for number in (step.add, step.divide)),
    ]


def _whole(frames: FrameLayout, wanted: Wanted) -> torch.Tensor | None:
    """Compute the one short-time feature that is wanted by machine-code kernels alone, where they take all steps.

    Shape: -> (rows, features, frames).
    """
    of_power = (wanted.power, wanted.root_offset)
    if not wanted.steps and (wanted.closing is None or wanted.power not in (1.0, 2.0)):
        powers = frames.powers(*of_power)
        return None if powers is None else powers.transpose(1, 2)
    bank, tail, rest = _in_kernel(wanted)
    if rest:
        return None
    if bank is not None:
        return frames.filtered(bank, tail, *of_power, wanted.width, wanted.closing)
    if wanted.by_bin:
        normalized = wanted.closing if wanted.closing is not None and wanted.closing.spread is not None else None
        return frames.powers_by_bin(*of_power, tail, normalized)
    powers = frames.powers(*of_power, tail)
    return None if powers is None else powers.transpose(1, 2)


def _in_kernel(wanted: Wanted) -> tuple[FilterBank | None, Tail, tuple[Step, ...]]:
    """Return the filters and the tail that kernels compute with the powers of |STFT|, and the remaining steps."""
    steps = wanted.steps
    if not steps or wanted.power not in (1.0, 2.0):
        return None, NO_TAIL, steps
    bank = steps[0] if isinstance(steps[0], FilterBank) else None
    if bank is not None and (bank.tiles is None or bank.tiles.entries.size > FEW_WEIGHTS * bank.filters.shape[1]):
        return None, NO_TAIL, steps
    steps = steps if bank is None else steps[1:]
    log: Log | None = None
    parts: tuple[list[Affine], list[Affine]] = ([], [])
    for taken, step in enumerate(steps):
        if isinstance(step, Affine):
            parts[log is not None].append(step)
        elif isinstance(step, Log) and log is None:
            log = step
        else:
            steps = steps[taken:]
            break
    else:
        steps = ()
    return bank, Tail(tuple(parts[0]), log, tuple(parts[1])), steps


def _finished_pieces(
    frames: FrameLayout, workspace: Workspace, wanted: Sequence[Wanted]
) -> Iterator[tuple[list[Place], Iterable[torch.Tensor]]] | None:
    """Return an iterator over the wanted powers of |STFT| by machine-code kernels, piece by piece of frames.

    Consume each piece before requesting the next.

    Shape: -> each (frames of the piece, features).
    """
    alone = wanted[0] if len(wanted) == 1 and wanted[0].power in (1.0, 2.0) else None
    bank, tail, rest = (None, NO_TAIL, ()) if alone is None else _in_kernel(alone)
    if alone is not None and bank is not None:
        found = frames.filtered_pieces(bank, tail, alone.power, workspace, alone.root_offset)
        steps = rest
    else:
        power, root_offset = (2.0, 0.0) if alone is None else (alone.power, alone.root_offset)
        # rows of values with gaps between them cost a pointwise step more than they save a product
        aligned = all(one.steps and getattr(one.steps[0], "multiplies", False) for one in wanted)
        found = frames.power_pieces(power, workspace, root_offset, aligned=aligned)
        steps = () if alone is None else alone.steps
    if found is None:
        return None

    def pieces() -> Iterator[tuple[list[Place], Iterable[torch.Tensor]]]:
        for places, values in found:
            yield places, finished(values, wanted, workspace) if alone is None else [through(steps, values, workspace)]

    return pieces()
