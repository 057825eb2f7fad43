"""The settings of an object of transformers' feature extractor classes, each of which is read or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_NO_SETTINGS = (
    # what it is called, and with what it came
    "feature_extractor_type", "image_processor_type", "processor_class", "_processor_class", "auto_map",
    "name_or_path", "_name_or_path", "_commit_hash", "model_input_names",
    # whether a mask is returned beside the features: a batch of ours has one
    "return_attention_mask",
)  # fmt: skip
# what to do about noise that an extractor adds, which no pure function of the waveform can
DITHER = (
    "noise is drawn from each example's seed here: set the attribute to 0.0, and give GPUSpecCollate "
    "augment=af.Dither(...) in training"
)
_SHOWN = 4  # values of an array in a message


class ExtractorSettings:
    """The settings of a feature extractor, which a preset takes one by one; `finish` refuses what nobody took.

    Args:
        cls: name of the extractor's class.
        values: its attributes.

    >>> settings = ExtractorSettings("WhisperFeatureExtractor", {"n_fft": 400, "dither": 0.5})
    >>> settings.take("n_fft")
    400
    >>> settings.expect("dither", 0.0)
    Traceback (most recent call last):
    ValueError: WhisperFeatureExtractor's dither=0.5 cannot be expressed by a preset, which has 0.0
    """

    def __init__(self, cls: str, values: Mapping[str, Any]) -> None:
        self.cls = cls
        self._values = {name: value for name, value in values.items() if name not in _NO_SETTINGS}
        self._left = set(self._values)
        if self._values.get("padding_side", "right") != "right":
            self.refuse("padding_side", "clips of a batch start together; use padding_side='right'")
        self._left.discard("padding_side")

    def take(self, name: str) -> Any:
        """Return an extractor's setting by its name, and count it as read.

        Raises:
            ValueError: if the object has none of that name.
        """
        if name not in self._values:
            raise ValueError(f"{self.cls} has no attribute {name}, which a preset reads; its version is another")
        self._left.discard(name)
        return self._values[name]

    def get(self, name: str, default: Any) -> Any:
        """Return an extractor's setting by its name, or a default where the version of its class does not have it."""
        return self.take(name) if name in self._values else default

    def expect(self, name: str, *known: Any, remedy: str | None = None) -> Any:
        """Return an extractor's setting that has to be one of those that a preset can express."""
        value = self.take(name)
        if not any(_same(value, one) for one in known):
            shown = " or ".join(map(repr, known))
            self.refuse(name, f"which has {shown}" + (f"; {remedy}" if remedy else ""))
        return value

    def derived(self, name: str, value: Any) -> None:
        """Check an extractor's attribute that follows from its other settings, if the object has it."""
        if name in self._values and not _same(self.take(name), value):
            self.refuse(name, f"in which it follows from the other settings and is {_shown(value)}")

    def filters(self, name: str, usual: np.ndarray) -> np.ndarray | None:
        """Return an extractor's filters, float64; None if they are the usual ones, which their definition makes.

        Args:
            name: of the attribute that holds them.
            usual: float64, of their shape.
        """
        found = np.asarray(self.take(name), dtype=np.float64)
        if found.shape != usual.shape:
            self.refuse(name, f"whose filters have shape {usual.shape}")
        return None if _same(found, usual) else found

    def ignore(self, *names: str) -> None:
        """Count attributes of an extractor as read that say nothing of what is computed."""
        self._left.difference_update(names)

    def refuse(self, name: str, why: str) -> None:
        """Raise the error for an extractor's setting that a preset cannot express."""
        raise ValueError(f"{self.cls}'s {name}={_shown(self._values[name])} cannot be expressed by a preset, {why}")

    def finish(self) -> None:
        """Check that every setting of an extractor was read.

        Raises:
            ValueError: naming those that were not.
        """
        if self._left:
            listed = ", ".join(f"{name}={_shown(self._values[name])}" for name in sorted(self._left))
            raise ValueError(
                f"{self.cls} has settings that its preset does not know: {listed}; delete the attribute if the class "
                "does not use it, or build the front-end from audiofeed's transforms (docs/frontends.md)"
            )


def _same(value: Any, other: Any) -> bool:
    """Return whether two settings are equal; arrays are up to what float32 rounds."""
    if isinstance(value, np.ndarray) or isinstance(other, np.ndarray):
        value, other = np.asarray(value), np.asarray(other)
        return value.shape == other.shape and np.allclose(value, other, rtol=0, atol=1e-6 * np.abs(other).max())
    return (type(value) is type(other) and value == other) or (
        _is_number(value) and _is_number(other) and value == other
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    if hasattr(value, "shape") and np.prod(value.shape) > _SHOWN:
        return f"<{' x '.join(map(str, value.shape))} values>"
    return repr(value)
