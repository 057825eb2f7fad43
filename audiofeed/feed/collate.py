"""The collate functions: pad in the worker, and leave the features to the training process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from audiofeed.data.example import AudioExample
from audiofeed.feed.batch import AudioBatch, FeaturesAndTargets
from audiofeed.feed.items import read_items
from audiofeed.feed.padding import Padded, pad_clips
from audiofeed.feed.runtime import Runtime, find_runtime
from audiofeed.feed.sources import Lazy, Recipe
from audiofeed.feed.targets import collate_targets


@dataclass(frozen=True)
class _Padding:
    """What a collate needs in a worker."""

    target_collate: Callable[[list[Any]], Any] | None
    to_example: Callable[[Any], AudioExample] | None
    sample_rate: int | None = None

    def __post_init__(self) -> None:
        for name in ("target_collate", "to_example"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise TypeError(f"{name}={value!r} must be callable; give a function, or leave it out")

    def pad(self, items: Any) -> Padded:
        clips = read_items(items, self.to_example)
        targets = [clip.target for clip in clips]
        collate = collate_targets if self.target_collate is None else self.target_collate
        return pad_clips(clips, collate(targets), self.sample_rate)


class PadCollate:
    """Make one padded batch of waveforms, with no features.

    Args:
        target_collate: Makes the batch's targets from the list of the clips' targets, in the worker.
        to_example: Turns a dataset item of a form not known here into an AudioExample.

    Raises:
        TypeError: An item has no known form; the message lists the known ones.
        ValueError: A clip is empty, has NaN or infinite samples, or differs from the others in rate or channels.

    >>> batch = PadCollate()([(torch.ones(4), 0), (torch.ones(6), 1)])
    >>> batch.waveforms.shape, batch.lengths
    (torch.Size([2, 6]), tensor([4, 6]))
    """

    def __init__(
        self,
        *,
        target_collate: Callable[[list[Any]], Any] | None = None,
        to_example: Callable[[Any], AudioExample] | None = None,
    ) -> None:
        self._padding = _Padding(target_collate, to_example)

    def __call__(self, items: Any) -> AudioBatch:
        """Collate a list of dataset items."""
        return AudioBatch._of(Lazy(self._padding.pad(items), Recipe(), None))

    def __repr__(self) -> str:
        return "PadCollate()"


class GPUSpecCollate:
    """Make batches whose features are computed on the device, from a plain DataLoader with any workers.

    In a worker it pads, on the CPU, and nothing else; the transform stays in the process that builds the collate, is
    found there by a token, and computes the features when they are first read. So a worker never touches the GPU, the
    pickle of a collate is small, and a trained transform is used with the parameters it has at that time. A copy of
    the collate, by pickle or deepcopy, has the same live transform.

    Items may be tensors or NumPy arrays, ``(waveform, target)``, torchaudio's ``(waveform, sample_rate, target,
    ...)`` (three or more entries, the second a whole number of at least 1000), dicts, or AudioExamples. A dict has
    ``waveform`` or ``audio``, perhaps ``sample_rate`` or ``sampling_rate``, and ``key``, ``id`` or ``path``. Its
    target is its one entry named ``target``, ``label`` or ``labels``; where there is none, or several, all entries
    not named yet form a dict of targets.

    Args:
        transform: Any module that takes (batch, time) or (batch, channel, time) float32. One of ours, with
            ``frame_lengths``, is called as ``transform(waveforms, lengths)``; any other as ``transform(waveforms)``,
            and then feature_lengths and feature_mask are None and padding may show in the last frames. It is moved to
            the device at first use.
        device: Where the features are computed; None is the current accelerator as the training process sees it at
            first use, else the CPU.
        output: "batch" yields an AudioBatch, "tuple" a pair to unpack as ``features, targets``.
        max_ahead: How many unread batches may have their features on the device ahead of use, 0 or more. With
            ``pin_memory=True`` and nothing trained, they are computed on a side stream; 0 turns that off, which a
            transform needs that draws random numbers or is changed during iteration.
        target_collate: Makes the batch's targets from the list of the clips' targets, in the worker; by default they
            stack as in torch's default_collate, and stay a list where they do not.
        augment: Called once per batch on the device, ``augment(waveforms, lengths, seeds)``; returns waveforms of the
            same shape, which ``batch.waveforms`` then are. ``seeds`` is (batch,) int64, or None where the dataset
            gives none.
        to_example: Turns a dataset item of a form not known here into an AudioExample.

    Raises:
        TypeError: ``transform`` is no module; or, when called, an item has no known form.
        ValueError: An argument is out of range; or, when called, a clip is empty, has NaN or infinite samples, or
            differs in rate or channels.

    >>> class Energy(torch.nn.Module):
    ...     def forward(self, waveform):
    ...         return waveform.unfold(-1, 4, 4).square().sum(-1).unsqueeze(-2)
    >>> collate = GPUSpecCollate(Energy(), device="cpu")
    >>> batch = collate([(torch.ones(8), 0), (torch.ones(12), 1)])
    >>> batch.features.shape
    torch.Size([2, 1, 3])
    """

    def __init__(
        self,
        transform: torch.nn.Module,
        *,
        device: torch.device | str | int | None = None,
        output: Literal["batch", "tuple"] = "batch",
        max_ahead: int = 2,
        target_collate: Callable[[list[Any]], Any] | None = None,
        augment: Callable[..., torch.Tensor] | None = None,
        to_example: Callable[[Any], AudioExample] | None = None,
    ) -> None:
        if not isinstance(transform, torch.nn.Module):
            raise TypeError(
                f"transform={transform!r} must be an instance of torch.nn.Module; wrap a function in a module"
            )
        if getattr(transform, "takes_features", False):
            raise TypeError(
                f"transform={type(transform).__name__} takes features, and must take waveforms; put a transform of "
                "waveforms before it, such as Chain(MelSpectrogram(...), AmplitudeToDB())"
            )
        if output not in ("batch", "tuple"):
            raise ValueError(f"output={output!r} must be 'batch' or 'tuple'")
        if isinstance(max_ahead, bool) or not isinstance(max_ahead, int) or max_ahead < 0:
            raise ValueError(f"max_ahead={max_ahead!r} must be a whole number, 0 or more; 0 computes nothing ahead")
        if augment is not None and not callable(augment):
            raise TypeError(f"augment={augment!r} must be callable as augment(waveforms, lengths, seeds)")
        asked = None if device is None else torch.device(device)
        self._runtime: Runtime | None = Runtime(transform, augment, asked, max_ahead)
        self._output = output
        self._recipe = Recipe(
            token=self._runtime.token,
            transform_name=type(transform).__name__,
            knows_lengths=hasattr(transform, "frame_lengths"),
            augments=augment is not None,
        )
        rate = getattr(transform, "sample_rate", None)
        self._padding = _Padding(target_collate, to_example, None if rate is None else int(rate))

    @property
    def transform(self) -> torch.nn.Module:
        """The live transform."""
        if self._runtime is None:
            raise RuntimeError(
                f"this copy of GPUSpecCollate({self._recipe.transform_name}) was unpickled in a process where its "
                "transform does not live; build a GPUSpecCollate in this process"
            )
        return self._runtime.transform

    def __call__(self, items: Any) -> AudioBatch | FeaturesAndTargets:
        """Collate a list of dataset items."""
        batch = AudioBatch._of(Lazy(self._padding.pad(items), self._recipe, self._runtime))
        return batch if self._output == "batch" else FeaturesAndTargets(batch)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_runtime"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        assert self._recipe.token is not None
        self._runtime = find_runtime(self._recipe.token)

    def __repr__(self) -> str:
        lengths = "" if self._recipe.knows_lengths else ", lengths unknown: it has no frame_lengths"
        return f"GPUSpecCollate({self._recipe.transform_name}{lengths}, output={self._output!r})"
