"""Every public transform, in the settings of the contract's tests: the device against float64 on the CPU.

What is right is decided by the tests, on the CPU. Here the device is held to it: in float64 to the same values, or to a
multiple of what the last bits of the samples change where a transform blows them up, and in float32 to a multiple of
the rounding that the CPU itself has there.
"""

from __future__ import annotations

import torch

from gpu.checks import SKIP, Recorder
from gpu.correctness import Outcome, relative_l2
from tests.transforms.cases import CASES, IDS, Case

SECTION = "catalogue"
# of float64: sums in another order, over up to a few thousand terms, through logarithms and roots; of octaves a device
# has one way more than a CPU, which sees what the filter before each leaves above the lower rate: 1.3e-8 of all
EXACT, OF_OCTAVES = 1e-8, 1e-7
# how many times the CPU's float32 rounding a device may have, and from where on that counts as rounding at all
TIMES, LEAST = 20.0, 2e-6
# a transform that rounds worse than this on the CPU is wrong there already
SOUND = 1e-3


def run(recorder: Recorder, device: torch.device, *, quick: bool) -> None:
    """Check every case; a quick run takes the first of each transform."""
    for name, case in zip(IDS, CASES, strict=True):
        if (quick and not name.endswith("-0")) or recorder.has(SECTION, name):
            continue
        with recorder.check(SECTION, name) as check:
            cpu = torch.device("cpu")
            with check.needing_scipy():
                case.build()
            if check.status == SKIP:
                continue
            octaves = any(hasattr(module, "kernel_bank") for module in case.build().modules())
            least = OF_OCTAVES if octaves else EXACT
            exact = _outcome(case, cpu, torch.float64)
            rounded = _outcome(case, cpu, torch.float32)
            # a root at 0 turns the last bit of a sample into half of the digits
            nudged = _outcome(case, cpu, torch.float64, nudge=torch.finfo(torch.float64).eps)
            moved = relative_l2(nudged.values, exact.values)
            # what rounding leaves nothing of is 0 by definition, such as where an inverse divides by less than 64 eps
            resolved = exact.values.where(rounded.values != 0, 0)
            check.within("float32 on the CPU, L2", relative_l2(rounded.values, resolved), SOUND)
            for dtype in (torch.float64, torch.float32):
                got = _outcome(case, device, dtype)
                kind = str(dtype).removeprefix("torch.")
                check.expect(got.values.shape == exact.values.shape, f"{kind}: shape {tuple(got.values.shape)}")
                own = relative_l2(rounded.values, resolved)
                allowed = max(least, TIMES * moved) if dtype == torch.float64 else max(LEAST, TIMES * own)
                target = exact.values if dtype == torch.float64 else resolved
                check.within(f"{kind}, L2", relative_l2(got.values, target), allowed)
                for which, gradient in got.gradients.items():
                    if not bool(gradient.isfinite().all()):
                        check.problem(f"{kind}: the gradient of {which} is not finite")
                    elif not case.kinks:
                        own = relative_l2(rounded.gradients[which], exact.gradients[which])
                        allowed = 10 * least if dtype == torch.float64 else max(10 * LEAST, TIMES * own)
                        error = relative_l2(gradient, exact.gradients[which])
                        check.within(f"{kind}, gradient of {which}, L2", error, allowed)


def _outcome(case: Case, device: torch.device, dtype: torch.dtype, nudge: float = 0.0) -> Outcome:
    """Values and gradients of a padded batch, as float64 on the CPU; every second sample may be changed by a share."""
    module = case.build().to(device=device, dtype=dtype)
    x = case.input(3)
    x[..., ::2] *= 1 + nudge
    leaf = x.to(dtype.to_complex() if x.is_complex() else dtype).to(device).requires_grad_(not case.flat)
    values = case.run(module, leaf, case.lengths(case.size, 30, 7).to(device))
    real = torch.view_as_real(values) if values.is_complex() else values
    gradients: dict[str, torch.Tensor | None] = {}
    if real.requires_grad:
        weights = torch.randn(real.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        (real * weights.to(real)).sum().backward()
        gradients = {"input": leaf.grad, **{name: p.grad for name, p in module.named_parameters()}}
    return Outcome(
        _wide(values), {name: _wide(gradient) for name, gradient in gradients.items() if gradient is not None}
    )


def _wide(values: torch.Tensor) -> torch.Tensor:
    values = values.detach().cpu()
    return values.to(torch.complex128 if values.is_complex() else torch.float64)
