"""torch.compile(fullgraph=True) of the conv method: one graph, real numbers only, and as exact as without it."""

from __future__ import annotations

import warnings

import torch

from gpu.checks import Recorder
from gpu.correctness import compare_values, reference_of
from gpu.flags import WAYS, reset_flags
from gpu.settings import SETTINGS, make_case, tolerance

SECTION = "compile"
ROWS = ("LogMelSpectrogram ln", "LogMelSpectrogram trained")
# A cold cache of compiled kernels takes this long on a busy machine.
SECONDS_NEEDED = 45.0


def run(recorder: Recorder, device: torch.device, *, quick: bool) -> None:
    """Compile and compare; where inductor cannot run here, that is said and is no failure."""
    for way in (None, "both allow_tf32"):
        for setting in SETTINGS:
            if setting.name not in ROWS:
                continue
            flags = "" if way is None else f", {way}"
            with recorder.check(SECTION, f"torch.compile(fullgraph=True) of {setting.name}, conv{flags}") as check:
                if quick or not recorder.has_time(SECONDS_NEEDED):
                    check.skip("--quick compiles nothing" if quick else "the time is spent")
                    continue
                reset_flags()
                for setter in WAYS[way] if way is not None else ():
                    setter()
                module = setting.module("conv").to(device)
                case = make_case(setting, "batch")
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # torch's own advice to switch TF32 on, among others
                        got = torch.compile(module, fullgraph=True)(case.values.float().to(device)).detach()
                except Exception as error:  # its classes differ between torch versions
                    if not _no_inductor(error):
                        raise
                    text = (str(error).splitlines() or [""])[0][:120]
                    check.skip(f"inductor does not run here: {type(error).__name__}: {text}")
                    continue
                finally:
                    reset_flags()
                allowed = tolerance(setting, module, "conv", torch.float32)
                compare_values(check, "compiled", setting, got, reference_of(setting, case).values, allowed)


def _no_inductor(error: BaseException) -> bool:
    names = {"BackendCompilerFailed", "InductorError", "CppCompileError", "TritonMissing", "InvalidCxxCompiler"}
    return any(kind.__name__ in names for kind in type(error).__mro__)
