"""Every transform and method on the device, values and gradients, against float64 on the CPU clip by clip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from gpu.checks import Check, Recorder
from gpu.measured.peers import CONFIGS, speech_like, torch_stft
from gpu.settings import (
    ABSTRACT,
    AUTO,
    CASES,
    METHODS,
    SETTINGS,
    Case,
    Setting,
    Tolerance,
    make_case,
    missing_methods,
    missing_rows,
    tolerance,
)

SECTION = "correctness"
QUICK_CASES = ("padded", "leading", "one sample", "silence")
_HALVES = (torch.float16, torch.bfloat16)


@dataclass
class Outcome:
    """What a transform made of one case: values, and gradients by the name of what they are of."""

    values: torch.Tensor
    gradients: dict[str, torch.Tensor]


def run(recorder: Recorder, device: torch.device, *, quick: bool) -> None:
    """Check every row of the table of settings."""
    with recorder.check(SECTION, "every public transform and method has a row in gpu/settings.py") as check:
        for name in missing_rows():
            check.problem(
                f"audiofeed.transforms.{name} has no row: add one to SETTINGS in benchmarks/gpu/settings.py, so that "
                "the smoke checks it on a GPU"
            )
        for name in missing_methods():
            check.problem(f"method={name!r} is in no row of SETTINGS in benchmarks/gpu/settings.py: add it to some")
        check.note(f"{len(SETTINGS)} rows; abstract: {', '.join(ABSTRACT)}")
    with recorder.check(SECTION, "the reference itself: float64 on the CPU equals torch.stft written plainly") as check:
        cpu = torch.device("cpu")
        for config in CONFIGS:
            config = replace(config, clips=1, seconds=0.5)
            waveform = speech_like(config, cpu).double()
            plain = torch_stft(config, cpu, torch.float64)(waveform)
            for name in METHODS:
                try:
                    transform = config.transform(name)
                except ValueError as error:
                    check.note(f"{config.name}, {name}: {error}")
                    continue
                check.within(f"{config.name}, {name}, nats", float((transform(waveform) - plain).abs().max()), 1e-9)
    for setting in SETTINGS:
        if quick and not setting.quick:
            continue
        cases = setting.cases or CASES
        if quick:
            cases = tuple(case for case in QUICK_CASES if case in cases)
        names = {m: setting.name if m is None else f"{setting.name}, {m}" for m in setting.methods_on(device)}
        if all(recorder.has(SECTION, name) for name in names.values()):
            continue
        with recorder.check(SECTION, f"{setting.name}: float64 on the CPU, clip by clip", loud=False) as reference:
            references = {case: reference_of(setting, make_case(setting, case)) for case in cases}
        if reference.problems:
            continue
        for method, name in names.items():
            if recorder.has(SECTION, name):
                continue
            with recorder.check(SECTION, name) as check:
                _check_setting(check, setting, method, device, references)


def reference_of(setting: Setting, case: Case) -> Outcome:
    """Values and gradients of each clip alone, laid into zeros: batch-mates and padding have no part in it."""
    # the basis of a trained transform is rounded to float32 when it is made, and stays so in float64
    module: Any = setting.module(setting.methods[0] if setting.methods else None).double()
    leaf = case.values.clone().requires_grad_()
    if case.lengths is None:
        values = module(leaf)
    else:
        rows = [module(leaf[i : i + 1, ..., :length]) for i, length in enumerate(case.lengths.tolist())]
        width = int(module.frame_lengths(torch.tensor([leaf.shape[-1]])))
        values = rows[0].new_zeros((len(rows), *rows[0].shape[1:-1], width))
        for i, row in enumerate(rows):
            values[i : i + 1, ..., : row.shape[-1]] = row
    return _with_gradients(module, leaf, values)


def _on_device(module: torch.nn.Module, case: Case, device: torch.device, dtype: torch.dtype) -> Outcome:
    leaf = case.values.to(dtype).to(device).requires_grad_()
    values = module(leaf) if case.lengths is None else module(leaf, case.lengths.to(device))
    return _with_gradients(module, leaf, values)


def _with_gradients(module: torch.nn.Module, leaf: torch.Tensor, values: torch.Tensor) -> Outcome:
    """Gradients of a fixed random weighting of the values."""
    module.zero_grad()
    real = torch.view_as_real(values) if values.is_complex() else values
    weights = torch.randn(real.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (real * weights.to(real)).sum().backward()
    named = {"waveform": leaf.grad, **{name: parameter.grad for name, parameter in module.named_parameters()}}
    return Outcome(values.detach(), {name: grad for name, grad in named.items() if grad is not None})


def _check_setting(
    check: Check, setting: Setting, method: str | None, device: torch.device, references: dict[str, Outcome]
) -> None:
    for dtype in (torch.float32, torch.float64):
        module = setting.module(method).to(device=device, dtype=dtype)
        allowed = tolerance(setting, module, method, dtype)
        for name, reference in references.items():
            case = make_case(setting, name)
            label = f"{name}, {_short(dtype)}"
            got = _on_device(module, case, device, dtype)
            compare_values(check, label, setting, got.values, reference.values, allowed)
            check.expect(got.values.dtype.to_real() == dtype, f"{label}: values are {got.values.dtype}")
            _compare_gradients(check, label, case, got, reference, allowed)
            for parameter in setting.trains:
                check.expect(parameter in got.gradients, f"{label}: parameter {parameter} got no gradient")
            # without a graph the work may go another way; the lengths may stay on the CPU
            with torch.no_grad():
                leaf = case.values.to(dtype).to(device)
                if method in AUTO and dtype == torch.float32:
                    path = module.runs_on(leaf, case.lengths)
                    check.expect(path.method == "fused", f"{label}: auto takes {path}")
                plain = module(leaf, case.lengths)
            compare_values(check, f"{label}, no graph", setting, plain, reference.values, allowed)
    _check_half(check, setting, method, device)


def _check_half(check: Check, setting: Setting, method: str | None, device: torch.device) -> None:
    """Under autocast, and for half-precision input, the features are float32 and as exact as ever."""
    module = setting.module(method).to(device)
    allowed = tolerance(setting, module, method, torch.float32)
    case = make_case(setting, "one clip")
    exact = reference_of(setting, case).values
    for dtype in _HALVES:
        with torch.autocast(device.type, dtype=dtype):
            got = module(case.values.float().to(device))
        check.expect(got.dtype.to_real() == torch.float32, f"autocast {_short(dtype)}: values are {got.dtype}")
        compare_values(check, f"autocast {_short(dtype)}", setting, got.detach(), exact, allowed)
        rounded = Case(case.values.to(dtype).double())
        got_half = _on_device(module, rounded, device, dtype)
        label = f"{_short(dtype)} input"
        check.expect(got_half.values.dtype.to_real() == torch.float32, f"{label}: values are {got_half.values.dtype}")
        compare_values(check, label, setting, got_half.values, reference_of(setting, rounded).values, allowed)
        for name, gradient in got_half.gradients.items():
            check.expect(bool(gradient.isfinite().all()), f"{label}: the gradient of {name} is not finite")


def compare_values(
    check: Check, label: str, setting: Setting, got: torch.Tensor, reference: torch.Tensor, allowed: Tolerance
) -> None:
    """Hold values to a float64 reference: shape, relative L2 and largest error; logarithms also in nats."""
    if got.shape != reference.shape:
        check.problem(f"{label}: shape {tuple(got.shape)}, must be {tuple(reference.shape)}")
        return
    got = got.cpu().to(torch.complex128 if got.is_complex() else torch.float64)
    if setting.log is not None:
        got, reference = _nats(got, setting.log), _nats(reference, setting.log)
        loud = reference >= reference.amax(dim=-2, keepdim=True) - 13.8  # 60 dB of power
        check.within(f"{label}, nats", float(((got - reference).abs() * loud).max()), allowed.log)
        got, reference = got.exp(), reference.exp()
    check.within(f"{label}, L2", relative_l2(got, reference), allowed.l2)
    check.within(f"{label}, largest", _ratio((got - reference).abs().max(), reference.abs().max()), allowed.peak)


def relative_l2(got: torch.Tensor, reference: torch.Tensor) -> float:
    """||got - reference|| / ||reference||; where the reference is all zero, 0 or infinity."""
    return _ratio(torch.linalg.vector_norm(got - reference), torch.linalg.vector_norm(reference))


def _compare_gradients(
    check: Check, label: str, case: Case, got: Outcome, reference: Outcome, allowed: Tolerance
) -> None:
    for name, gradient in got.gradients.items():
        if not bool(gradient.isfinite().all()):
            check.problem(f"{label}: the gradient of {name} is not finite")
        elif case.compare_gradient:
            error = relative_l2(gradient.cpu().double(), reference.gradients[name].double())
            check.within(f"{label}, gradient of {name}, L2", error, allowed.gradient)


def _nats(values: torch.Tensor, log: str) -> torch.Tensor:
    """Logarithms in nats of power, whatever their unit."""
    return values * {"ln": 1.0, "log10": 2.302585092994046, "db": 0.2302585092994046}[log]


def _ratio(error: torch.Tensor, size: torch.Tensor) -> float:
    if float(size) == 0:
        return 0.0 if float(error) == 0 else float("inf")
    return float(error) / float(size)


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
