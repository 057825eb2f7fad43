"""The text that names a report's transform: calls of audiofeed's own names with literal settings, never evaluated."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

import audiofeed.presets as presets
import audiofeed.transforms as transforms
from audiofeed.feed.transform_contract import takes_features
from audiofeed.survey.settings import ScanError

# of log-mel as speech models take it
_MEL_WINDOW, _MEL_HOP, _MELS, _LEAST_FFT = 0.025, 0.010, 80, 512
_REMEDY = "write a name with settings, such as mel, whisper, 'CQT(n_bins=72)' or 'MelSpectrogram(n_mels=80)'"
_CLASSES = {name: getattr(transforms, name) for name in transforms.__all__}
# from_extractor takes an object, which no text can hold
_PRESETS = {name: getattr(presets, name) for name in presets.__all__ if name != "from_extractor"}
_PACKAGES = ("af", "audiofeed", "presets", "transforms")


def mel(*, sample_rate: float, **settings: Any) -> torch.nn.Module:
    """Return the log-mel that a report takes where no transform is named: 80 bins, 25 ms every 10 ms.

    Args:
        sample_rate: Hz.
        **settings: Of `LogMelSpectrogram`, in place of these.

    >>> mel(sample_rate=16_000)(torch.zeros(1, 16_000)).shape
    torch.Size([1, 80, 101])
    """
    window = max(2, round(_MEL_WINDOW * sample_rate))
    usual = {
        "n_fft": max(_LEAST_FFT, 1 << (window - 1).bit_length()),
        "win_length": window,
        "hop_length": max(1, round(_MEL_HOP * sample_rate)),
        "n_mels": _MELS,
    }
    return transforms.LogMelSpectrogram(sample_rate=sample_rate, **{**usual, **settings})


@dataclass(frozen=True)
class _Call:
    """Call in a report's text of a transform: what is called, and with what, calls among it."""

    name: str
    target: Callable[..., Any]
    arguments: tuple[Any, ...]
    settings: Mapping[str, Any]

    def make(self, sample_rate: int) -> Any:
        settings = {name: _made(value, sample_rate) for name, value in self.settings.items()}
        if "sample_rate" not in settings and _lacks_rate(self.target):
            settings["sample_rate"] = sample_rate
        try:
            return self.target(*(_made(value, sample_rate) for value in self.arguments), **settings)
        except (ValueError, TypeError) as error:
            raise ScanError(f"--transform {self.name}: {' '.join(str(error).split())}") from error


@dataclass(frozen=True)
class TransformText:
    """Text of a report's transform, read and checked, from which the transform is made.

    Args:
        text: As it was given.
    """

    text: str
    _call: _Call

    def make(self, sample_rate: int) -> torch.nn.Module:
        """Make the transform that the report's text names.

        Args:
            sample_rate: Hz, for those that need one and are not given one.

        Raises:
            ScanError: A setting is out of range, or the transform takes features in place of waveforms.
        """
        transform: torch.nn.Module = self._call.make(sample_rate)
        if takes_features(transform):
            raise ScanError(
                f"--transform {self.text!r} takes features, and clips are waveforms; put it behind a transform of "
                f"these: 'Chain(MelSpectrogram(), {self.text})'"
            )
        return transform


def read_transform(text: str) -> TransformText:
    """Read a report's text of a transform: a name, alone or called with settings that are literals or such calls.

    Names are those of `audiofeed`'s transforms, in any case if that is clear, and of `audiofeed.presets`; `mel` is
    log-mel of 80 bins every 10 ms. Nothing is evaluated.

    Args:
        text: Such as "mel", "whisper" or "MelSpectrogram(sample_rate=16000, n_mels=80)".

    Raises:
        ScanError: It is nothing of this kind, or a name or a setting is unknown.

    >>> read_transform("MelSpectrogram(n_mels=40)").make(16_000).n_mels
    40
    >>> read_transform("Chain(MelSpectrogram(), AmplitudeToDB())").make(16_000).sample_rate
    16000
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ScanError(f"--transform {text!r} is no call of a transform; {_REMEDY}") from error
    if not isinstance(tree, (ast.Name, ast.Attribute, ast.Call)):
        raise ScanError(f"--transform {text!r} is no call of a transform; {_REMEDY}")
    return TransformText(text, _read_call(tree, text))


def _read_call(node: ast.expr, text: str) -> _Call:
    called = node.func if isinstance(node, ast.Call) else node
    name, target = _find(_name_of(called, text), text)
    if not isinstance(node, ast.Call):
        return _Call(name, target, (), {})
    if any(keyword.arg is None for keyword in node.keywords):
        raise ScanError(f"--transform {text!r} has **; write the settings one by one")
    arguments = tuple(_read_value(value, text) for value in node.args)
    settings = {str(keyword.arg): _read_value(keyword.value, text) for keyword in node.keywords}
    try:
        signature = inspect.signature(transforms.LogMelSpectrogram if target is mel else target)
        signature.bind_partial(*arguments, **settings)
    except TypeError as error:
        raise ScanError(f"--transform {name}: {error}; its settings are {', '.join(signature.parameters)}") from error
    return _Call(name, target, arguments, settings)


def _read_value(node: ast.expr, text: str) -> Any:
    """Return a setting of a report's transform: a literal, or a call to make."""
    if isinstance(node, ast.Call):
        return _read_call(node, text)
    if isinstance(node, (ast.Name, ast.Attribute)):
        written = ast.unparse(node)
        try:
            return _read_call(node, text)
        except ScanError as error:
            raise ScanError(
                f"--transform {text!r}: the setting {written} is neither a literal nor a transform; write text in "
                f"quotes: {written!r}"
            ) from error
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ScanError(
            f"--transform {text!r}: {ast.unparse(node)} is no literal; write a number, a text in quotes, True, False, "
            "None, or a list of these"
        ) from error


def _name_of(node: ast.expr, text: str) -> str:
    """Return the name that is called in a report's text, without the packages before it."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and all(part in _PACKAGES for part in ast.unparse(node.value).split(".")):
        return node.attr
    raise ScanError(f"--transform {text!r}: {ast.unparse(node)} is no transform of audiofeed; {_REMEDY}")


def _find(name: str, text: str) -> tuple[str, Callable[..., Any]]:
    """Return the transform or preset of a name in a report's text, and the name as it is spelled."""
    if name == "mel":
        return name, mel
    for known in (_CLASSES, _PRESETS):
        if name in known:
            return name, known[name]
    alike = [known for known in _CLASSES if known.lower() == name.lower()]
    if len(alike) == 1:
        return alike[0], _CLASSES[alike[0]]
    known_names = {known.lower(): known for known in ("mel", *_CLASSES, *_PRESETS)}
    close = [known_names[found] for found in difflib.get_close_matches(name.lower(), known_names, cutoff=0.7)]
    hint = f"did you mean {' or '.join(close)}?" if close else _REMEDY
    raise ScanError(f"--transform {text!r}: {name!r} is neither a transform nor a preset of audiofeed; {hint}")


def _lacks_rate(target: Callable[..., Any]) -> bool:
    """Return True if a transform that a report makes takes a sample rate and has none by default."""
    parameter = inspect.signature(target).parameters.get("sample_rate")
    return parameter is not None and parameter.default in (inspect.Parameter.empty, None)


def _made(value: Any, sample_rate: int) -> Any:
    return value.make(sample_rate) if isinstance(value, _Call) else value
