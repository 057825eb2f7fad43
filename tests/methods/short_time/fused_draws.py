"""Drawn settings of method="fused" against float64: Triton's kernel interpreted, CUDA's on a CPU, or both on a GPU.

TRITON_INTERPRET=1 python -m tests.methods.short_time.fused_draws --draws 300 --seed 1
python -m tests.methods.short_time.fused_draws --kernel cuda --draws 300 --seed 1
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import warnings
from typing import Any
from unittest import mock

import torch

import audiofeed as af
from audiofeed.methods.short_time import fused_method
from tests.methods.short_time.cuda_on_cpu import ORDERS, kernel_on_cpu
from tests.speech import SAMPLE_RATE, quiet_speech

LOG_NATS = 2e-3
SPEECH = 3000  # samples
# of a value, and of the loudest of its clip: what float32 leaves of an FFT's bins
OF_VALUE, OF_LOUDEST = 3e-5, 2e-6
# of what torch's FFT in float32 is off by: a clip of one sample less its mean is nothing but rounding
OF_FFT = 8.0
# of the largest of a gradient
OF_GRADIENT = 1e-4


SIZES = (400, 400, 512, 512, 320, 480, 256, 200, 64, 100, 640, 1024, 882, 96, 24)
# of the CUDA kernel alone
MORE_SIZES = (4, 6, 26, 98, 250, 350, 800, 1200, 1764, 2002, 2048, 4096)


def draw(rng: random.Random, *, cuda: bool = False) -> dict[str, Any]:
    """Draw a transform, its settings and a batch.

    Args:
        rng: of the draw.
        cuda: with frames and hops that the CUDA kernel alone takes.
    """
    n_fft = rng.choice(SIZES + MORE_SIZES if cuda else SIZES)
    win = rng.choice([n_fft, n_fft, max(2, n_fft * 3 // 4), max(2, n_fft // 2 - 1)])
    placement = rng.choice([None, "center", "start", "hops", "but_last_sample", "vocoder", "snip_edges", "keep_edges"])
    hop = rng.choice([160, win // 4, win // 2 + 1, max(1, win // 3), win])
    hop = max(1, min(hop, win))
    if cuda:
        hop = rng.choice([hop, hop, rng.randrange(1, n_fft + 1), n_fft + rng.randrange(50), 2 if n_fft < 600 else 77])
        hop = min(hop, {"vocoder": n_fft, "keep_edges": win}.get(str(placement), hop))
    frames = {
        "n_fft": n_fft,
        "win_length": win,
        "hop_length": hop,
        "window": rng.choice(["hann", "hamming", "povey", "boxcar"]),
        "periodic": rng.random() < 0.5,
        "window_at": rng.choice(["center", "left"]),
        "placement": placement,
        "pad_mode": rng.choice(["constant", "reflect", "symmetric", "replicate", "circular"]),
        "remove_dc": rng.random() < 0.3,
        "preemphasis": rng.choice([0.0, 0.0, 0.97]),
    }
    magnitude = {"power": rng.choice([1.0, 2.0]), "root_offset": rng.choice([0.0, 0.0, 1e-8])}
    kind = rng.choice(["Spectrogram", "MelSpectrogram", "LogMelSpectrogram", "LogMelSpectrogram", "MFCC"])
    settings: dict[str, Any] = {**frames, **magnitude}
    if kind != "Spectrogram":
        settings |= {"sample_rate": 16000, "n_mels": rng.choice([8, 23, 40, 80, 128])}
    if kind == "LogMelSpectrogram":
        settings |= {"log": rng.choice(["ln", "log10", "db", "log1p"]), "floor": rng.choice([1e-10, 1e-7])}
        settings |= {"offset": rng.choice([0.0, 2.0**-24])}
    if kind == "MFCC":
        settings["n_mfcc"] = 8
        settings.pop("root_offset")
    return {
        "kind": kind,
        "settings": settings,
        "rows": rng.choice([1, 2, 3]),
        "time": rng.choice([1, 7, n_fft // 2, n_fft + 3, 1500, 2400, 3333]),
        "lengths": rng.random() < 0.6,
        "int16": rng.random() < 0.3,
        "level": rng.choice([1.0, 1e-2, 1e-3]),
        "gradient": rng.random() < 0.5,
        "seed": rng.randrange(2**31),
    }


def samples_of(case: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Noise that falls with frequency and comes in bursts, as speech does, and lengths."""
    generator = torch.Generator().manual_seed(case["seed"])
    rows, time = case["rows"], case["time"]
    noise = torch.randn(rows, time + 32, generator=generator)
    smooth = noise.unfold(-1, 33, 1).mean(-1) + 0.02 * noise[:, 32:]
    x = case["level"] * smooth * (1.1 + torch.sin(torch.arange(time) / 300.0)) + 0.1 * case["level"]
    lengths = None
    if case["lengths"]:
        lengths = torch.randint(1, time + 1, (rows,), generator=generator)
        lengths[0] = time
        x[torch.arange(time) >= lengths[:, None]] = 9.0  # not to be looked at
    if case["int16"]:
        x = (x * 32768).round().clamp(-32768, 32767).to(torch.int16)
    return x, lengths


def keep_worst(worst: dict[str, float], what: str, error: float, where_float32: float) -> None:
    """Keep the largest error of its kind, and apart those of cases where torch's FFT in float32 is as far off."""
    name = what if where_float32 == 0.0 else f"{what}, where float32's FFT is off by as much"
    worst[name] = max(worst.get(name, 0.0), error)


def problem_of(case: dict[str, Any], device: torch.device, worst: dict[str, float]) -> str | None:
    """What is wrong with a case, or None; the largest errors are kept in `worst`, by what they are of."""
    x, lengths = samples_of(case)
    make = getattr(af, case["kind"])
    fused = make(method="fused", **case["settings"]).to(device)
    exact = make(method="fft", **case["settings"]).double()
    wide = x.double() / 32768 if case["int16"] else x.double()
    want = exact(wide, lengths)
    on_device = None if lengths is None else lengths.to(device)
    with torch.no_grad():
        found = fused(x.to(device), on_device)
    found = found.cpu().double()
    if found.shape != want.shape:
        return f"shape {tuple(found.shape)}, not {tuple(want.shape)}"
    error = (found - want).abs()
    in_float32 = make(method="fft", **case["settings"])(wide.float(), lengths)
    rounding = OF_FFT * float((in_float32.double() - want).abs().max())
    if case["kind"] == "LogMelSpectrogram":
        nats = {"ln": 1.0, "log1p": 1.0, "log10": 2.302585, "db": 0.2302585}[case["settings"]["log"]]
        off = float(error.max()) * nats
        keep_worst(worst, "log error in nats", off, rounding * nats / OF_FFT if off > LOG_NATS else 0.0)
        if not off <= max(LOG_NATS, rounding * nats):
            return f"log error {off:.2e} nats"
    elif case["kind"] == "MFCC":
        off = float(error.max())
        keep_worst(worst, "error of cepstra, in sums of decibels", off, rounding / OF_FFT if off > 0.05 else 0.0)
        if not off <= max(0.05, rounding):  # sums of 128 decibels
            return f"MFCC error {off:.2e}"
    else:
        power = case["settings"]["power"]
        if case["settings"]["remove_dc"]:  # a constant frame less its mean is what rounding leaves of it
            peak = float(wide.abs().amax()) if lengths is None else float(case["level"])
            rounding = max(rounding, (1e-7 * peak * case["settings"]["win_length"]) ** power)
        loudest = want.abs().amax(dim=(1, 2), keepdim=True)
        least = OF_LOUDEST * loudest if power == 2.0 else 2e-4 * loudest
        off = float((error / loudest.clamp(min=max(rounding, 1e-30))).max())
        beyond = bool((error > OF_VALUE * want.abs() + least).any())
        keep_worst(worst, f"error at power {power:g} in the loudest of its clip", off, rounding if beyond else 0.0)
        if not bool((error <= OF_VALUE * want.abs() + least.clamp(min=rounding)).all()):
            return f"error {off:.2e} of the loudest"
    if case["rows"] > 1:
        last = x[-1:] if lengths is None else x[-1:, : lengths[-1]]
        with torch.no_grad():
            alone = fused(last.to(device)).cpu()
        here = found[-1, :, : alone.shape[-1]].float()
        # torch's own product, of the cosine transform, rounds differently in a batch
        same = torch.allclose(alone[0], here, rtol=1e-5, atol=1e-3) if case["kind"] == "MFCC" else None
        if not (torch.equal(alone[0], here) if same is None else same):
            return "a clip alone has other values than in its batch"
    wrong = wrong_on_speech(case, device, worst)
    if wrong is not None:
        return wrong
    if case["gradient"]:
        wrong = wrong_gradient(case, wide.float(), lengths, device, worst)
        if wrong is not None:
            return wrong
    if case["int16"]:
        with torch.no_grad():
            same = fused((x.float() / 32768).to(device), on_device).cpu()
        off = float((same.double() - found).abs().max())
        if not off <= 1e-4 * max(1.0, float(found.abs().max())):
            return f"int16 differs from float32 by {off:.2e}"
    return None


def wrong_on_speech(case: dict[str, Any], device: torch.device, worst: dict[str, float]) -> str | None:
    """Whether the logarithms of mels of quiet speech, by the frames of a case, differ from those of float64."""
    settings = {name: value for name, value in case["settings"].items() if name not in ("log", "offset", "n_mfcc")}
    settings |= {"sample_rate": SAMPLE_RATE, "n_mels": settings.get("n_mels", 40), "log": "ln", "floor": 1e-10}
    x = torch.from_numpy(quiet_speech(1, SPEECH, case["seed"]))
    x = (x * 32768).round().to(torch.int16) if case["int16"] else x.float()
    exact = af.LogMelSpectrogram(method="fft", **settings).double()
    want = exact(x.double() / 32768 if case["int16"] else x.double())
    with torch.no_grad():
        found = af.LogMelSpectrogram(method="fused", **settings).to(device)(x.to(device)).cpu().double()
    off = float((found - want).abs().max())
    wide = x.float() / 32768 if case["int16"] else x
    rounding = float((af.LogMelSpectrogram(method="fft", **settings)(wide).double() - want).abs().max())
    what = "log error in nats on quiet speech, floor 1e-10"
    keep_worst(worst, what, off, rounding if off > LOG_NATS else 0.0)
    return None if off <= max(LOG_NATS, OF_FFT * rounding) else f"log error {off:.2e} nats on quiet speech"


def wrong_gradient(
    case: dict[str, Any], x: torch.Tensor, lengths: torch.Tensor | None, device: torch.device, worst: dict[str, float]
) -> str | None:
    """Whether the gradient to the samples, and to filters that train, differs from that of float64."""
    trains = {} if case["kind"] != "MelSpectrogram" else {"trainable_mel": True}

    def gradients(method: str, dtype: torch.dtype, where: torch.device) -> list[torch.Tensor] | None:
        module = getattr(af, case["kind"])(method=method, **case["settings"], **trains).to(where, dtype)
        own = x.to(where, dtype).requires_grad_()
        features = module(own, None if lengths is None else lengths.to(where))
        if features.grad_fn is None:
            return None
        weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(1)).to(where, dtype)
        found = torch.autograd.grad((features * weights).sum(), [own, *module.parameters()])
        return [one.cpu().double() for one in found]

    found = gradients("fused", torch.float32, device)
    if found is None:
        return "no gradient"
    exact, plain = (gradients("fft", dtype, torch.device("cpu")) for dtype in (torch.float64, torch.float32))
    for ours, want, rounded in zip(found, exact, plain, strict=True):
        # where the gradient is 0, float32 leaves its rounding
        scale = max(float(want.abs().max()), float(rounded.abs().max()), 1e-30)
        off, rounding = (float((one - want).abs().max()) / scale for one in (ours, rounded))
        keep_worst(worst, "error of a gradient in its largest", off, rounding if off > OF_GRADIENT else 0.0)
        if not off <= max(OF_GRADIENT, OF_FFT * rounding):
            return f"gradient differs by {off:.2e} of {scale:.2e}, float32's FFT by {rounding:.2e}"
    return None


def on_kernel(case: dict[str, Any], device: torch.device, worst: dict[str, float], *, cuda: bool) -> str | None:
    """What is wrong with a case by the CUDA kernel or by Triton's, or None; the largest errors are kept in `worst`."""
    from audiofeed.methods.short_time.fused import cuda_launch

    if not cuda:
        held, cuda_launch.unreachable = cuda_launch.unreachable, lambda device: "Triton's kernel is asked for"
        try:
            return problem_of(case, device, worst)
        finally:
            cuda_launch.unreachable = held
    held_triton, fused_method._installed = fused_method._installed, lambda: False
    try:
        with contextlib.ExitStack() as stack:
            if device.type != "cpu":
                stack.enter_context(
                    mock.patch.object(cuda_launch, "PROVEN", [torch.cuda.get_device_capability(device)])
                )
                return problem_of(case, device, worst)
            runs = stack.enter_context(kernel_on_cpu(order=case["seed"] % ORDERS))
            return problem_of(case, device, worst) or (None if runs.launches else "the CUDA kernel was not run")
    finally:
        fused_method._installed = held_triton


def main() -> int:
    """Check the drawn cases; print one JSON line for each that fails, and a count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--kernel", choices=("triton", "cuda"), default="triton", help="on a GPU: what is drawn for")
    parser.add_argument("--every", type=int, default=1, help="check every so many of the draws")
    parser.add_argument("--first", type=int, default=0, help="from this one on")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    rng = random.Random(asked.seed)
    failed = checked = 0
    worst: dict[str, float] = {}
    cuda, device = asked.kernel == "cuda", torch.device(asked.device)
    for i in range(asked.draws):
        case = draw(rng, cuda=cuda)
        if i % asked.every != asked.first:
            continue
        checked += 1
        try:
            problem = on_kernel(case, device, worst, cuda=cuda)
        except Exception as error:  # noqa: BLE001  one case must not hide the others
            problem = f"{type(error).__name__}: {str(error)[:600]}"
        if problem is not None:
            failed += 1
            sys.stdout.write(json.dumps({"draw": i, "problem": problem, "case": case}) + "\n")
            sys.stdout.flush()
    sys.stdout.write(json.dumps({"draws": checked, "failed": failed, "worst": worst}) + "\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
