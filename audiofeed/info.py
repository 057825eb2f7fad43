"""What `audiofeed info` prints: the versions, readers, methods, threads and devices that a bug report needs."""

from __future__ import annotations

import importlib
import importlib.metadata
import multiprocessing
import os
import platform
from collections.abc import Iterable

import torch

from audiofeed.data.readers import registry
from audiofeed.demo.settings import cpu_count
from audiofeed.transforms import LogMelSpectrogram

# what computes and reads; each is imported, for one that is installed may still fail to, as torchaudio beside a torch
# that it was not built for, or torchcodec without FFmpeg
_WORKING = ("numpy", "scipy", "llvmlite", "soundfile", "miniaudio", "soxr", "torchcodec", "torchaudio", "triton")
# what only draws, tabulates or is compared with
_BESIDE = ("matplotlib", "pyarrow", "rich", "librosa", "transformers")
_SWITCHES = ("AUDIOFEED_", "OMP_", "MKL_", "CUDA_VISIBLE_DEVICES")


def describe(version: str) -> dict[str, str]:
    """Describe this machine and what is installed on it, as lines of a bug report.

    Args:
        version: The package's own version.

    Returns:
        Names of the lines and their texts, in the order in which they are shown. The same names on every machine.
    """
    return {
        "audiofeed": version,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "torch": f"{torch.__version__}, built for {_built_for()}",
        **{name: _working(name) for name in _WORKING},
        **{name: _version(name) or "not installed" for name in _BESIDE},
        "readers": ", ".join(reader.name for reader in registry.READERS),
        "on the CPU": _method(torch.device("cpu")),
        "threads": f"{cpu_count()} CPUs for this process, torch computes on {torch.get_num_threads()}",
        "workers": f"start by {multiprocessing.get_start_method()}",
        "accelerator": _accelerator(),
        "environment": _switches(os.environ.items()),
    }


def as_text(lines: dict[str, str]) -> str:
    """Return lines of a bug report as text, their names in one column.

    Args:
        lines: Names and texts, as `describe` returns them.

    >>> print(as_text({"torch": "2.11.0", "audiofeed": "0.1.0"}))
    torch      2.11.0
    audiofeed  0.1.0
    """
    width = max(map(len, lines))
    return "\n".join(f"{name:{width}}  {text}" for name, text in lines.items())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _working(package: str) -> str:
    version = _version(package)
    if version is None:
        return "not installed"
    try:
        module = importlib.import_module(package)
    except Exception as error:  # noqa: BLE001  # whatever a broken installation raises is what the report is about
        return f"{version}, which does not import: {_first_line(error)}"
    library = getattr(module, "__libsndfile_version__", None)
    return version if library is None else f"{version} (libsndfile {library})"


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _built_for() -> str:
    if torch.version.cuda is not None:
        return f"CUDA {torch.version.cuda}"
    hip = getattr(torch.version, "hip", None)
    return "the CPU" if hip is None else f"ROCm {hip}"


def _method(device: torch.device) -> str:
    """Return how log-mel would be computed on a device, in the transform's own words."""
    try:
        transform = LogMelSpectrogram(sample_rate=16_000, n_fft=400, hop_length=160, n_mels=80).to(device)
        return f"log-mel by {transform.runs_on(torch.zeros(1, 16_000, device=device))}"
    except (RuntimeError, NotImplementedError) as error:
        return f"unusable: {_first_line(error)}"


def _accelerator() -> str:
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if device is None:
        return "none"
    if device.type != "cuda":
        return f"{device.type}; {_method(device)}"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return f"{', '.join(names)}; {_method(device)}"


def _switches(environment: Iterable[tuple[str, str]]) -> str:
    """Return the settings of an environment that change what is computed, and how fast."""
    found = [f"{name}={value}" for name, value in sorted(environment) if name.startswith(_SWITCHES)]
    return " ".join(found) or "no setting"
