"""What the samplers' batches cost in padding, how random they still are, and how long a plan of a million clips takes.

    python benchmarks/feeds/batches.py [--check]

writes benchmarks/results/batches.md; `--check` writes nothing and fails where a bound is missed. lhotse's
DynamicBucketingSampler stands beside on the same lengths where lhotse can be imported, and a line says so where not.

The measures, over two epochs of each sampler:

- padding: share of all padded samples that is padding;
- used: padded seconds of a batch over those it may have, the mean;
- met again: of the pairs of clips that share a batch, how many share one in the next epoch too, the mean over batches;
  "by chance" is the same if the second epoch's batches, of the sizes that they have, were filled at random;
- neighbors: correlation of the longest clips of a step and the next, 0 if the order of lengths is random;
- step: the longest over the shortest batch of a step on 4 ranks, each by its longest clip, the median.
"""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import audiofeed as af

CLIPS = 20_000
MAX_SECONDS = 120.0
RANKS = 4
MILLION = 1_000_000
RESULT = Path(__file__).parents[1] / "results" / "batches.md"
HEAD = "| lengths | sampler | batches | padding | used | met again | by chance | neighbors | step |\n|" + "---|" * 9

Batches = list[np.ndarray]


def lengths(clips: int) -> dict[str, np.ndarray]:
    """Return the three distributions of seconds."""
    rng = np.random.default_rng(0)
    peak, rest = rng.normal(14.8, 1.2, clips), rng.uniform(1.5, 14, clips)
    return {
        "log-normal, median 6 s": np.exp(rng.normal(np.log(6), 0.72, clips)).clip(0.3, 60),
        "gamma, mean 7 s": rng.gamma(1.8, 3.9, clips).clip(0.3, 60),
        "LibriSpeech-like": np.where(rng.random(clips) < 0.6, peak, rest).clip(1.3, 35),
    }


def padding(batches: Batches, seconds: np.ndarray) -> float:
    padded = sum(len(batch) * seconds[batch].max() for batch in batches)
    return 1 - sum(seconds[batch].sum() for batch in batches) / padded


def met_again(before: Batches, after: Batches, clips: int) -> tuple[float, float]:
    """Return the share of pairs that meet again, and the same by chance."""
    batch_of = np.full(clips, -1)
    for number, batch in enumerate(after):
        batch_of[batch] = number
    shares = []
    for batch in before:
        if len(batch) > 1:
            _, counts = np.unique(batch_of[batch], return_counts=True)
            shares.append((counts * (counts - 1)).sum() / (len(batch) * (len(batch) - 1)))
    sizes = np.array([len(batch) for batch in after])
    return float(np.mean(shares)), float((sizes * (sizes - 1)).sum() / (clips * (clips - 1)))


def neighbors(batches: Batches, seconds: np.ndarray) -> float:
    longest = np.array([seconds[batch].max() for batch in batches])
    return float(np.corrcoef(longest[:-1], longest[1:])[0, 1])


def step_spread(ranks: Sequence[Batches], seconds: np.ndarray) -> float:
    steps = [[seconds[batch].max() for batch in step] for step in zip(*ranks, strict=False)]
    return float(np.median([max(step) / min(step) for step in steps]))


def ours(sampler: Any, epoch: int) -> Batches:
    sampler.set_epoch(epoch)
    return [np.array([key.example for key in batch]) for batch in sampler]


def of_lhotse(seconds: np.ndarray) -> Callable[..., Any] | None:
    """Return a maker of lhotse's sampler over cuts of these lengths, or None without lhotse."""
    try:
        from lhotse import CutSet, MonoCut, Recording
        from lhotse.dataset import DynamicBucketingSampler
    except ImportError:
        return None
    cuts = CutSet.from_cuts(
        MonoCut(
            id=str(number), start=0, duration=float(each), channel=0,
            recording=Recording(str(number), [], 16_000, int(each * 16_000) + 1, float(each) + 1e-3),
        )
        for number, each in enumerate(seconds.round(4))
    )  # fmt: skip

    def make(rank: int = 0, world_size: int = 1) -> Any:
        return DynamicBucketingSampler(
            cuts, max_duration=MAX_SECONDS, num_buckets=30, shuffle=True, rank=rank, world_size=world_size
        )

    return make


def lhotse_batches(sampler: Any, epoch: int) -> Batches:
    sampler.set_epoch(epoch)
    # a cut that is given again so that ranks have equally many is called <id>_dup<n>
    return [np.array([int(cut.id.partition("_")[0]) for cut in batch]) for batch in sampler]


def row(name: str, what: str, first: Batches, second: Batches, ranks: Sequence[Batches], seconds: np.ndarray) -> str:
    share = np.mean([len(batch) * seconds[batch].max() for batch in first]) / MAX_SECONDS
    used = "" if "16" in what else f"{share:.0%}"
    pair, chance = met_again(first, second, len(seconds))
    lost = len(seconds) - len({clip for batch in first for clip in batch.tolist()})
    note = f", {lost} clips left out" if lost else ""
    return (
        f"| {name} | {what}{note} | {len(first)} | {padding(first, seconds):.1%} | {used} | {pair:.2%} | "
        f"{chance:.2%} | {neighbors(first, seconds):+.2f} | {step_spread(ranks, seconds):.2f} |"
    )


def compare(failures: list[str]) -> list[str]:
    """Return the table's lines, ours and lhotse's."""
    lines = [HEAD]
    for name, seconds in lengths(CLIPS).items():
        rng = np.random.default_rng(1)
        random = [np.array_split(rng.permutation(CLIPS), CLIPS // 16) for _ in range(2)]
        ranks = [random[0][rank::RANKS] for rank in range(RANKS)]
        lines.append(row(name, "random batches of 16", *random, ranks, seconds))
        makers: dict[str, Callable[..., Any]] = {
            f"DurationBatchSampler({jitter=})": partial(
                af.DurationBatchSampler, seconds, max_seconds=MAX_SECONDS, jitter=jitter
            )
            for jitter in (0.02, 0.04, 0.08)
        }
        makers["ClipBatchSampler(batch_size=16)"] = partial(af.ClipBatchSampler, seconds, batch_size=16)
        for what, make in makers.items():
            first, second = ours(make(), 0), ours(make(), 1)
            each = [ours(make(rank=rank, world_size=RANKS), 0) for rank in range(RANKS)]
            lines.append(row(name, what, first, second, each, seconds))
            if "0.08" not in what and padding(first, seconds) >= 0.05:
                failures.append(f"{what} pads {padding(first, seconds):.1%} of {name}, 5 % at most")
        make_lhotse = of_lhotse(seconds)
        if make_lhotse is not None:
            first, second = (lhotse_batches(make_lhotse(), epoch) for epoch in (0, 1))
            each = [lhotse_batches(make_lhotse(rank, RANKS), 0) for rank in range(RANKS)]
            lines.append(row(name, "lhotse's DynamicBucketingSampler, 30 buckets", first, second, each, seconds))
    return lines


def lhotse_resume() -> str:
    """Return what lhotse takes to resume in the middle of the epoch above."""
    make = of_lhotse(next(iter(lengths(CLIPS).values())))
    if make is None:
        return "lhotse is not installed here, so its rows are left out (`pip install lhotse`)."
    sampler = make()
    iterator = iter(sampler)
    for _ in range(500):
        next(iterator)
    state = sampler.state_dict()
    begun = time.perf_counter()
    resumed = make()
    resumed.load_state_dict(state)
    next(iter(resumed))
    return (
        f"lhotse resumes after 500 batches of the {CLIPS:,} log-normal clips in {time.perf_counter() - begun:.2f} s, "
        "by drawing them again, and on as many ranks only."
    )


def million(failures: list[str]) -> list[str]:
    """Return the lines about a million clips on 8 ranks, and note what misses its bound."""
    seconds = lengths(MILLION)["log-normal, median 6 s"]
    lines = [
        "| sampler | plan, s | next epoch, s | restore on other ranks, s | state, bytes | peak memory, MB |",
        "|---|---|---|---|---|---|",
    ]
    makers: dict[str, Callable[..., Any]] = {
        "DurationBatchSampler": partial(af.DurationBatchSampler, seconds, max_seconds=MAX_SECONDS),
        "ClipBatchSampler": partial(af.ClipBatchSampler, seconds, batch_size=16),
        "ClipBatchSampler, weights": partial(af.ClipBatchSampler, seconds, batch_size=16, weights=seconds),
        "EpochSampler": partial(af.EpochSampler, MILLION),
        "EvaluationSampler": partial(af.EvaluationSampler, seconds, max_seconds=MAX_SECONDS),
    }
    for name, make in makers.items():
        begun = time.perf_counter()
        sampler = make(rank=3, world_size=8)
        iterator = iter(sampler)
        next(iterator)
        plan = time.perf_counter() - begun
        for _ in range(1000):
            next(iterator)
        state = json.dumps(sampler.state_dict())
        sampler.set_epoch(1)
        begun = time.perf_counter()
        next(iter(sampler))
        following = time.perf_counter() - begun
        begun = time.perf_counter()
        resumed = make(rank=0, world_size=6)
        resumed.load_state_dict(json.loads(state))
        next(iter(resumed))
        restore = time.perf_counter() - begun
        tracemalloc.start()
        held = make(rank=3, world_size=8)
        next(iter(held))
        after, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        lines.append(
            f"| {name} | {plan:.2f} | {following:.2f} | {restore:.2f} | {len(state)} | {peak / 1e6:.0f}, then "
            f"{after / 1e6:.0f} |"
        )
        for what, value in (("plan", plan), ("restore", restore)):
            if value >= 1:
                failures.append(f"{name}: {what} of a million clips takes {value:.2f} s, 1 s at most")
        if len(state) >= 100_000:
            failures.append(f"{name}: the state has {len(state)} bytes, 100,000 at most")
    return lines


def main() -> int:
    failures: list[str] = []
    text = "\n".join([
        "# Batches: padding, randomness, a million clips", "",
        f"Written by `python benchmarks/feeds/batches.py`, which says what the columns mean. {CLIPS:,} clips, batches "
        f"of {MAX_SECONDS:g} padded seconds, {RANKS} ranks in the last column.", "",
        *compare(failures), "", lhotse_resume(), "",
        f"{MILLION:,} log-normal clips, rank 3 of 8; restored on 6 ranks after 1,001 steps. One thread.", "",
        *million(failures), "",
    ])  # fmt: skip
    print(text)
    if "--check" in sys.argv[1:]:
        print("\n".join(failures) or "all bounds are kept")
        return 1 if failures else 0
    RESULT.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
