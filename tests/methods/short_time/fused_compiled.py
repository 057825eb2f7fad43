"""Compile the fused kernel for a card that is not there, exactly as a launch would, and say what it takes.

python -m tests.methods.short_time.fused_compiled --arch 90 --setting whisper
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

import audiofeed as af
from audiofeed.methods.short_time.fused import launch, triton_kernel

MEL = {"sample_rate": 16000, "hop_length": 160, "n_mels": 80}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "whisper": ("LogMelSpectrogram", {**MEL, "n_fft": 400, "pad_mode": "reflect", "log": "log10"}),
    "kaldi": (
        "LogMelSpectrogram",
        {
            **MEL, "n_fft": 512, "win_length": 400, "window": "povey", "window_at": "left", "placement": "snip_edges",
            "remove_dc": True, "preemphasis": 0.97,
        },
    ),
    "kaldi edges": (
        "LogMelSpectrogram",
        {
            **MEL, "n_fft": 512, "win_length": 400, "window": "povey", "window_at": "left", "placement": "keep_edges",
            "remove_dc": True, "preemphasis": 0.97, "pad_mode": "symmetric", "n_mels": 128,
        },
    ),
    "1024": ("LogMelSpectrogram", {"sample_rate": 32000, "n_fft": 1024, "hop_length": 320, "n_mels": 64}),
    "powers": ("Spectrogram", {"n_fft": 400, "hop_length": 160, "pad_mode": "reflect"}),
    "1024, 128 filters": (
        "LogMelSpectrogram",
        {
            "sample_rate": 32000, "n_fft": 1024, "hop_length": 320, "n_mels": 128, "pad_mode": "circular",
            "remove_dc": True, "preemphasis": 0.9, "power": 1.0, "root_offset": 1e-6,
        },
    ),
    "200 filters": ("LogMelSpectrogram", {"sample_rate": 16000, "n_fft": 512, "hop_length": 128, "n_mels": 200}),
}  # fmt: skip


class Absent:
    """Stands where Triton looks for a card: enough to compile for one."""

    def __init__(self, arch: int) -> None:
        from triton.backends.compiler import GPUTarget

        self.target = GPUTarget("cuda", arch, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> Any:
        return self.target


def compiled(name: str, arch: int, *, ragged: bool = False, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the kernel of a setting takes on a card of a compute capability.

    Args:
        name: of `SETTINGS`.
        arch: compute capability times ten.
        ragged: with lengths.
        settings: of the launch; None: those that the operator takes.
    """
    import triton

    triton.runtime.driver.set_active(Absent(arch))
    found: list[Any] = []
    kernel = triton_kernel.kernel()
    kernel.device_caches.clear()  # they know a card by its number alone

    class Caught:
        def __getitem__(self, grid: tuple[int, ...]) -> Any:
            return lambda *given, **named: found.append(kernel.run(*given, grid=grid, warmup=True, **named))

    held = triton_kernel.kernel, launch.launch_settings
    triton_kernel.kernel = lambda: Caught()
    if settings is not None:
        launch.launch_settings = lambda split, n_filters: settings
    try:
        kind, options = SETTINGS[name]
        module = getattr(af, kind)(method="fft", **options)
        x = torch.zeros(2, 8000)
        launch_without_card(module, x, torch.tensor([8000, 7000]) if ragged else None)
    finally:
        triton_kernel.kernel, launch.launch_settings = held
    cubin = found[0].asm["cubin"]
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(cubin)
        usage = subprocess.run([tool, "-res-usage", file], capture_output=True, text=True, check=True).stdout
        listing = subprocess.run([tool, "-sass", file], capture_output=True, text=True, check=True).stdout
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", usage).groups()
    instructions = re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\d+ )?([A-Z0-9]+)", listing, re.MULTILINE)
    spilled = sum(one in ("LDL", "STL") for one in instructions)
    own = launch.launch_settings(launch.split_for(options["n_fft"]), options.get("n_mels", 0))
    taken = settings or own
    return {
        "setting": name, "arch": arch, "ragged": ragged, "registers": int(registers), "stack": int(stack),
        "spills": spilled, "shared": found[0].metadata.shared, "instructions": len(instructions), **taken,
    }  # fmt: skip


def launch_without_card(module: Any, x: torch.Tensor, lengths: torch.Tensor | None) -> None:
    """Take a waveform through the method as a call of the module on a card would."""
    from audiofeed.methods.short_time import fused_method

    fused_method._powers(
        x, lengths, module.framing, module.analysis(x), wanted=[module.wanted(x)], graph=False, by_cuda=False
    )


def main() -> int:
    """Compile what is asked for; print one JSON line for each, and fail if one spills."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", type=int, action="append")
    parser.add_argument("--setting", choices=SETTINGS, action="append")
    parser.add_argument("--launch", type=json.loads, default=None, help="settings of the launch, as JSON")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    spilled = False
    for arch in asked.arch or [80, 90, 100]:
        for name in asked.setting or SETTINGS:
            for ragged in (False, True) if asked.setting is None else (True,):
                try:
                    found = compiled(name, arch, ragged=ragged, settings=asked.launch)
                except Exception as error:  # noqa: BLE001  one must not hide the others
                    found = {"setting": name, "arch": arch, "failed": f"{type(error).__name__}: {str(error)[:300]}"}
                spilled |= bool(found.get("spills")) or "failed" in found
                sys.stdout.write(json.dumps(found) + "\n")
                sys.stdout.flush()
    return int(spilled)


if __name__ == "__main__":
    sys.exit(main())
