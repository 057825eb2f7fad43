"""The collate functions: pad in the worker, compute features in the training process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from audiofeed.data.example import AudioExample
from audiofeed.feed.batch import AudioBatch, FeaturesAndTargets
from audiofeed.feed.batch_fields import CollateInfo
from audiofeed.feed.items import read_items
from audiofeed.feed.padding import Padded, pad_clips
from audiofeed.feed.runtime import Runtime, find_runtime
from audiofeed.feed.state_steps import Progress
from audiofeed.feed.states import Waiting
from audiofeed.feed.targets import collate_targets
from audiofeed.feed.transform_contract import frame_lengths_of, sample_rate_of, takes_features


@dataclass(frozen=True)
class _Padding:
    """Settings of a collate that its worker needs to pad a batch."""

    target_collate: Callable[[list[Any]], Any] | None
    to_example: Callable[[Any], AudioExample] | None
    sample_rate: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("target_collate", self.target_collate), ("to_example", self.to_example)):
            if value is not None and not callable(value):
                raise TypeError(f"{name}={value!r} must be callable; give a function, or omit it")

    def pad(self, items: Any) -> Padded:
        clips = read_items(items, self.to_example)
        targets = [clip.target for clip in clips]
        collate = collate_targets if self.target_collate is None else self.target_collate
        return pad_clips(clips, collate(targets), self.sample_rate)


class PadCollate:
    """Collate function that makes one padded batch of waveforms, without features.

    Args:
        target_collate: Makes the batch's targets from the list of the clips' targets, in the worker; by default they
            stack as in torch's `default_collate`, or stay a list if they do not stack.
        to_example: Turns a dataset item of any other form than the known ones into an `AudioExample`.

    Raises:
        TypeError: An argument is not callable; or, when called, an item has no known form (the message lists them).
        ValueError: When called: a clip is empty, has NaN or infinite samples, or differs from the others in sample rate
            or channels.

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
        """Collate a list of dataset items into a padded batch."""
        return AudioBatch._of(Progress(Waiting(self._padding.pad(items), CollateInfo())))

    def __repr__(self) -> str:
        return "PadCollate()"


class GPUSpecCollate:
    """Collate function of batches with features computed on the device, from a plain DataLoader.

    The DataLoader may have any number of workers.

    In a worker it only pads, on the CPU. The transform stays in the process that builds the collate, is found there by
    a token, and computes the features when they are first read. So a worker never uses the GPU, the pickle of a collate
    is small, and a transform that is trained is used with the parameters it has at that time. A copy of the collate, by
    pickle or deepcopy, has the same live transform.

    Items may be tensors or NumPy arrays; `(waveform, target)`; torchaudio's `(waveform, sample_rate, target, ...)`
    (three or more entries, the second an integer of at least 1000); torchcodec's AudioDecoder or AudioSamples; dicts;
    or AudioExamples. A dict has `waveform` or `audio`, optionally `sample_rate` or `sampling_rate`, and `key`, `id` or
    `path` as the clip's name. Its target is its one entry named `target`, `label` or `labels`; if there is none, or
    more than one, all other entries form a dict of targets. Where a waveform stands, `(waveform, sample_rate)` or a
    whole item may stand too, as in webdataset's `((waveform, sample_rate), cls)` and in the items of torch's
    StackDataset; the target is then (inner, outer) if both have one. `audiofeed.feed.items.register_item_form` adds a
    form of your own.

    Args:
        transform: Any module that takes (batch, time) or (batch, channel, time) float32. One with `frame_lengths`, as
            all of ours, is called as `transform(waveforms, lengths)`; any other as `transform(waveforms)`, and then
            feature_lengths and feature_mask are None and padding may reach into the last frames. It is moved to the
            device at first use. `audiofeed.feed.transform_contract` lists everything that is asked of it.
        device: Where features are computed; None is the current accelerator as the training process sees it at first
            use, else the CPU.
        output: "batch" returns an `AudioBatch`, "tuple" a pair to unpack as `features, targets`.
        max_ahead: Largest number of unread batches whose features are computed on the device ahead of use, 0 or more.
            With `pin_memory=True` and nothing trained, they are computed on a side stream. 0 turns that off: use it for
            a transform that draws random numbers or is changed during iteration.
        target_collate: Makes the batch's targets from the list of the clips' targets, in the worker; by default they
            stack as in torch's `default_collate`, or stay a list if they do not stack.
        augment: Called once per batch on the device as `augment(waveforms, lengths, seeds)`; returns waveforms of the
            same shape, which become `batch.waveforms`. `seeds` is (batch,) int64, or None if the dataset gives none.
        to_example: Turns a dataset item of any other form than the known ones into an `AudioExample`.

    Raises:
        TypeError: `transform` is not a module or takes features, or another argument is not callable; or, when called,
            an item has no known form.
        ValueError: `output` or `max_ahead` is out of range; or, when called, a clip is empty, has NaN or infinite
            samples, or differs from the others in sample rate or channels.

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
        if takes_features(transform):
            raise TypeError(
                f"transform={type(transform).__name__} takes features, and must take waveforms; put a transform of "
                "waveforms before it, as in Chain(MelSpectrogram(...), AmplitudeToDB())"
            )
        if output not in ("batch", "tuple"):
            raise ValueError(f"output={output!r} must be 'batch' or 'tuple'")
        if isinstance(max_ahead, bool) or not isinstance(max_ahead, int) or max_ahead < 0:
            raise ValueError(f"max_ahead={max_ahead!r} must be an integer of at least 0; 0 computes nothing ahead")
        if augment is not None and not callable(augment):
            raise TypeError(f"augment={augment!r} must be callable as augment(waveforms, lengths, seeds)")
        asked = None if device is None else torch.device(device)
        self._runtime: Runtime | None = Runtime(transform, augment, asked, max_ahead)
        self._output = output
        self._info = CollateInfo(
            token=self._runtime.token,
            transform_name=type(transform).__name__,
            knows_lengths=frame_lengths_of(transform) is not None,
            augments=augment is not None,
        )
        rate = sample_rate_of(transform)
        self._padding = _Padding(target_collate, to_example, None if rate is None else int(rate))

    @property
    def transform(self) -> torch.nn.Module:
        """Live transform of the collate.

        Raises:
            RuntimeError: This copy was unpickled in a process where the transform does not live.
        """
        if self._runtime is None:
            raise RuntimeError(
                f"this copy of GPUSpecCollate({self._info.transform_name}) was unpickled in a process where its "
                "transform does not live; build a GPUSpecCollate in this process"
            )
        return self._runtime.transform

    def __call__(self, items: Any) -> AudioBatch | FeaturesAndTargets:
        """Collate a list of dataset items into a batch with features."""
        batch = AudioBatch._of(Progress(Waiting(self._padding.pad(items), self._info, self._runtime)))
        return batch if self._output == "batch" else FeaturesAndTargets(batch)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_runtime"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        assert self._info.token is not None
        self._runtime = find_runtime(self._info.token)

    def __repr__(self) -> str:
        lengths = "" if self._info.knows_lengths else ", lengths unknown: it has no frame_lengths"
        return f"GPUSpecCollate({self._info.transform_name}{lengths}, output={self._output!r})"
