"""A report's clips, one card each: sound, waveform and features, with the padding that a batch gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audiofeed.report.drawing import Element, color_scale, data_uri, features_picture, tag, waveform_picture
from audiofeed.report.shown_clips import ShownBatch, ShownClip, encode_sound
from audiofeed.report.words import count, duration, percent


def clips_section(figures: Mapping[str, Any], batch: ShownBatch | None) -> list[Element | None]:
    """Return a report's cards of clips.

    Args:
        figures: As `write_report` returns them.
        batch: The clips; None without any.
    """
    if batch is None:
        return [tag("p", "None were asked for.")]
    shown = figures["shown"]
    padding = sum(clip["padding"] for clip in shown) / len(shown)
    longest = max(clip["seconds"] for clip in shown)
    said = f"{count(len(shown), 'clip')}, drawn at random, as one batch of {duration(longest)}"
    said += f" with {percent(padding)} padding."
    if figures["shown_by_their_middle"]:
        said += f" Clips above {figures['shown_by_their_middle']:g} s are shown by their middle; see --crop."
    if batch.shape is not None:
        said += f" The features have the shape ({', '.join(map(str, batch.shape))})"
        said += f" of {batch.drawn}" if batch.drawn else ""
        said += "; the first of each clip's channels is drawn." if len(batch.shape) > 3 else "."
    refused = tag("p", f"The transform has no features of this batch: {batch.refused}", class_="binds")
    return [
        tag("p", said),
        refused if batch.refused else None,
        None if batch.shape is None or len(batch.shape) == 2 else color_scale(batch.scale, batch.unit),
        tag("div", [_card(said, clip, batch) for said, clip in zip(shown, batch.clips, strict=True)], class_="grid"),
    ]


def _card(said: Mapping[str, Any], clip: ShownClip, batch: ShownBatch) -> Element:
    """Return the card of one of a report's clips."""
    sound, media, seconds = encode_sound(clip.waveform[: clip.length], batch.sample_rate)
    # a rounding of the encoder's rate is no cut
    cut = f"; the sound is its first {seconds:.1f} s" if seconds < said["seconds"] - 0.01 else ""
    place = duration(said["clip_seconds"])
    if said["seconds"] < said["clip_seconds"] - 0.001:
        place = f"{said['start']:.2f} to {said['start'] + said['seconds']:.2f} s of {place}"
    frames = f"{said['frames']:,} of {said['of_frames']:,} frames" if said["frames"] is not None else None
    line = ", ".join(part for part in (place, f"{percent(said['padding'])} padding", frames) if part is not None) + cut
    whose = f"of {said['clip']}, {percent(said['padding'])} of it padding at the end"
    return tag(
        "article",
        tag("h3", f"{said['label']}: " if said["label"] is not None else None, said["clip"]),
        tag("p", line),
        tag("audio", controls="", preload="none", src=data_uri(sound, media), aria_label=f"Sound of {said['clip']}"),
        waveform_picture(clip.waveform, clip.length, batch.sample_rate, f"Waveform {whose}"),
        _features(clip, batch, f"Features {whose}"),
    )


def _features(clip: ShownClip, batch: ShownBatch, label: str) -> Element | None:
    if clip.picture is None:
        return None
    if clip.picture.ndim == 1:
        peak = max(abs(batch.scale[0]), abs(batch.scale[1]))
        frames = len(clip.picture) if clip.frames is None else clip.frames
        own = waveform_picture(clip.picture / peak, frames, batch.sample_rate, label)
        return tag("div", tag("p", f"What the transform gives, drawn from -{peak:.3g} to {peak:.3g}:"), own)
    return features_picture(clip.picture, clip.frames, batch.scale, batch.seconds, batch.frequencies, label)
