"""The operators of Triton's kernel and of compilers under opcheck and torch.compile, in Triton's interpreter.

TRITON_INTERPRET=1 python -m tests.methods.short_time.fused_operators
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import torch

import audiofeed as af
from audiofeed.methods.short_time import fused_method
from audiofeed.methods.short_time.fused import cuda_launch, launch
from audiofeed.methods.short_time.fused_operator import fused_powers

MEL: dict[str, Any] = {"sample_rate": 16000, "n_fft": 64, "hop_length": 16, "n_mels": 12}
FRAMES, TIME = 63, 1000


def checked() -> int:
    """Run opcheck of both operators on several forms of arguments; how many were checked."""
    x, lengths = 0.1 * torch.randn(2, TIME), torch.tensor([TIME, 300])
    module = af.LogMelSpectrogram(method="fft", **MEL)
    bank, window = module.wanted(x).steps[0], module.analysis(x)
    affine = torch.stack([torch.randn(12), torch.full((12,), 2.0)])[None]
    numbers = (FRAMES, 64, 16, 32, 0, 1, 0, 0, 64, "reflect", False, 0.97, 2.0, 0.0, "ln", 1e-10, 1.0, 0.0)
    shape = ("center", "reflect", 64, "center", True, 0.97)
    frames, plain = (FRAMES, 64, 16, *bank.tiles.supports, *shape), (FRAMES, 64, 16, (), (), *shape)
    leaf = x.clone().requires_grad_()
    given: tuple[tuple[Any, tuple[Any, ...]], ...] = (
        (launch.fused_features, (x, None, window, bank.filters, None, *numbers, 0, 0)),
        (launch.fused_features, (x, lengths, window, None, None, *numbers, 0, 0)),
        (launch.fused_features, ((1e4 * x).short(), lengths, window, bank.filters, affine, *numbers, 0, 1)),
        (fused_powers, (leaf, window, bank.filters, None, None, *frames, 2.0, 0.0, "db", 1e-10, 2.0, 0.0, 0, 0)),
        (
            fused_powers,
            (leaf, window, bank.filters.clone().requires_grad_(), lengths, affine, *plain, 1.0, 0.0, "ln", 1e-5, 1.0,
             0.0, 0, 1),
        ),
        (fused_powers, ((1e4 * x).short(), window, None, lengths, None, *plain, 2.0, 0.0, "", 0.0, 1.0, 0.0, 0, 0)),
    )  # fmt: skip
    for operator, arguments in given:
        torch.library.opcheck(operator._opoverload, arguments)
    return len(given)


def compiled() -> dict[str, float]:
    """The largest differences of values and gradients between a compiled graph and a call, by the transform."""
    fused_method.COMPILED_FOR = ("cpu",)
    x, lengths = 0.1 * torch.randn(2, TIME), torch.tensor([TIME, 300])
    found = {}
    for name, module in {
        "LogMelSpectrogram": af.LogMelSpectrogram(method="fused", **MEL),
        "MelSpectrogram that trains": af.MelSpectrogram(method="fused", trainable_mel=True, **MEL),
        "MFCC": af.MFCC(n_mfcc=4, method="fused", **MEL),
    }.items():
        torch._dynamo.reset()
        ways = (torch.compile(module, backend="aot_eager", fullgraph=True), module)
        leaves = [x.clone().requires_grad_() for _ in ways]
        made = [way(leaf, lengths) for way, leaf in zip(ways, leaves, strict=True)]
        each = [
            torch.autograd.grad(one.square().sum(), [leaf, *module.parameters()])
            for one, leaf in zip(made, leaves, strict=True)
        ]
        pairs = [tuple(made), *zip(*each, strict=True)]
        found[name] = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
    return found


def main() -> int:
    """Check the operators; print one JSON line."""
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    cuda_launch.unreachable = lambda device: "Triton's kernel is asked for"
    sys.stdout.write(json.dumps({"checked": checked(), "compiled": compiled()}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
