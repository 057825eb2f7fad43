"""Normalization of features by the mean and standard deviation of a data set."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audiofeed.arguments.checks import shortened, warn_caller
from audiofeed.methods.frame_steps import Affine, ValueStep
from audiofeed.transforms.contract.feature_transform import FeatureTransform
from audiofeed.transforms.normalization.measured import measured_moments

_FORMAT = "audiofeed.Normalize"
_NAMES = ("mean", "std")
_SHOWN = 8  # bins that a message names

Constants = float | Sequence[float] | np.ndarray | torch.Tensor


class Normalize(FeatureTransform):
    """Normalize features by the mean and standard deviation of a data set, as a module: (features - mean) / std.

    The constants are one number, or one for each bin. They are given, or measured (`Normalize.of(loader)`), or come
    from a file (`Normalize.load(path)`). They are part of the `state_dict`, in float64, so that a checkpoint keeps what
    was measured; a checkpoint without them leaves those of the constructor. What lies past a clip's end stays 0.

    Args:
        mean: a finite number, or (bins,) of them.
        std: a number > 0, or (bins,) of them.

    Returns:
        the same shape, from features (batch, ..., bins, frames) or (bins, frames), lengths (batch,) in frames.

    Raises:
        ValueError: for constants that are not finite, a standard deviation that is not above 0, or numbers of bins that
            differ; at the call, for features with other bins, or lengths that do not fit.
        TypeError: for features that are complex or of integers.

    >>> Normalize(mean=-4.0, std=2.0)(torch.tensor([[-4.0, 0.0]])).tolist()
    [[0.0, 2.0]]
    >>> Normalize([0.0, 1.0], [1.0, 2.0])(torch.full((2, 1), 3.0)).tolist()
    [[3.0], [1.0]]
    """

    keeps_bins, is_light = True, True
    own_frames_alone = True

    def __init__(self, mean: Constants, std: Constants) -> None:
        super().__init__()
        self._set(mean, std)

    def _set(self, mean: Any, std: Any) -> None:
        """Keep the constants of a normalization, as numbers and as what a call takes of them."""
        found = {name: _constants(name, value) for name, value in zip(_NAMES, (mean, std), strict=True)}
        sizes = {name: len(value) for name, value in found.items() if isinstance(value, tuple)}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"mean and std must have the same number of bins, and have {sizes}")
        self._bins = next(iter(sizes.values()), None)
        self.mean, self.std = found["mean"], found["std"]
        held = self._buffers.get("of_mean")
        for name, value in found.items():
            column = (-1, 1) if isinstance(value, tuple) else ()
            self.define(f"of_{name}", functools.partial(_column, value, column))
        if held is not None:
            device, dtype = held.device, held.dtype
            self._apply(lambda tensor: tensor.to(device=device, dtype=dtype))

    @classmethod
    def of(cls, loader: Iterable[Any], *, per_bin: bool = True, progress: bool | None = None) -> Normalize:
        """Measure the mean and standard deviation of a data set, and return the module that normalizes by them.

        Only the clips' own frames count, in float64, merged exactly: the batches may be of any size. All clips and
        channels count together. A bin that never changes has no deviation: it is divided by 1, and a warning names it.

        Args:
            loader: gives batches, and ends: a DataLoader with `GPUSpecCollate`, or any iterable of features
                (batch, ..., bins, frames) or of (features, lengths), lengths (batch,) in frames.
            per_bin: one mean and standard deviation for each bin. False: one of all values.
            progress: True draws a progress bar; None draws one on a terminal if it takes over a second.

        Returns:
            The module; `save` keeps its constants in a file.

        Raises:
            TypeError: for batches of another form.
            ValueError: without a batch, for batches that differ in bins, or features that are not finite.

        >>> Normalize.of([torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0]])]).mean
        (2.0,)
        """
        moments = measured_moments(loader, progress=progress)
        if not per_bin:
            moments = moments.pooled()
        deviation = moments.deviation
        # what rounding leaves of a bin that does not change
        still = deviation <= 1e-12 * np.abs(moments.mean)
        if still.any():
            bins = np.flatnonzero(still).tolist()
            listed = f"{', '.join(map(str, bins[:_SHOWN]))}{', ...' if len(bins) > _SHOWN else ''}"
            what = f"bins {listed} (of {len(still)})" if per_bin else "features"
            warn_caller(
                f"{what} never change over the data set, and have no standard deviation; 1 is taken for it, so that "
                "they become 0"
            )
        deviation = np.where(still, 1.0, deviation)
        if not per_bin:
            return cls(float(moments.mean[0]), float(deviation[0]))
        return cls(moments.mean, deviation)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Normalize:
        """Return the normalization whose constants were saved to a file.

        Args:
            path: a file that `save` wrote: JSON, which runs no code when it is read.

        Raises:
            ValueError: for a file of another kind, or constants out of range.
        """
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            if not isinstance(found, dict) or found.get("format") != _FORMAT:
                raise ValueError(f'it has no "format": "{_FORMAT}"')
            return cls(found["mean"], found["std"])
        except (ValueError, KeyError, TypeError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"{os.fspath(path)} is no file of Normalize.save: {reason}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the constants of a normalization to a file, for `load`: JSON, with all digits.

        Args:
            path: the file, by custom with the ending ".json"; one that is there is replaced.
        """
        entries = {"format": _FORMAT, "mean": self.mean, "std": self.std}
        Path(path).write_text(json.dumps(entries) + "\n", encoding="utf-8")

    def inverse(self) -> Normalize:
        """Return the module that takes normalized features back to what they were.

        >>> Normalize(mean=-4.0, std=2.0).inverse()(torch.tensor([[0.0, 2.0]])).tolist()
        [[-4.0, 0.0]]
        """
        mean, std = (np.asarray(value, dtype=np.float64) for value in (self.mean, self.std))
        return Normalize(-mean / std, 1.0 / std)

    def check_features(self, features: torch.Tensor) -> None:
        super().check_features(features)
        if self._bins is not None and features.shape[-2] != self._bins:
            raise ValueError(
                f"features has shape (..., {features.shape[-2]}, {features.shape[-1]}), and mean and std are of "
                f"{self._bins} bins; the second last dimension is the bins"
            )

    def value_steps(self, like: torch.Tensor) -> tuple[ValueStep, ...] | None:
        mean, std = self.filter_like("of_mean", like), self.filter_like("of_std", like)
        if mean.dim() or std.dim():  # one of the two may be the same for all bins
            mean, std = torch.broadcast_tensors(mean.flatten(), std.flatten())
        return (Affine(-mean, std),)

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        mean, std = self.filter_like("of_mean", features), self.filter_like("of_std", features)
        centered = features - mean
        return centered / std if graph else centered.div_(std)

    # ---------------------------------------------------------------- checkpoints

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in _NAMES:
            destination[prefix + name] = torch.tensor(getattr(self, name), dtype=torch.float64, device="cpu")

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        super()._load_from_state_dict(
            dict(state_dict), prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        keys = [prefix + name for name in _NAMES]
        unexpected_keys[:] = [key for key in unexpected_keys if key not in keys]
        found = [state_dict.get(key) for key in keys]
        if all(value is None for value in found):
            return  # a checkpoint of a model that had none
        missing_keys.extend(key for key, value in zip(keys, found, strict=True) if value is None)
        if any(value is None or value.is_meta for value in found):
            return
        try:
            self._set(*found)
        except ValueError as error:
            error_msgs.append(f"{prefix or 'Normalize'}: {error}")


def _constants(name: str, value: Any) -> float | tuple[float, ...]:
    """Return a normalization's constants as a number, or as one for each bin; an error names what is wrong."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value if value.is_complex() else value.double()).numpy()
    rule = "a number, or one for each bin: (bins,)"
    try:
        found = np.asarray(value)
    except ValueError:  # rows of unequal lengths
        found = np.empty((), dtype=object)
    # None would become NaN, a text that holds a number that number, and a complex number its real part
    if found.dtype.kind not in "iuf":
        raise ValueError(f"{name}={shortened(value)} must be {rule}")
    found = found.astype(np.float64)
    if found.ndim > 1 or found.size == 0:
        remedy = f"; {name}.reshape(-1) has them in a row" if found.size and found.size == max(found.shape) else ""
        raise ValueError(f"{name} has shape {found.shape}, and must be {rule}{remedy}")
    wrong = ~np.isfinite(found) | (found <= 0 if name == "std" else np.zeros(found.shape, dtype=bool))
    if wrong.any():
        rule = "finite and > 0; for bins that never change take 1.0" if name == "std" else "finite"
        where = "" if found.ndim == 0 else f" of bin {int(np.flatnonzero(wrong)[0])}"
        raise ValueError(f"{name}{where} is {float(found[wrong][0])!r}, and must be {rule}")
    return tuple(found.tolist()) if found.ndim else float(found)


def _column(value: float | tuple[float, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Return a normalization's constants as a float64 array of a shape."""
    return np.asarray(value, dtype=np.float64).reshape(shape)
