"""A short hash that tells whether two lists of clips are the same: for states that are resumed, and for ranks."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

# bytes of the hash: two different lists are alike once in 2**128
_SIZE = 16
_NUMBERS: tuple[tuple[tuple[type, ...], type], ...] = (
    ((bool, np.bool_), np.bool_),
    ((int, np.integer), np.int64),
    ((float, np.floating), np.float64),
)


def fingerprint(
    lengths: Sequence[float] | np.ndarray | torch.Tensor,
    *,
    paths: Sequence[str] | None = None,
    targets: Sequence[Any] | np.ndarray | torch.Tensor | None = None,
    further: Mapping[str, Any] | None = None,
) -> str:
    """Return a short text that is the same for the same list of clips in the same order, on every machine.

    Paths count from the folder that all of them have in common, so a corpus may lie elsewhere on another machine.
    Integers of any width count alike, and so do floats; a list, a tuple and an array of the same numbers are the same.

    Args:
        lengths: Length of each clip, in samples or in seconds.
        paths: Path of each clip's file; None for clips that have no name.
        targets: Target of each clip, of any kind: numbers, text, lists, sets, dicts, arrays, tensors, dataclasses and
            None are taken by value, any other object by the name of its type alone.
        further: Any further columns or settings that must be alike, by name.

    Returns:
        The number of clips, a hyphen, and 32 hexadecimal digits, as in "300-5d41...".

    Raises:
        ValueError: `paths` or `targets` has another length than `lengths`.

    >>> at_home = fingerprint([8000, 4000], paths=["/home/ann/a.wav", "/home/ann/b/c.wav"], targets=[0, 1])
    >>> at_home == fingerprint(np.array([8000, 4000]), paths=["/data/a.wav", "/data/b/c.wav"], targets=(0, 1))
    True
    >>> at_home == fingerprint([8000, 4001], paths=["/data/a.wav", "/data/b/c.wav"], targets=[0, 1])
    False
    """
    state = hashlib.blake2b(digest_size=_SIZE)
    for name, column in {"paths": paths, "targets": targets}.items():
        if column is not None and len(column) != len(lengths):
            raise ValueError(f"{name} has {len(column)} values for {len(lengths)} lengths; there must be one for each")
    _add(state, "lengths")
    _add(state, lengths)
    _add(state, "paths")
    _add(state, None if paths is None else relative_to_common(paths))
    _add(state, "targets")
    _add(state, targets)
    _add(state, dict(further or {}))
    return f"{len(lengths)}-{state.hexdigest()}"


def relative_to_common(paths: Iterable[str]) -> list[str]:
    """Return paths as seen from the deepest folder that all of them lie in, for the fingerprint of a list of clips.

    Args:
        paths: Paths of files, all absolute or all relative.

    Returns:
        One per path, with "/" between folders.

    >>> relative_to_common(["/data/speech/a.wav", "/data/music/b.wav"])
    ['speech/a.wav', 'music/b.wav']
    """
    names = [os.fsdecode(path).replace(os.sep, "/") for path in paths]
    if not names:
        return names
    # what the first and the last in order share, all between them share too
    first, last = min(names), max(names)
    shared = os.path.commonprefix([first, last])  # noqa: RUF071 (a common path would need paths of one kind)
    start = shared.rfind("/") + 1
    return [name[start:] for name in names]


def _add(state: Any, value: Any) -> None:
    """Add a value of a list of clips to the hash of its fingerprint, with its kind and its size."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().resolve_conj().resolve_neg()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, (list, tuple)) and value:
        packed = _packed(value)
        value = value if packed is None else packed
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        _add_array(state, value)
    elif value is None:
        state.update(b"N")
    elif isinstance(value, str):
        _add_bytes(state, b"S", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, (bytes, bytearray)):
        _add_bytes(state, b"Y", bytes(value))
    elif isinstance(value, os.PathLike):
        _add(state, os.fsdecode(value))
    elif isinstance(value, (set, frozenset)):
        _add(state, sorted(value, key=repr))
    elif isinstance(value, Mapping):
        state.update(b"D" + struct.pack("<q", len(value)))
        for key in sorted(value, key=str):
            _add(state, key)
            _add(state, value[key])
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        _add(state, type(value).__name__)
        _add(state, {field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    elif isinstance(value, (bool, int, float, complex, np.generic)):
        _add_number(state, value)
    elif isinstance(value, np.ndarray) and value.ndim == 0:
        _add(state, value.item())
    elif isinstance(value, (Sequence, np.ndarray)):
        _add_sequence(state, value.tolist() if isinstance(value, np.ndarray) else list(value))
    else:
        _add(state, type(value).__name__)


def _add_sequence(state: Any, values: list[Any]) -> None:
    """Add a sequence of anything to the hash of a list of clips; texts alone are joined, which is ten times as fast."""
    state.update(b"L" + struct.pack("<q", len(values)))
    if values and all(type(value) is str for value in values):
        pieces = [value.encode("utf-8", "surrogatepass") for value in values]
        _add_array(state, np.array([len(piece) for piece in pieces], dtype=np.int64))
        state.update(b"".join(pieces))
        return
    for value in values:
        _add(state, value)


def _packed(values: Sequence[Any]) -> np.ndarray | None:
    """Return numbers of one kind in a list of a clip's values as an array, else None."""
    kinds = {type(value) for value in values}
    for family, dtype in _NUMBERS:
        if all(issubclass(found, family) and (found is not bool or bool in family) for found in kinds):
            try:
                return np.array(values, dtype=dtype)
            except OverflowError:  # an integer beyond 64 bits
                return None
    return None


def _add_array(state: Any, values: np.ndarray) -> None:
    """Add an array of numbers to the hash of a list of clips, the same for every width of its kind."""
    wide = {"b": "<i8", "i": "<i8", "u": "<i8", "f": "<f8", "c": "<c16"}[values.dtype.kind]
    data = np.ascontiguousarray(values.astype(wide))
    if data.dtype.kind in "fc":
        data = data + 0.0  # -0.0 equals 0.0
    state.update(b"A" + wide[1:2].encode() + struct.pack(f"<q{values.ndim}q", values.ndim, *values.shape))
    state.update(data.tobytes())


def _add_number(state: Any, value: Any) -> None:
    """Add one number of a list of clips to the hash."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, (bool, int)):
        _add_bytes(state, b"I", str(int(plain)).encode())
    elif isinstance(plain, (float, complex)):
        _add_array(state, np.array(plain))
    else:
        _add(state, str(plain))


def _add_bytes(state: Any, kind: bytes, data: bytes) -> None:
    state.update(kind + struct.pack("<q", len(data)))
    state.update(data)
