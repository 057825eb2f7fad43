"""Process-wide precision flags set every way: the features do not change, and neither do the flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gpu.checks import Recorder
from gpu.correctness import compare_values, relative_l2
from gpu.settings import SETTINGS, Setting, Tolerance, make_case, tolerance

SECTION = "flags"
ROWS = (
    "STFT 400/160",
    "STFT trained",
    "MelSpectrogram trained mel",
    "LogMelSpectrogram ln",
    "LogMelSpectrogram trained",
)
QUICK_ROWS = ("LogMelSpectrogram ln", "LogMelSpectrogram trained")


def _assign(path: str, value: Any) -> Callable[[], None]:
    """Set a flag of torch.backends by its dotted path; AttributeError where this torch has none."""
    *places, name = path.split(".")

    def assign() -> None:
        owner: Any = torch.backends
        for place in places:
            owner = getattr(owner, place)
        getattr(owner, name)
        setattr(owner, name, value)

    return assign


# The new flags stand last: once one is set, torch refuses to read the old ones that it contradicts.
WAYS: dict[str, tuple[Callable[[], object], ...]] = {
    "nothing allowed": (_assign("cuda.matmul.allow_tf32", False), _assign("cudnn.allow_tf32", False)),
    "matmul.allow_tf32": (_assign("cuda.matmul.allow_tf32", True), _assign("cudnn.allow_tf32", False)),
    "cudnn.allow_tf32": (_assign("cuda.matmul.allow_tf32", False), _assign("cudnn.allow_tf32", True)),
    "both allow_tf32": (_assign("cuda.matmul.allow_tf32", True), _assign("cudnn.allow_tf32", True)),
    "matmul precision high": (lambda: torch.set_float32_matmul_precision("high"),),
    "matmul precision medium": (lambda: torch.set_float32_matmul_precision("medium"),),
    "fp32_precision of all tf32": (_assign("fp32_precision", "tf32"),),
    "fp32_precision of CUDA products tf32": (_assign("cuda.matmul.fp32_precision", "tf32"),),
    "fp32_precision of cuDNN tf32": (_assign("cudnn.fp32_precision", "tf32"),),
    "fp32_precision of cuDNN convolutions tf32": (_assign("cudnn.conv.fp32_precision", "tf32"),),
    "fp32_precision of CPU products bf16": (_assign("mkldnn.matmul.fp32_precision", "bf16"),),
}

_PATHS = (
    "fp32_precision", "cuda.matmul.fp32_precision", "cudnn.fp32_precision", "cudnn.conv.fp32_precision",
    "mkldnn.fp32_precision", "mkldnn.matmul.fp32_precision", "mkldnn.conv.fp32_precision",
    "cuda.matmul.allow_tf32", "cudnn.allow_tf32", "cudnn.benchmark", "cudnn.deterministic",
    "cuda.matmul.allow_fp16_reduced_precision_reduction",
)  # fmt: skip


def read_flags() -> dict[str, Any]:
    """Every flag that bears on float32 products, by name; the kind of error where torch refuses to say."""
    flags: dict[str, Any] = {}
    for path in _PATHS:
        owner: Any = torch.backends
        try:
            for place in path.split("."):
                owner = getattr(owner, place)
        except (AttributeError, RuntimeError) as error:
            owner = type(error).__name__
        flags[path] = owner
    try:
        flags["float32_matmul_precision"] = torch.get_float32_matmul_precision()
    except RuntimeError as error:
        flags["float32_matmul_precision"] = type(error).__name__
    return flags


def reset_flags() -> None:
    """Every flag as a fresh process has it."""
    for path in ("fp32_precision", "cudnn.fp32_precision", "mkldnn.fp32_precision", "mkldnn.conv.fp32_precision"):
        try:
            _assign(path, "none")()
        except AttributeError:
            continue
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = True


def run(recorder: Recorder, device: torch.device, *, quick: bool) -> None:
    """Compute features and gradients under every flag, and hold them to four times the float32 tolerance."""
    rows = [setting for setting in SETTINGS if setting.name in (QUICK_ROWS if quick else ROWS)]
    pairs = [(setting, method) for setting in rows for method in setting.methods_on(device)]
    cpu = torch.device("cpu")
    exact = {setting.name: _features(setting, setting.methods[0], cpu, torch.float64) for setting in rows}
    try:
        for way, setters in WAYS.items():
            reset_flags()
            with recorder.check(SECTION, way) as check:
                try:
                    for setter in setters:
                        setter()
                except AttributeError as error:
                    check.skip(f"this torch has no such flag: {error}")
                    continue
                before = read_flags()
                for setting, method in pairs:
                    values, gradients = _features(setting, method, device, torch.float32)
                    module = setting.module(method)
                    # a product in three parts adds a few roundings, and tensor cores cut where others round
                    allowed = _widened(tolerance(setting, module, method, torch.float32))
                    label = f"{setting.name}, {method}"
                    compare_values(check, label, setting, values, exact[setting.name][0], allowed)
                    for name, gradient in gradients.items():
                        strayed = relative_l2(gradient.cpu().double(), exact[setting.name][1][name].double())
                        check.within(f"{label}, gradient of {name}, L2", strayed, allowed.gradient)
                after = read_flags()
                changed = [f"{name}: {before[name]} -> {after[name]}" for name in before if before[name] != after[name]]
                check.expect(not changed, f"flags changed by the features: {'; '.join(changed)}")
    finally:
        reset_flags()


def _features(
    setting: Setting, method: str | None, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    module = setting.module(method).to(device=device, dtype=dtype)
    leaf = make_case(setting, "batch").values.to(dtype).to(device).requires_grad_()
    values = module(leaf)
    real = torch.view_as_real(values) if values.is_complex() else values
    weights = torch.randn(real.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (real * weights.to(real)).sum().backward()
    assert leaf.grad is not None
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return values.detach(), {"waveform": leaf.grad, **gradients}


def _widened(allowed: Tolerance) -> Tolerance:
    return Tolerance(l2=4 * allowed.l2, peak=4 * allowed.peak, log=4 * allowed.log, gradient=4 * allowed.gradient)
