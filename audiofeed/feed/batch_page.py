"""The page that a notebook shows of a batch: its fields, lengths, padding and targets; nothing is computed for it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import torch

from audiofeed.feed.pictures import lengths_of, named_features
from audiofeed.feed.states.states import Moved, Ready, Waiting
from audiofeed.feed.states.tensor_trees import tensors_in

if TYPE_CHECKING:
    from audiofeed.feed.batch import AudioBatch

_CLIPS = 4  # in the small picture
_TARGETS = 6
_MISSING = object()


def batch_repr(batch: AudioBatch) -> str:
    """Return the page that a notebook shows of an audio batch, as its `_repr_html_`.

    It computes no features, starts no copy and never fails. Of features that are there a small picture is drawn.
    """
    from audiofeed.drawing.pages import guarded

    return guarded(batch, _page)


def _page(batch: AudioBatch) -> str:
    from audiofeed.drawing.pages import line, page, table

    count = len(batch)
    rate = None if "sample_rate" in batch._left_out else batch.sample_rate
    head = f"{count} clip{'s' * (count != 1)}" + ("" if rate is None else f" at {rate} Hz")
    rows = [(name, batch.describe(name)) for name in batch if name != "sample_rate"]
    texts = [_lengths_text(batch, rate), _targets_text(_held(batch, "targets")), _faults_text(batch)]
    return page("AudioBatch", head, *(line(text) for text in texts if text), table(rows), _picture(batch))


def _held(batch: AudioBatch, name: str) -> Any:
    """Return a field of a batch for its page as it is now, before any work that waits for a first read.

    `_MISSING` where it has no value yet, or was left out.
    """
    if name in batch._left_out:
        return _MISSING
    if name in batch._replaced:
        return batch._replaced[name]
    state = batch._progress.state
    if isinstance(state, Ready):
        if name in state.fields:
            return state.fields[name]
        if state.moved is None:
            return _MISSING
        state = state.moved
    if name in state.info.augmented and not (isinstance(state, Moved) and state.waveforms is not None):
        return _MISSING  # the augmentation will change it
    if not isinstance(state, Moved | Waiting):
        return _MISSING
    value = getattr(state.held() if isinstance(state, Waiting) else state.padded, name, _MISSING)
    # on its way to the device there are shapes on the host, and no values
    on_its_way = name != "waveforms" and any(tensor.device.type == "meta" for tensor in tensors_in(value))
    return _MISSING if on_its_way else value


def _lengths_text(batch: AudioBatch, rate: int | None) -> str:
    """Return the lengths of a batch's clips and the share of padding, for its page."""
    lengths, waveforms = _held(batch, "lengths"), _held(batch, "waveforms")
    if not isinstance(lengths, torch.Tensor) or not lengths.numel():
        return ""
    samples = lengths.tolist()
    if rate:
        text = (
            f"{sum(samples) / rate:.4g} s of audio, clips of {min(samples) / rate:.4g} to {max(samples) / rate:.4g} s"
        )
    else:
        text = f"{sum(samples)} samples, clips of {min(samples)} to {max(samples)}"
    if isinstance(waveforms, torch.Tensor) and waveforms.dim() > 1 and waveforms.shape[-1]:
        share = 1 - sum(samples) / (len(samples) * waveforms.shape[-1])
        text += f", {100 * share:.1f} % padding"
    return text


def _targets_text(targets: Any) -> str:
    """Return which targets a batch has, for its page: of classes how many clips each has."""
    if isinstance(targets, torch.Tensor) and targets.dim() == 1 and not targets.is_floating_point():
        targets = targets.tolist()
    if not isinstance(targets, list) or not all(isinstance(target, (int, str)) for target in targets):
        return ""
    counts = Counter(targets).most_common()
    shown = ", ".join(f"{target!r} ({often})" for target, often in counts[:_TARGETS])
    more = f" and {len(counts) - _TARGETS} more" if len(counts) > _TARGETS else ""
    return f"targets (clips): {shown}{more}" if counts else ""


def _faults_text(batch: AudioBatch) -> str:
    """Return how many clips are not in a batch, for its page."""
    count = len(batch.faults)
    return f"{count} fault{'s' * (count != 1)}, in batch.faults; the first: {batch.faults[0]}" if count else ""


def _picture(batch: AudioBatch) -> str:
    """Return a small picture of the features of a batch's first clips for its page, if they are there and few bytes."""
    features = _held(batch, "features")
    if features is _MISSING or features is None:
        return ""
    from audiofeed.drawing.inline_pictures import features_png, thinned
    from audiofeed.drawing.pages import escaped

    parts = []
    for name, values in named_features(features).items():
        if not isinstance(values, torch.Tensor) or values.dim() not in (3, 4) or values.device.type == "meta":
            continue
        shown = min(_CLIPS, len(values))
        values = values[:shown].detach()
        values = values[:, 0] if values.dim() == 4 else values
        values = values if batch.layout == "bins_frames" else values.mT
        every_bin, every_frame = thinned(*values.shape[1:])
        # thinned out where it is: a notebook's line should not copy a batch from a GPU
        few = values[:, ::every_bin, ::every_frame].cpu()
        few = few.to(torch.complex64).abs() if few.is_complex() else few.float()
        known = _held(batch, "feature_lengths")
        lengths = lengths_of(None if known is _MISSING else known, name, values.shape[-1], shown)
        uri = features_png(list(few.numpy()), [-(-length // every_frame) for length in lengths])
        if uri:
            label = f"{name or 'features'} of the first {shown} clip{'s' * (shown != 1)}"
            parts.append(
                f'<div>{escaped(label)}</div><img alt="{escaped(label)}" src="{uri}" '
                'style="image-rendering:pixelated;height:96px;max-width:100%">'
            )
    return "".join(parts)
