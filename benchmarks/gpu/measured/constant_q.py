"""The constant-Q transform timed against nnAudio2's, with the error of ours against float64 on the CPU."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
from collections.abc import Callable
from typing import Any

import torch

from audiofeed.transforms import CQT
from gpu.checks import PASS, Recorder
from gpu.correctness import relative_l2
from gpu.measured.timing import card_alone, time_call

RATE, HOP = 22_050, 512
# bins, bins in an octave, clips, seconds
SETTINGS = ((84, 12, 16, 10.0), (84, 12, 64, 30.0), (252, 36, 16, 10.0))
PEERS = ("CQT1992v2", "CQT2010v2")
# of float64: sums of up to some thousand terms in float32
EXACT = 1e-5
Row = dict[str, Any]
Call = Callable[[torch.Tensor], torch.Tensor]


def run(recorder: Recorder, device: torch.device, reserve: float, *, quick: bool) -> list[Row]:
    """Time ours with and without lengths, then the peers."""
    rows: list[Row] = []
    for bins, per_octave, clips, seconds in SETTINGS[: 1 if quick else None]:
        if device.type != "cuda":
            clips, seconds = 2, 2.0
        samples = int(seconds * RATE)
        x = torch.randn(clips, samples, generator=torch.Generator().manual_seed(0))
        options = {"n_bins": bins, "bins_per_octave": per_octave}
        setting = f"22.05 kHz, hop {HOP}, {bins} bins, {clips} x {seconds:g} s"
        name = f"{setting}, float64 on the CPU"
        with recorder.check("constant q", name, loud=False) as check, check.needing_scipy():
            exact = CQT(sample_rate=RATE, hop_length=HOP, **options).double()(x[:1].double()).detach()
        if check.status != PASS:
            continue
        waveform = x.to(device)
        for name, make in _ways(options, clips, samples, device).items():
            row: Row = {"setting": setting, "way": name}
            with recorder.check("constant q", f"{setting}, {name}") as check:
                call = make()
                if isinstance(call, str) or not recorder.has_time(reserve):
                    row["skipped"] = call if isinstance(call, str) else "the time is spent"
                    check.skip(row["skipped"])
                    rows.append(row)
                    continue
                with torch.no_grad():
                    got = call(waveform)[:1].double().cpu()
                    ours = name.startswith("audiofeed")
                    if ours:
                        row["error"] = relative_l2(got, exact)
                        check.within("of float64 on the CPU, L2", row["error"], EXACT)
                    timing = time_call(functools.partial(call, waveform), device)
                    row["card_ms"] = card_alone(functools.partial(call, waveform), device)
                row.update(median_ms=timing.median_ms, min_ms=timing.min_ms,
                           hours_per_second=clips * seconds / 3600 / (timing.median_ms / 1e3))  # fmt: skip
                check.note(f"{timing.median_ms:.3f} ms (min {timing.min_ms:.3f}), {row['hours_per_second']:.0f} h/s")
                if not ours:
                    check.inform()
            rows.append(row)
            if device.type == "cuda":
                torch.cuda.empty_cache()
    return rows


def _ways(
    options: dict[str, int], clips: int, samples: int, device: torch.device
) -> dict[str, Callable[[], Call | str]]:
    def ours() -> Call:
        return CQT(sample_rate=RATE, hop_length=HOP, **options).to(device)

    def with_lengths() -> Call:
        # the first clip, which is judged, is the longest
        lengths = torch.linspace(samples, samples // 2, clips).long().to(device)
        return functools.partial(ours(), lengths=lengths)

    return {
        "audiofeed": ours,
        "audiofeed, with lengths": with_lengths,
        **{f"nnAudio2 {name}": functools.partial(_peer, name, options, device) for name in PEERS},
    }


def _peer(name: str, options: dict[str, int], device: torch.device) -> Call | str:
    try:
        features = importlib.import_module("nnAudio2.features")
    except ImportError as error:
        return f"nnAudio2 does not import: {error}"
    with contextlib.redirect_stdout(io.StringIO()):
        made: Call = getattr(features, name)(
            sr=RATE, hop_length=HOP, pad_mode="constant", verbose=False, **options
        ).to(device)  # fmt: skip
    return made
