"""The page that a notebook shows of a module: its settings, shapes, method, filters and members."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import torch
from torch import nn

from audiofeed.arguments.signature import attribute_of, value_text
from audiofeed.drawing.found_filters import filters_in
from audiofeed.drawing.inline_pictures import curves_svg
from audiofeed.drawing.pages import folded, guarded, line, page, table

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_REQUIRED = "(must be given)"
# defaults that leave it to the others what the setting is: nobody can tell afterwards if it was given
_LEFT_OPEN = ("None", "'auto'")


def module_html(module: nn.Module) -> str:
    """Return the page that a notebook shows of a transform or an augmentation module, as its `_repr_html_`.

    It computes no features, draws nothing at random and never fails: what cannot be shown says why.
    """
    return guarded(module, lambda module: page(*_head(module), *_parts(module), _filters(module)))


def _head(module: nn.Module) -> tuple[str, str]:
    return type(module).__name__, _shapes(module)


def _parts(module: nn.Module) -> list[str]:
    """Return what a module's page says of the module itself and of its members."""
    parts = [line(text) for text in (_seconds(module), _method(module), _trained(module)) if text]
    rows = settings_of(module)
    differing = [row for row in rows if row[1] != row[2]]
    chosen = [row for row in differing if row[2] not in _LEFT_OPEN]
    settled = [f"{name}={value}" for name, value, default in differing if default in _LEFT_OPEN]
    if chosen:
        parts.append(table(chosen, ("setting", "value", "default")))
    if settled:
        parts.append(line(f"given, or settled from the others: {', '.join(settled)}"))
    if len(rows) > len(chosen):
        parts.append(
            folded(
                f"all {len(rows)} settings" if len(rows) > 1 else "its setting",
                table(rows, ("setting", "value", "default")),
            )
        )
    for name, member in _members(module):
        head = " ".join(filter(None, [f"{name}: {type(member).__name__}", _shapes(member)]))
        parts.append(folded(head, guarded(member, lambda member: "".join(_parts(member)) or line("no settings"))))
    return parts


def settings_of(module: nn.Module) -> list[tuple[str, str, str]]:
    """Return the settings of a module for its page: the name, value and default of each argument of its class.

    Modules among them are members and no settings. The value is what the argument was settled to, as `hop_length=None`
    is to a number.
    """
    rows = []
    for parameter in inspect.signature(type(module)).parameters.values():
        if parameter.kind not in _NAMED:
            continue
        try:
            value = getattr(module, attribute_of(type(module), parameter.name))
        except AttributeError:
            continue  # not kept: an augmentation of somebody's own need not
        if isinstance(value, nn.Module):
            continue
        default = parameter.default
        given = _REQUIRED if default is parameter.empty else _text(default)
        # 1 and 1.0 are one setting
        is_default = default is not parameter.empty and _equal(value, default)
        rows.append((parameter.name, given if is_default else _text(value), given))
    return rows


def _equal(value: Any, default: Any) -> bool:
    """Return True if a module's setting has its default value."""
    try:
        return bool(np.all(value == default)) and isinstance(value, bool) == isinstance(default, bool)
    except (TypeError, ValueError, RuntimeError):
        return False


def _text(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} tensor {tuple(value.shape)}"
    return f"{value:.6g}" if isinstance(value, float) else value_text(value)


def _members(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the members of a module that its page describes: those that have a page, or settings, of their own."""
    # once each, also where two names lead to one
    return [(name, member) for name, member in module.named_children() if not isinstance(member, nn.ModuleList)] + [
        (f"{name}.{own}", member)
        for name, members in module.named_children()
        if isinstance(members, nn.ModuleList)
        for own, member in members.named_children()
    ]


def _shapes(module: nn.Module) -> str:
    """Return the shapes that a module takes and gives, as its documentation has them, with its settings put in."""
    if isinstance(module, nn.Sequential):
        members = list(module)
        firsts = [_shapes(member) for member in members]
        taken, _, given = firsts[0].partition(" → ") if firsts else ("", "", "")
        for text in firsts[1:]:
            following = text.partition(" → ")[2]
            # of the same shape, or of one that depends on what it is given
            if following and not re.search(r"[a-z] bins|\bbins\b|same", following):
                given = following
        return f"{taken} → {given}" if given else ""
    text = _returned(type(module).__doc__ or "")
    found = re.match(r"(?P<given>(?:complex )?\([^()]*(?:\([^()]*\)[^()]*)*\)|the same shape)", text)
    if found is None:
        return ""
    source = re.search(r", (?:with .*, )?from (?:an? )?(?P<taken>[^(]*\([^()]*(?:\([^()]*\)[^()]*)*\))", text)
    taken = source.group("taken") if source else "lengths"
    taken = "waveform (..., time)" if taken.startswith("lengths") else taken
    given = found.group("given")
    if getattr(module, "power", 1) is None and not given.startswith("complex"):
        given = f"complex {given}"
    return f"{_filled(module, taken)} → {_filled(module, given)}"


def _returned(text: str) -> str:
    """Return what a class's documentation says of its results, in one line."""
    found = re.search(r"^Returns:\n((?:    .*\n?|\n(?=    ))+)", inspect.cleandoc(text), re.MULTILINE)
    return " ".join(found.group(1).split()) if found else ""


def _filled(module: nn.Module, text: str) -> str:
    """Return shapes with the numbers of a module's settings in place of their names."""

    def number(match: re.Match[str]) -> str:
        value = getattr(module, match.group(), None)
        if isinstance(value, (list, tuple)):
            value = len(value)
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else match.group()

    text = re.sub(r"\b[a-z]\w*_?\w*\b(?=[^()]*\))", number, text)
    text = re.sub(r"\b(\d+) // 2 \+ 1", lambda match: str(int(match.group(1)) // 2 + 1), text)
    return re.sub(r"\b(\d+) \+ 1\b", lambda match: str(int(match.group(1)) + 1), text)


def _seconds(module: nn.Module) -> str:
    """Return how many frames a module makes of one second, where it knows."""
    rate, count = getattr(module, "sample_rate", None), getattr(module, "frame_lengths", None)
    if rate is None or not callable(count) or getattr(module, "takes_features", False):
        return ""
    samples = round(rate)
    frames = count(torch.tensor([samples], device="cpu"))
    if isinstance(frames, dict):
        known = {name: int(n[0]) for name, n in frames.items() if n is not None}
        text = ", ".join(f"{n} of {name}" for name, n in known.items())
    else:
        text = str(int(frames[0]))
    gives = "samples" if getattr(module, "gives_waveforms", False) else "frames"
    hop = getattr(module, "hop_length", None)
    apart = f", {1000 * hop / rate:.4g} ms apart" if isinstance(hop, int) and gives == "frames" else ""
    return f"1 s at {rate:g} Hz ({samples} samples) gives {text} {gives}{apart}"


def _method(module: nn.Module) -> str:
    """Return by which method a module computes float32 samples where it lives, and why."""
    method, runs_on = getattr(module, "method", None), getattr(module, "runs_on", None)
    if method is None:
        return ""
    if callable(runs_on):
        held = next((buffer for buffer in module.buffers()), torch.empty(0))
        samples = 4 * int(getattr(module, "n_fft", 4096))
        return f"computed by {runs_on(torch.zeros(1, samples, device=held.device))} (float32 on {held.device})"
    reason = getattr(module, "method_reason", "")
    return f"computed by {method}" + (f": {reason}" if reason else "")


def _trained(module: nn.Module) -> str:
    """Return what of a module is trained."""
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if not trained:
        return ""
    shown = [f"{name} ({' x '.join(map(str, p.shape)) or '1'})" for name, p in list(trained.items())[:6]]
    more = f" and {len(trained) - len(shown)} more" if len(trained) > len(shown) else ""
    return f"trains {', '.join(shown)}{more}"


def _filters(module: nn.Module) -> str:
    """Return the curves of the filters in a module."""
    parts = []
    found = filters_in(module)
    for name, responses in found:
        title = line(f"{name}: {responses.quantity}") if len(found) > 1 else line(responses.quantity)
        parts.append(title + curves_svg(responses.frequencies, responses.values, logarithmic=responses.logarithmic))
    return "".join(parts)
