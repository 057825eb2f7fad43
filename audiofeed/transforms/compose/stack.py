"""Several features of one waveform in one pass, by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from audiofeed.arguments.argument_names import explaining
from audiofeed.drawing.reprs import module_repr
from audiofeed.methods.batch_rows import with_leading
from audiofeed.methods.frame_steps import of_spectrum
from audiofeed.methods.precision import in_full_precision
from audiofeed.parallel.busy_cores import cores_are_busy
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.contract.graph import needs_graph
from audiofeed.transforms.short_time.short_time_transform import ShortTime


class Stack(nn.ModuleDict):
    """Stack of several transforms of one waveform, by name; features over the same frames share one STFT.

    Members with the same n_fft, hop_length, win_length, window, centering, padding and method, whose basis is not
    trained, are computed of one short-time spectrum, piece by piece while it is in the cache. That holds for members of
    a `Chain` too, by the chain's first transform.

    Args:
        transforms: name=transform; each takes the waveform. One without `frame_lengths` (torchaudio's) is called with
            the waveform alone.

    Returns:
        {name: what that transform gives}, from a waveform (..., time) and lengths (batch,).

    Raises:
        TypeError: for a member that is no module.
        ValueError: without members, or for a name that the class has for itself.

    >>> from audiofeed.transforms.auditory.mel import LogMelSpectrogram
    >>> from audiofeed.transforms.short_time.stft import Spectrogram
    >>> stack = Stack(mel=LogMelSpectrogram(sample_rate=16000, n_fft=400, n_mels=40), power=Spectrogram(400))
    >>> {name: tuple(feature.shape) for name, feature in stack(torch.zeros(2, 1600)).items()}
    {'mel': (2, 40, 17), 'power': (2, 201, 17)}
    """

    @explaining
    def __init__(self, **transforms: nn.Module) -> None:
        super().__init__()
        if not transforms:
            raise ValueError("Stack() must be given one transform or more, as name=transform")
        for name, transform in transforms.items():
            if not isinstance(transform, nn.Module):
                raise TypeError(f"{name}={transform!r} is a {type(transform).__name__}, and must be an nn.Module")
            if hasattr(self, name):
                raise ValueError(f"{name!r} cannot be the name of a feature: {name} of a Stack is something else")
            self[name] = transform
        rates = {name: rate for name, rate in self._rates() if rate is not None}
        if len(set(rates.values())) > 1:
            raise ValueError(f"sample_rate must be the same in all members of a Stack, and is {rates}")

    _repr_html_ = module_repr

    @property
    def sample_rate(self) -> Any:
        """Sample rate of a stack of transforms in Hz, as its members say; None where none does."""
        return next((rate for _, rate in self._rates() if rate is not None), None)

    @property
    def takes_int16(self) -> bool:
        """True if every member of a stack of transforms takes int16 samples as they are."""
        return all(getattr(member, "takes_int16", False) for member in self.values())

    def _rates(self) -> list[tuple[str, Any]]:
        return [(name, getattr(member, "sample_rate", None)) for name, member in self.items()]

    def frame_lengths(self, lengths: torch.Tensor) -> dict[str, torch.Tensor | None]:
        """Return the frames of a stack's features for clips of `lengths` samples; None for one that does not say."""
        known = {name: getattr(member, "frame_lengths", None) for name, member in self.items()}
        return {name: None if count is None else count(lengths) for name, count in known.items()}

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> dict[str, Any]:
        """Compute every feature in a stack of transforms for one clip or a batch. See `Transform.forward`."""
        results: dict[str, Any] = {}
        for names in self._groups():
            members = [self[name] for name in names]
            if len(members) > 1 and not _apart(members, waveform):
                found = _shared(members, waveform, lengths)
            else:
                found = [
                    member(waveform, lengths) if hasattr(member, "frame_lengths") else member(waveform)
                    for member in members
                ]
            results.update(zip(names, found, strict=True))
        return {name: results[name] for name in self}

    def _groups(self) -> list[list[str]]:
        """Return a stack's names in groups whose features share one short-time spectrum; the others stand alone."""
        groups: dict[object, list[str]] = {}
        for name, member in self.items():
            groups.setdefault(_frames_of(_first(member)) or name, []).append(name)
        return list(groups.values())


def _first(member: nn.Module) -> nn.Module:
    return _first(member[0]) if isinstance(member, Chain) else member


def _frames_of(member: nn.Module) -> object:
    """Return the key that two transforms in a stack share if they share a spectrum; None for one that shares none."""
    plain = isinstance(member, ShortTime) and (type(member).compute, type(member).forward) == (
        ShortTime.compute,
        ShortTime.forward,
    )
    return member.frames_key if plain and isinstance(member, ShortTime) else None


def _apart(members: list[nn.Module], waveform: torch.Tensor) -> bool:
    """Return True if each of a stack's members is to have a spectrum of its own: see `parallel.clips_in_parts`."""
    on_busy_cores = not torch.compiler.is_compiling() and waveform.device.type == "cpu" and cores_are_busy()
    return on_busy_cores and any(needs_graph(member, waveform) for member in members)


def _shared(members: list[nn.Module], waveform: torch.Tensor, lengths: torch.Tensor | None) -> list[torch.Tensor]:
    """Compute the members of a stack of transforms that lie over the same frames, from one spectrum."""
    firsts = [first for first in map(_first, members) if isinstance(first, ShortTime)]
    lead = firsts[0]
    lead.check_waveform(waveform)
    graph = any(needs_graph(first, waveform) for first in firsts)
    rows, row_lengths, leading = lead.rows_of(waveform, lengths, graph=graph)
    results: list[torch.Tensor] = []
    with in_full_precision(waveform.device, graph=graph):
        if any(first.power is None for first in firsts):
            spectrum = lead.spectrum(rows, row_lengths, graph=graph)
            computed = [
                spectrum if first.power is None else of_spectrum(spectrum, first.wanted(rows)) for first in firsts
            ]
        else:
            computed = lead.powers(rows, row_lengths, [first.wanted(rows) for first in firsts], graph=graph)
        for i, (first, features) in enumerate(zip(firsts, computed, strict=True)):
            own = features.clone() if any(features is earlier for earlier in computed[:i]) else features
            results.append(first.finish_rows(own, row_lengths, leading, graph=graph))
    return [
        _rest(member, with_leading(features, leading), lengths)
        for member, features in zip(members, results, strict=True)
    ]


def _rest(member: nn.Module, result: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Apply the rest of a chain that is a member of a stack to the result of the chain's very first transform."""
    if not isinstance(member, Chain):
        return result
    return member.after_first(_rest(member[0], result, lengths), lengths)
