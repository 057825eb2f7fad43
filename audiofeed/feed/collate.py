"""The collate functions: pad in the worker, compute features in the training process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypedDict, cast

import torch
from torch.utils.data import get_worker_info
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_choice
from audiofeed.arguments.devices import as_device
from audiofeed.arguments.setting_groups import argument, pick
from audiofeed.arguments.signature import complete, takes
from audiofeed.data.errors import AudioReadError
from audiofeed.data.example import AudioExample
from audiofeed.data.stopwatch import take_laps
from audiofeed.data.targets.class_check import check_classes
from audiofeed.feed.augmenting import WorkerPart, changed_fields
from audiofeed.feed.bad_items import pad_good_items, whole_items
from audiofeed.feed.batch import AudioBatch, batch_type
from audiofeed.feed.in_worker import WorkerBatch
from audiofeed.feed.items import Clip, read_items
from audiofeed.feed.known_forms import checked_names
from audiofeed.feed.padding import Padded, check_pad_to, check_pad_to_multiple_of, pad_clips, seeds_of
from audiofeed.feed.pair import FeaturesAndTargets
from audiofeed.feed.states.batch_fields import AWAY, FEATURE_FIELDS, FIELDS, CollateInfo
from audiofeed.feed.states.bus import BusStats
from audiofeed.feed.states.carried import Carried
from audiofeed.feed.states.feature_padding import FeaturePadding, check_padding
from audiofeed.feed.states.runtime import Runtime, find_runtime
from audiofeed.feed.states.state_steps import Progress
from audiofeed.feed.states.states import Waiting
from audiofeed.feed.states.tensor_trees import is_of_tensors
from audiofeed.feed.targets import (
    PaddedTargets,
    collate_fields,
    collate_targets,
    is_of_fields,
    with_target_field,
)
from audiofeed.feed.timed_targets import fit_waveforms, waits_for_frames
from audiofeed.feed.transform_contract import frame_lengths_of, lacks_lengths, sample_rate_of, takes_features, unwrapped


class PaddingOptions(TypedDict, total=False):
    """Keyword arguments for the settings of a padded batch that collate functions and feeds share."""

    target_collate: Callable[[list[Any]], Any] | None
    to_example: Callable[[Any], AudioExample] | None
    target_field: str | None
    fields: Sequence[str] | None
    rename: Mapping[str, str] | None
    pad_to: float | None
    pad_to_multiple_of: float | None
    longer: Literal["error", "crop"]
    mono: bool


class BatchOptions(PaddingOptions, total=False):
    """Keyword arguments for the settings of a padded batch that collate functions share."""

    on_error: Literal["raise", "skip"]


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """Settings that collate functions share, which a worker needs to pad a batch and to name its entries."""

    target_collate: Callable[[list[Any]], Any] | None = argument(
        None,
        "makes the batch's targets from the list of the clips' targets, in the worker, as `PadTargets` does; None: "
        "they stack as in torch's `default_collate`, or stay a list if they do not stack.",
    )
    to_example: Callable[[Any], AudioExample] | None = argument(
        None, "turns a dataset item of any other form than the known ones into an `AudioExample`."
    )
    target_field: str | None = argument(
        None,
        "name of the entry of an item, of a dict that is its target (as in torchaudio's COMMONVOICE), or of the "
        'manifest\'s column, that is the target, such as "text"; a target known otherwise then becomes '
        '`batch.fields["target"]`. None: it is known by its name or place.',
    )
    fields: Sequence[str] | None = argument(
        None, "names of the other entries to keep as `batch.fields`; None keeps all, an empty list none."
    )
    rename: Mapping[str, str] | None = argument(
        None,
        'names for `model(**batch)` by field, as `{"features": "input_features", "targets": "labels"}`; a field is one '
        "of the batch's or an entry of `batch.fields`. The batch's mapping then has these entries and no others, so "
        "that a model, or the Trainer of transformers, is called with what it takes; the attributes (`batch.features`, "
        "`batch.names`) stay. None: all fields, under their own names.",
    )
    pad_to: float | None = argument(
        None, "length of every batch, a float in seconds or an integer in samples; None pads to the longest clip."
    )
    pad_to_multiple_of: float | None = argument(
        None,
        "the longest clip's length is brought up to a multiple of this, a float in seconds or an integer in samples: "
        "batches then have few shapes, for each of which torch.compile and CUDA graphs are made once, and each clip's "
        "own features stay what they are. None: it is not.",
    )
    longer: Literal["error", "crop"] = argument(
        "error", 'what becomes of a clip longer than `pad_to`: "error" refuses it, "crop" takes its beginning.'
    )
    mono: bool = argument(
        False,
        "True averages the channels of each clip, in the worker, and takes away their axis, which torchaudio and "
        "torchcodec give a single channel, too; False keeps (channel, time).",
    )
    on_error: Literal["raise", "skip"] = argument(
        "raise",
        "what becomes of an item that is None, empty, has NaN or infinite samples, or cannot be collated for another "
        'reason of its own: "raise" ends with the error, "skip" leaves it out of the batch, which then has fewer '
        "clips, and `batch.faults` has an `AudioReadError` with its key, or its place in the batch, and the cause. A "
        "batch without one good item is an error either way.",
    )
    sample_rate: int | None = None
    # the classes of earlier batches, in this process
    seen: list[Sequence[str]] = field(default_factory=list, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, value in (("target_collate", self.target_collate), ("to_example", self.to_example)):
            if value is not None and not callable(value):
                raise TypeError(f"{name}={value!r} must be callable; give a function, or omit it")
        if self.target_field is not None and not isinstance(self.target_field, str):
            raise TypeError(f"target_field={self.target_field!r} must be the name of an item's entry, or None")
        if self.fields is not None:
            if isinstance(self.fields, str) or not isinstance(self.fields, Sequence):
                raise TypeError(f"fields={self.fields!r} must be a list of names, or None for all: ['speaker']")
            object.__setattr__(self, "fields", tuple(self.fields))
        if self.rename is not None:
            object.__setattr__(self, "rename", checked_names(self.rename))
        check_pad_to(self.pad_to, self.longer)
        check_pad_to_multiple_of(self.pad_to_multiple_of, self.pad_to)
        if not isinstance(self.mono, bool):
            raise TypeError(f"mono={self.mono!r} must be True or False")
        check_choice("on_error", self.on_error, ("raise", "skip"))

    def pad(self, items: Any) -> Padded:
        begun = time.perf_counter()
        places: Sequence[int]
        items, faults, seeds = whole_items(items)
        places = range(len(seeds))
        if self.on_error == "raise":
            padded = self._pad(items)
        else:
            padded, places = self._without_bad(items)
        if padded.seeds is None and seeds:
            padded = replace(padded, seeds=seeds_of([seeds[place] for place in places]))
        seconds = (*take_laps(), time.perf_counter() - begun)
        return replace(padded, faults=(*padded.faults, *faults), seconds=seconds)

    def pad_others(self, items: Sequence[Any]) -> tuple[Padded | None, Sequence[int], tuple[Any, ...]]:
        """Pad items that an augmentation reads beside the batch's own, by the same rules.

        Args:
            items: Any number of them.

        Returns:
            The padded items, None if there are none; which of them these are: all, unless on_error="skip" leaves some
            out; and the faults of those.
        """
        items, faults, _ = whole_items(list(items))
        if not items:
            return None, [], faults
        if self.on_error == "raise":
            padded, places = self._pad(items), range(len(items))
            return padded, places, (*faults, *padded.faults)
        try:
            padded, good = self._without_bad(items)
        except ValueError as error:
            # what the items are only together is an error as ever
            if any(map(self._is_good, items)):
                raise
            return None, [], (*faults, AudioReadError.of("augment", f"none of the examples that it reads: {error}"))
        return padded, good, (*faults, *padded.faults)

    def _without_bad(self, items: Any) -> tuple[Padded, Sequence[int]]:
        return pad_good_items(items, self._pad, lambda item: read_items([item], self.to_example, alone=True)[0])

    def _is_good(self, item: Any) -> bool:
        """Return True if an item can be collated at all."""
        try:
            self._pad([item], alone=True)
        except Exception:  # noqa: BLE001  the batch's faults will say
            return False
        return True

    def _pad(self, items: Any, alone: bool = False) -> Padded:
        clips = read_items(items, self.to_example, self.sample_rate, alone=alone)
        check_classes(items, self.seen)
        if self.target_field is not None:
            clips = [with_target_field(index, clip, self.target_field) for index, clip in enumerate(clips)]
        fields = collate_fields([clip.fields for clip in clips], self.fields)
        for source in self.rename or ():
            if source not in (*FIELDS, "faults") and source not in fields:
                raise ValueError(
                    f"rename={dict(self.rename or {})!r} has {source!r}, which is neither a field of a batch "
                    f"({', '.join(FIELDS)}) nor one of its clips ({', '.join(map(str, fields)) or 'they have none'})"
                )
        targets, lengths = self._targets(clips, fields), None
        if isinstance(targets, PaddedTargets):
            targets, lengths = targets
        padded = pad_clips(
            clips, targets, self.sample_rate, pad_to=self.pad_to, longer=self.longer, mono=self.mono,
            pad_to_multiple_of=self.pad_to_multiple_of,
        )  # fmt: skip
        return fit_waveforms(replace(padded, fields=fields, target_lengths=lengths))

    def _targets(self, clips: list[Clip], fields: dict[Any, Any]) -> Any:
        targets = [clip.target for clip in clips]
        if self.target_collate is not None:
            return self.target_collate(targets)
        if all(is_of_fields(clip) and targets[0].keys() == clip.target.keys() <= fields.keys() for clip in clips):
            return {name: fields[name] for name in targets[0]}  # collated and copied once
        return collate_targets(targets)

    def batch(self, state: Waiting, *, tensors_only: bool = False) -> AudioBatch:
        names = None if self.rename is None else {name: field for field, name in self.rename.items()}
        if tensors_only:
            names = _names_of_tensors(state)
        batch = batch_type(names, layout=state.info.layout, faults=state.faults)._of(Progress(state))
        if names is None and state.padded.target_lengths is not None:
            # only here in the mapping: a model that is called with it is one that takes it
            batch._shown["target_lengths"] = "target_lengths"
        return batch


def _names_of_tensors(state: Waiting) -> dict[str, str]:
    """Return the names of a batch's fields that are tensors, one by one, each under its own name.

    Raises:
        ValueError: The targets are no tensors, or an entry of the clips has the name of another field.
    """
    padded, info = state.padded, state.info
    if padded.targets is not None and not waits_for_frames(padded, "targets") and not is_of_tensors(padded.targets):
        raise ValueError(
            "output='tensors' needs targets that are tensors, and these are not: give numbers or classes, or "
            "target_collate=, such as PadTargets for texts"
        )
    names = [*FEATURE_FIELDS] if info.knows_lengths else ["features"]
    names += ["waveforms", "lengths", *(["targets"] if padded.targets is not None else [])]
    names += ["target_lengths"] if padded.target_lengths is not None else []
    own = [name for name, entry in padded.fields.items() if is_of_tensors(entry) and entry is not padded.targets]
    taken = sorted({*own}.intersection((*FIELDS, "faults")))
    if taken:
        raise ValueError(
            f"output='tensors' has its entries side by side, and {taken} of the clips' own have the names of fields of "
            "the batch: name them otherwise in the dataset, or choose others by fields="
        )
    return {name: name for name in (*names, *own)}


class PadCollate:
    """Collate function that makes one padded batch of waveforms, without features.

    Raises:
        TypeError: An argument is not of its type; or, when called, an item has no known form (the message lists them).
        ValueError: `pad_to`, `pad_to_multiple_of`, `longer`, `on_error` or `rename` is out of range; or, when called: a
            clip is empty, has NaN or infinite samples, is longer than `pad_to`, or differs from the others in sample
            rate or channels; or a name in `target_field`, `fields` or `rename` is not there; or no item of a batch is
            good.

    >>> batch = PadCollate()([(torch.ones(4), 0), (torch.ones(6), 1)])
    >>> batch.waveforms.shape, batch.lengths
    (torch.Size([2, 6]), tensor([4, 6]))
    """

    @takes(BatchSettings)
    def __init__(self, **settings: Unpack[BatchOptions]) -> None:
        self._padding = pick(BatchSettings, settings)

    def __call__(self, items: Any) -> AudioBatch:
        """Collate a list of dataset items into a padded batch."""
        return self._padding.batch(Waiting(self._padding.pad(items), CollateInfo()))

    def __repr__(self) -> str:
        return "PadCollate()"


complete(PadCollate)


class GPUSpecCollate:
    """Collate function of batches with features computed on the device, from a plain DataLoader.

    The DataLoader may have any number of workers.

    In a worker it only pads, on the CPU. The transform stays in the process that builds the collate, is found there by
    a token, and computes the features when they are first read. So a worker never uses the GPU, and a transform that is
    trained is used with the parameters it has at that time. A copy of the collate, by pickle or deepcopy, has the same
    live transform in this process. In another training process, as one of Ray, the pickle's copy computes; see
    `audiofeed.feed.states.carried`.

    Items may be tensors or NumPy arrays; `(waveform, target)`; torchaudio's `(waveform, sample_rate, target, ...)`
    (three or more entries, the second an integer of at least 1000); torchcodec's AudioDecoder or AudioSamples; dicts;
    or AudioExamples. A dict, named tuple or dataclass has `waveform` or `audio`, optionally `sample_rate` or
    `sampling_rate` (or `sr`, `fs`, `samplerate` or `rate`, which stays a field too), and `key`, `id` or `path` as the
    clip's name. Its target is its one entry named `target`, `label` or `labels`; if there
    is none, or more than one, all other entries form a dict of targets. Where a waveform stands, `(waveform,
    sample_rate)` or a whole item may stand too, as in webdataset's `((waveform, sample_rate), cls)` and in the items of
    torch's StackDataset; the target is then (inner, outer) if both have one. `audiofeed.feed.items.register_item_form`
    adds a form of your own.

    Nothing of an item is dropped. What is no waveform, sample rate, name or target arrives as `batch.fields[name]`,
    collated as targets are (where only some clips have it, a list with None for the others). Where the second entry of
    every pair `(waveform, integer)` of a batch is a usual sample rate, it is refused, because it may be that rate or a
    target.

    Args:
        transform: Any module that takes (batch, time) or (batch, channel, time) float32. One with `frame_lengths`, as
            all of ours, is called as `transform(waveforms, lengths)`; any other as `transform(waveforms)`, and then
            feature_lengths and feature_mask are None and padding may reach into the last frames. It is moved to the
            device at first use. `audiofeed.feed.transform_contract` lists everything that is asked of it.
        device: Where features are computed; None is the current accelerator as the training process sees it at first
            use, else the CPU.
        output: "batch" returns an `AudioBatch`, "tuple" a pair to unpack as `features, targets`, and "tensors" an
            `AudioBatch` whose mapping has its tensors alone, each entry of `batch.fields` that is one by its own name:
            what Accelerate takes apart and sends to other processes with `dispatch_batches=True`, its default for an
            IterableDataset. Names, texts and the sample rate stay attributes where the batch was made.
        max_ahead: Largest number of unread batches whose features are computed on the device ahead of use, 0 or more.
            With `pin_memory=True` and nothing trained, they are computed on a side stream. 0 turns that off: use it for
            a transform that draws random numbers or is changed during iteration.
        augment: An augmentation of `audiofeed.augment`, run once per batch on the device: those of waveforms before the
            transform, those of features after it; lengths and targets follow. Or any callable of (waveforms, lengths,
            seeds) that returns waveforms of the same shape, which become `batch.waveforms`; `seeds` is (batch,) int64,
            or None if the dataset gives none. Or a callable of one argument, which is given `audiofeed.augment.Clips`
            and returns them, with other lengths and targets, too.
        padding: What stands past a clip's end in the features. "mask": 0, the same whatever the values stand for, so
            that a sum over frames counts the clip only; in a logarithm, though, 0 is louder than speech. "silence": the
            values that the transform gives to silence, by bin. A number: that number. "waveform": the clip is padded
            with zero samples before the features, and transformed as one of the padded length; frames at its end see
            the silence, and statistics over the clip count it. None is "waveform" where `pad_to` is given, as the
            front-ends of fixed length have it, and "mask" elsewhere. `feature_lengths` and `feature_mask` tell the
            clip's own frames in each.
        layout: Order of the last two axes of `batch.features`: "bins_frames", or "frames_bins", as the spectrogram
            transformers of transformers and recurrent networks take them.
        unsynchronized: What becomes of a transform that is trained in a group of several processes and that no
            DistributedDataParallel or FullyShardedDataParallel holds, in which each would train its own: "error" at
            the first read with a gradient, or "allow".

    Raises:
        TypeError: `transform` is not a module or takes features, or another argument is not of its type; or, when
            called, an item has no known form.
        ValueError: `output`, `max_ahead`, `pad_to`, `pad_to_multiple_of`, `longer`, `padding`, `layout`,
            `unsynchronized`, `on_error` or
            `rename` is out of range, or `rename` stands beside `output="tuple"` or `"tensors"`; or, when called, a clip
            is empty, has NaN or infinite samples, is longer than `pad_to`, or differs from the others in sample rate or
            channels; or a name in `target_field`, `fields` or `rename` is not there; or no item of a batch is good.

    >>> class Energy(torch.nn.Module):
    ...     def forward(self, waveform):
    ...         return waveform.unfold(-1, 4, 4).square().sum(-1).unsqueeze(-2)
    >>> collate = GPUSpecCollate(Energy(), device="cpu")
    >>> batch = collate([(torch.ones(8), 0), (torch.ones(12), 1)])
    >>> batch.features.shape
    torch.Size([2, 1, 3])
    """

    @takes(BatchSettings)
    def __init__(
        self,
        transform: torch.nn.Module,
        *,
        device: torch.device | str | int | None = None,
        output: Literal["batch", "tuple", "tensors"] = "batch",
        max_ahead: int = 2,
        augment: Callable[..., Any] | None = None,
        padding: Literal["mask", "silence", "waveform"] | float | None = None,
        layout: Literal["bins_frames", "frames_bins"] = "bins_frames",
        unsynchronized: Literal["error", "allow"] = "error",
        **settings: Unpack[BatchOptions],
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
        if lacks_lengths(transform):
            raise TypeError(
                f"transform={type(transform).__name__} has frame_lengths, so it is called with the clips' lengths, and "
                "its forward takes none: write forward(self, waveform, lengths=None), and put zeros past each clip's "
                "end"
            )
        check_choice("output", output, ("batch", "tuple", "tensors"))
        check_choice("unsynchronized", unsynchronized, ("error", "allow"))
        if isinstance(max_ahead, bool) or not isinstance(max_ahead, int) or max_ahead < 0:
            raise ValueError(f"max_ahead={max_ahead!r} must be an integer of at least 0; 0 computes nothing ahead")
        before, after = changed_fields(augment)
        check_choice("layout", layout, ("bins_frames", "frames_bins"))
        rename = settings.get("rename")
        if rename is not None and output != "batch":
            why = "pair has no names" if output == "tuple" else "entries have their own"
            raise ValueError(f"rename={rename!r} has no effect with output={output!r}, whose {why}; omit one")
        rate = sample_rate_of(transform)
        self._padding = pick(BatchSettings, settings, sample_rate=None if rate is None else int(rate))
        kept = FeaturePadding(check_padding(padding, self._padding.pad_to, transform))
        asked = None if device is None else as_device(device)
        self._runtime: Runtime | None = Runtime(
            transform, augment, asked, max_ahead, padding=kept, unsynchronized=unsynchronized
        )
        self._carried: Carried | None = None
        self._worker_part = WorkerPart.of(augment)
        self._output = output
        self._info = CollateInfo(
            token=self._runtime.token,
            transform_name=type(unwrapped(transform)).__name__,
            knows_lengths=frame_lengths_of(transform) is not None,
            augmented=before,
            with_features=after,
            layout=layout,
        )

    @property
    def transform(self) -> torch.nn.Module:
        """Live transform of the collate.

        Raises:
            RuntimeError: This copy was unpickled in a process where the transform does not live.
        """
        runtime = self._here()
        if runtime is None:
            raise RuntimeError(
                f"this copy of GPUSpecCollate({self._info.transform_name}) was unpickled in a process where its "
                f"transform does not live. {AWAY}"
            )
        return runtime.transform

    def __call__(self, items: Any) -> AudioBatch | FeaturesAndTargets:
        """Collate a list of dataset items into a batch with features."""
        runtime = self._here()
        state = Waiting(
            self._worker_part.add_to(self._padding.pad(items), self._padding.pad_others), self._info, runtime
        )
        batch = self._padding.batch(state, tensors_only=self._output == "tensors")
        result = FeaturesAndTargets(batch) if self._output == "tuple" else batch
        if get_worker_info() is None or (runtime is not None and runtime.is_here()):
            return result
        return cast("AudioBatch", WorkerBatch(result))

    def stats(self) -> BusStats:
        """Return what the collate's batches took over the bus to the device in this process, bytes per clip first.

        Returns:
            The numbers since the collate was made; `str` of it is a sentence. All are 0 where features are on the CPU.
        """
        runtime = self._here()
        return BusStats() if runtime is None else runtime.bus.stats()

    def _here(self) -> Runtime | None:
        """Return the runtime of a collate in this process, made of what its pickle took along if that is needed."""
        if self._runtime is None and self._carried is not None:
            token, carried, self._carried = self._info.token, self._carried, None
            assert token is not None
            self._runtime = find_runtime(token)
            if self._runtime is None and get_worker_info() is None:
                self._runtime = carried.runtime(token)
        return self._runtime

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name != "_runtime"}
        if self._runtime is not None and get_worker_info() is None:
            state["_carried"] = Carried.of(self._runtime)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        assert self._info.token is not None
        self._runtime = find_runtime(self._info.token)
        if self._runtime is not None:
            self._carried = None

    def __repr__(self) -> str:
        lengths = "" if self._info.knows_lengths else ", lengths unknown: it has no frame_lengths"
        return f"GPUSpecCollate({self._info.transform_name}{lengths}, output={self._output!r})"


complete(GPUSpecCollate)
