"""Augmentation on a CPU: each of the package, and a chain beside torch-audiomentations' and audiomentations'.

    python benchmarks/augmentation/cost.py [--rounds 7] [--append] [--check]
    python benchmarks/augmentation/cost.py --only chain

The batch is 64 clips of 3 s at 16 kHz, and the yardstick is the training step of the demo's model on it (forward, loss,
backward, optimizer; features not counted). Augmentations are those of the package's tests, found by walking, with a
probability of 1 where they have none of their own. The chain is background, reverb and gain on the waveforms and
SpecAugment on the features; the peers have no SpecAugment, and are compared with the rest. Files are written for the
run: 20 backgrounds of 10 s, 20 impulse responses of 0.5 s. `--append` adds its rounds to those that the results have,
so that several short runs make one table; `--only` shows rows of some names and writes nothing. `--check` exits 1 where
a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch.nn import functional

import audiofeed as af
from audiofeed.augment import AddBackground, Clips, Compose, Gain, ReverbFrom, SpecAugment
from audiofeed.demo.model import ClipClassifier
from audiofeed.demo.run import make_features

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the cases lie with the tests
import peers

from tests.augment.cases.every import CASES
from tests.augment.contract.test_contract import fetched

RATE, CLIPS, SECONDS = 16_000, 64, 3
SHARE, TIMES = 0.10, 3.0


def write_files(root: Path) -> None:
    """Backgrounds (noise under a slow tremolo) and impulse responses (noise that dies away behind a direct sound)."""
    for name in ("backgrounds", "responses"):
        (root / name).mkdir()
    for number in range(20):
        random = np.random.default_rng(number)
        time = np.arange(10 * RATE) / RATE
        noise = 0.1 * random.standard_normal(len(time)) * (1 + 0.9 * np.sin(2 * np.pi * 0.3 * time))
        soundfile.write(root / "backgrounds" / f"{number}.wav", noise, RATE, subtype="PCM_16")
        tail = 0.1 * random.standard_normal(RATE // 2) * np.exp(-np.arange(RATE // 2) / (0.08 * RATE))
        tail[: 40 + number], tail[40 + number] = 0.0, 0.9
        soundfile.write(root / "responses" / f"{number}.wav", tail, RATE, subtype="PCM_16")


def clips(seconds: float = SECONDS, batch: int = CLIPS) -> Clips:
    """A batch of noise, all clips as long as the batch."""
    n = int(RATE * seconds)
    waveforms = 0.1 * torch.randn(batch, n, generator=torch.Generator().manual_seed(0))
    return Clips(
        waveforms, torch.full((batch,), n), torch.arange(batch), RATE, targets=torch.eye(10)[torch.arange(batch) % 10]
    )


def with_features(given: Clips) -> Clips:
    """The batch with the demo's features."""
    transform = make_features(RATE)
    features = transform(given.waveforms, given.lengths)
    return given.with_values(features=features, feature_lengths=transform.frame_lengths(given.lengths))


def step_of(given: Clips) -> Callable[[], object]:
    """The demo's training step on the batch's features."""
    model = ClipClassifier(given.features.shape[1], 10).train()
    optimizer = torch.optim.AdamW(model.parameters())
    targets = torch.arange(given.batch) % 10

    def step() -> None:
        loss = functional.cross_entropy(model(given.features, given.feature_lengths), targets, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def each(given: Clips) -> dict[str, Callable[[], object]]:
    """Every augmentation of the package on the batch."""
    made: dict[str, Callable[[], object]] = {}
    for name, case in sorted(CASES.items()):
        augmentation = case.make()
        if "filters" in augmentation.stages:  # part of the transform, not a step of its own
            continue
        if case.keeps_p and name.split("-")[0] not in ("Compose", "OneOf", "Sometimes"):
            augmentation.p = 1.0
        ready = fetched(augmentation, given)
        made[name] = lambda augmentation=augmentation, ready=ready: no_grad(augmentation.run, ready)
    return made


def no_grad(call: Callable[..., object], *arguments: object) -> object:
    """A call as a collate makes it."""
    with torch.no_grad():
        return call(*arguments)


def chains(root: Path, given: Clips) -> dict[str, Callable[[], object]]:
    """The chain, its waveform part and what a worker reads for it, at probabilities of 1 and of 0.5."""
    made: dict[str, Callable[[], object]] = {}
    for p in (1.0, 0.5):
        for keep in ("device", None):
            background = AddBackground(af.AudioFolder(root / "backgrounds"), (3, 30), keep=keep, p=p)
            waveform = [background, ReverbFrom(af.AudioFolder(root / "responses"), p=p), Gain((-12, 6), p=p)]
            chain = Compose([*waveform, SpecAugment()])
            ready = fetched(chain, given)
            how = f"p={p:g}, {'held' if keep else 'read'}"
            made[f"chain, {how}"] = lambda chain=chain, ready=ready: no_grad(chain.run, ready)
            part = Compose(waveform)
            of_part = fetched(part, given)
            made[f"waveforms, {how}"] = lambda part=part, of_part=of_part: no_grad(part.run, of_part)
            if keep is None:
                fetch = part.fetcher()
                made[f"reading, p={p:g}"] = lambda fetch=fetch: fetch(given.seeds, given.lengths, RATE, None)
    alone = (
        AddBackground(af.AudioFolder(root / "backgrounds"), (3, 30), keep="device"),
        ReverbFrom(af.AudioFolder(root / "responses")),
        Gain((-12, 6)),
        SpecAugment(),
    )
    for augmentation in alone:
        name = f"{type(augmentation).__name__} of the chain"
        made[name] = lambda augmentation=augmentation: no_grad(augmentation.run, given)
    return made


def mend_torchaudio() -> None:
    """Give torchaudio the functions by which torch-audiomentations reads files, and which it no longer has."""
    import torchaudio

    def info(path: object) -> object:
        found = soundfile.info(str(path))
        return types.SimpleNamespace(num_frames=found.frames, sample_rate=found.samplerate)

    def load(path: object, frame_offset: int = 0, num_frames: int = -1) -> tuple[torch.Tensor, int]:
        samples, rate = soundfile.read(
            str(path), start=frame_offset, frames=num_frames, dtype="float32", always_2d=True
        )
        return torch.from_numpy(samples.T.copy()), rate

    torchaudio.info, torchaudio.load = info, load


def peers_of(root: Path, given: Clips) -> tuple[dict[str, Callable[[], object]], dict[str, str]]:
    """Calls of the peers that run here, and what those that do not say."""
    made: dict[str, Callable[[], object]] = {}
    failed: dict[str, str] = {}
    batch = given.waveforms[:, None]

    def add(name: str, make: Callable[[], Callable[[], object]]) -> None:
        try:
            call = make()
            call()
        except Exception as error:  # noqa: BLE001  # what a peer says is the result
            failed[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:150]}"
        else:
            made[name] = call

    def of_torch(p: float, kinds: str) -> Callable[[], object]:
        import torch_audiomentations as peer

        all_of = {
            "background": lambda: peer.AddBackgroundNoise(
                str(root / "backgrounds"), 3, 30, p=p, sample_rate=RATE, output_type="dict"
            ),
            "reverb": lambda: peer.ApplyImpulseResponse(
                str(root / "responses"),
                p=p,
                compensate_for_propagation_delay=True,
                sample_rate=RATE,
                output_type="dict",
            ),
            "gain": lambda: peer.Gain(-12, 6, p=p, sample_rate=RATE, output_type="dict"),
        }
        chain = peer.Compose([make() for kind, make in all_of.items() if kind in kinds], output_type="dict")
        return lambda: no_grad(chain, batch)

    def of_numpy(p: float) -> Callable[[], object]:
        import audiomentations as peer

        chain = peer.Compose(
            [
                peer.AddBackgroundNoise(str(root / "backgrounds"), min_snr_db=3, max_snr_db=30, p=p),
                peer.ApplyImpulseResponse(str(root / "responses"), p=p),
                peer.Gain(-12, 6, p=p),
            ]
        )
        rows = given.waveforms.numpy()
        return lambda: [chain(row, sample_rate=RATE) for row in rows]

    add("torch-audiomentations as it is, p=1", lambda: of_torch(1.0, "background reverb gain"))
    mend_torchaudio()
    for p in (1.0, 0.5):
        add(f"torch-audiomentations, p={p:g}", lambda p=p: of_torch(p, "background reverb gain"))
        add(f"audiomentations, one clip at a time, p={p:g}", lambda p=p: of_numpy(p))
    for kind in ("background", "reverb", "gain"):
        add(f"torch-audiomentations, {kind} alone, p=1", lambda kind=kind: of_torch(1.0, kind))
    return made, failed


def ratio_error(added: torch.Tensor, clip: torch.Tensor, asked: float) -> float:
    """How far the ratio of a clip to what was added is from what was asked for, dB."""
    return abs(float(10 * (clip.double().square().mean() / added.double().square().mean()).log10()) - asked)


def errors(root: Path) -> dict[str, str]:
    """The error of the ratio, 10 dB asked, of a clip alone and of the same clip in a batch padded to eight times it."""
    n = RATE // 2
    clip = 0.1 * torch.randn(n, generator=torch.Generator().manual_seed(3))
    found = {}

    def ours(size: int) -> float:
        padded = functional.pad(clip, (0, size - n))[None]
        augmentation = AddBackground(af.AudioFolder(root / "backgrounds"), 10.0)
        after = augmentation(padded, torch.tensor([n]), torch.tensor([1]), sample_rate=RATE)
        return ratio_error(after[0, :n] - clip, clip, 10.0)

    def of_torch(size: int) -> float:
        import torch_audiomentations as peer

        augmentation = peer.AddBackgroundNoise(str(root / "backgrounds"), 10, 10, p=1.0, output_type="dict")
        padded = functional.pad(clip, (0, size - n))[None, None]
        after = augmentation(padded, sample_rate=RATE)["samples"]
        return ratio_error(after[0, 0, :n] - clip, clip, 10.0)

    def of_numpy(size: int) -> float:
        import audiomentations as peer

        augmentation = peer.AddBackgroundNoise(str(root / "backgrounds"), min_snr_db=10, max_snr_db=10, p=1.0)
        after = augmentation(functional.pad(clip, (0, size - n)).numpy(), sample_rate=RATE)
        return ratio_error(torch.from_numpy(after[:n]) - clip, clip, 10.0)

    for name, one in (("audiofeed", ours), ("torch-audiomentations", of_torch), ("audiomentations", of_numpy)):
        try:
            found[name] = f"{one(n):.4f} dB alone, {one(8 * n):.4f} dB padded eightfold"
        except Exception as error:  # noqa: BLE001  # what a peer says is the result
            found[name] = f"does not run: {type(error).__name__}: {str(error).splitlines()[0][:100]}"
    return found


def main() -> int:
    """Measure, write the tables, and with --check hold them against the promises."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--append", action="store_true", help="add these rounds to those of the results")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="rows that begin so, shown and not written")
    parser.add_argument("--check", action="store_true", help="exit 1 where a promise is broken")
    arguments = parser.parse_args()
    earlier = rounds_before() if arguments.append else {}
    warnings.simplefilter("ignore")
    given = with_features(clips())
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_files(root)
        ours = {**each(given), **chains(root, given)}
        if arguments.only:
            show(
                {name: call for name, call in ours.items() if name.startswith(tuple(arguments.only))}, given, arguments
            )
            return 0
        others, failed = peers_of(root, given)
        wrong = errors(root)
        measured: dict[int, dict[str, list[float]]] = {}
        for threads in (1, 2):
            measured[threads] = timed({**ours, **others}, given, threads, arguments.rounds)
            for name, seconds in measured[threads].items():
                seconds[:0] = earlier.get(str(threads), {}).get(name, [])
    return report(measured, failed, wrong, arguments)


def timed(calls: dict[str, Callable[[], object]], given: Clips, threads: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each call and of the demo's step, in turn, at a number of threads."""
    torch.set_num_threads(threads)
    return peers.in_turn({"step": step_of(given), **calls}, rounds=rounds, rest=0.01, warm_up=0.02, timed=1)


def show(calls: dict[str, Callable[[], object]], given: Clips, arguments: argparse.Namespace) -> None:
    """Show the time and the share of the step of some rows."""
    for threads in (1, 2):
        seconds = timed(calls, given, threads, arguments.rounds)
        step = seconds.pop("step")
        sys.stdout.write(f"{threads} threads: step {np.median(step) * 1e3:.1f} ms\n")
        for name, own in seconds.items():
            shares = 100 * np.array(own) / np.array(step)
            spread = f"{shares.min():.1f} to {shares.max():.1f}"
            sys.stdout.write(f"  {name}: {np.median(own) * 1e3:.1f} ms, {np.median(shares):.1f} % ({spread})\n")


def rounds_before() -> dict[str, dict[str, list[float]]]:
    """The seconds of each call in the rounds of the results, by threads; only of this machine and these versions."""
    results = json.loads(peers.RESULTS.joinpath("augmentation.json").read_text())
    here = {"machine": peers.machine(), "versions": versions()}
    there = {name: results[name] for name in here}
    if here != there or "seconds" not in results:
        raise SystemExit(f"--append: the results are of {there}, and this is {here}: run once without it")
    return results["seconds"]


def versions() -> dict[str, str]:
    return peers.versions("torch", "torchaudio", "torch-audiomentations", "audiomentations", "numpy")


def report(
    measured: dict[int, dict[str, list[float]]],
    failed: dict[str, str],
    wrong: dict[str, str],
    arguments: argparse.Namespace,
) -> int:
    """Write the tables, and return 1 where a promise is broken and --check was given."""
    shares = {
        threads: {name: 1 / peers.ratio(seconds, "step", name) for name in seconds if name != "step"}
        for threads, seconds in measured.items()
    }

    def cells(name: str) -> list[str]:
        return [f"{np.median(measured[t][name]) * 1e3:.1f} ms, {100 * shares[t][name]:.1f} %" for t in (1, 2)]

    names = [name for name in measured[1] if name != "step"]
    faults, rows, times = [], [], {}
    for name in names:
        if name.startswith(("torch-audiomentations, p=", "audiomentations")):
            p = name.rsplit("p=", 1)[1]
            times[name] = {t: peers.ratio(measured[t], name, f"waveforms, p={p}, held") for t in (1, 2)}
            for t in (1, 2):
                if times[name][t] < TIMES and name.startswith("torch"):
                    faults.append(f"{name} takes {times[name][t]:.1f} times the chain's, {t} threads; promised {TIMES}")
        if name.startswith("chain"):
            faults += [
                f"{name}: {100 * shares[t][name]:.1f} % of the step, {t} threads; promised {100 * SHARE:.0f} %"
                for t in (1, 2)
                if shares[t][name] > SHARE
            ]
    is_of_chain = [n for n in names if n.startswith(("chain", "waveforms", "reading")) or n.endswith("of the chain")]
    of_peers = [n for n in names if "audiomentations" in n]
    rows = [[name, *cells(name)] for name in is_of_chain]
    rows += [
        [
            name,
            *(
                c + (f", x{times[name][t]:.1f}" if name in times else "")
                for t, c in zip((1, 2), cells(name), strict=True)
            ),
        ]
        for name in of_peers
    ]
    rows += [[name, "does not run", text] for name, text in failed.items()]
    about, rounds = versions(), len(measured[1]["step"])
    step = " and ".join(f"{np.median(measured[t]['step']) * 1e3:.1f} ms at {t} threads" for t in (1, 2))
    text = (
        f"Augmentation on a CPU, {CLIPS} clips of {SECONDS} s at 16 kHz: median time, and its share of the training "
        f"step of the demo's model on the same batch ({step}; features not counted; the median of the shares within a "
        "round)."
        "\n\nThe chain is AddBackground, ReverbFrom (responses of 0.5 s), Gain and SpecAugment; 'waveforms' is "
        "the same without SpecAugment, which the peers do not have, and x says how many times as long as that (held) a "
        "peer takes. 'Held' has the backgrounds in memory, 'read' gets what a worker has read, whose time is "
        "'reading'; the "
        "peers read in the call. p is the probability of each of the three. torch-audiomentations calls functions that "
        "torchaudio no longer has; but for the line 'as it is' it is given others of that name, by soundfile.\n\n"
        + peers.markdown(["", "1 thread", "2 threads"], rows)
        + "\nThe error of the ratio of a clip to its background, 10 dB asked:\n\n"
        + peers.markdown(["", "error"], [list(pair) for pair in wrong.items()])
        + "\nEach augmentation of the package, as its tests build it, on every clip:\n\n"
        + peers.markdown(
            ["", "1 thread", "2 threads"],
            [[n, *cells(n)] for n in names if n not in is_of_chain and n not in of_peers],
        )
        + f"\n{peers.machine()}; {', '.join(f'{k} {v}' for k, v in about.items())}; {rounds} rounds. Made by "
        "`python benchmarks/augmentation/cost.py`.\n"
    )
    peers.write("augmentation.md", text)
    peers.RESULTS.joinpath("augmentation.json").write_text(
        json.dumps(
            {
                "machine": peers.machine(),
                "versions": about,
                "median_ms": {
                    t: {name: float(np.median(s) * 1e3) for name, s in seconds.items()}
                    for t, seconds in measured.items()
                },
                "share_of_step": shares,
                "times_of_chain": times,
                "ratio_error": wrong,
                "failed": failed,
                "seconds": measured,
            },
            indent=1,
        )
        + "\n"
    )
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return int(arguments.check and bool(faults))


if __name__ == "__main__":
    sys.exit(main())
