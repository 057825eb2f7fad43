"""Ours beside its peers in the rows that this run timed: how many times as long each takes, and what is asked of it."""

from __future__ import annotations

from typing import Any

import torch

from audiofeed.methods.short_time.fused import cuda_launch
from gpu.checks import Check, Recorder

SECTION = "beside"
# where a card computes, and not the host's Python: the largest batch that is timed
BATCH = "64 x 30 s"
# of a log-mel's peers, the least times that each is to take of ours
MEL = {
    "flashmel, mel without log": 1.0, "flashmel + log": 1.3, "torch.stft + matmul + log": 3.0, "nnAudio2": 10.0,
}  # fmt: skip
# of nnAudio2's fastest for 84 bins
CONSTANT_Q = 10.0
# of a training step, features and all
SHARE = 0.05
Row = dict[str, Any]


def run(recorder: Recorder, tables: dict[str, Any], device: torch.device) -> list[Row]:
    """Compare the rows of one setting, and check what is asked where the card runs the CUDA kernels.

    Args:
        recorder: Of the run.
        tables: What it measured until now.
        device: The card.
    """
    judges = device.type == "cuda" and torch.cuda.get_device_capability(device) in cuda_launch.PROVEN
    rows: list[Row] = []
    of_mel = _by_setting(tables.get("features") or [], lambda row: f"{row['config']}, {row['batch']}")
    for setting, ways in of_mel.items():
        if "auto" in ways:
            rows += [_row(f"log-mel, {setting}", way, its, ways["auto"], MEL, judges) for way, its in ways.items()
                     if not way.startswith(("auto", "fft", "conv"))]  # fmt: skip
    for setting, ways in _by_setting(tables.get("constant_q") or [], lambda row: str(row["setting"])).items():
        peers = {way: its for way, its in ways.items() if way.startswith("nnAudio2")}
        if "audiofeed" in ways and peers:
            fastest = min(peers, key=lambda way: float(peers[way]["median_ms"]))
            asked = {fastest: CONSTANT_Q} if " 84 bins" in setting else {}
            rows += [_row(f"constant Q, {setting}", way, its, ways["audiofeed"], asked, judges)
                     for way, its in peers.items()]  # fmt: skip
    for row in rows:
        if row["asked"]:
            with recorder.check(SECTION, f"{row['setting']}: {row['way']}") as check:
                _judge(check, row)
    for step in tables.get("step") or []:
        with recorder.check(SECTION, f"features of {step['batch']} in a small CNN's step") as check:
            if judges:
                check.within("share of the step", step["share"], SHARE)
    return rows


def _by_setting(rows: list[Row], setting_of: Any) -> dict[str, dict[str, Row]]:
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        if "median_ms" in row:
            found.setdefault(setting_of(row), {})[row["way"]] = row
    return found


def _row(setting: str, way: str, its: Row, ours: Row, asked: dict[str, float], judges: bool) -> Row:
    alone = its.get("card_ms"), ours.get("card_ms")
    return {
        "setting": setting, "way": way, "times": its["median_ms"] / ours["median_ms"],
        "card": None if None in alone else alone[0] / alone[1],  # type: ignore[operator]
        "asked": asked.get(way) if judges and setting.endswith(BATCH) else None,
    }  # fmt: skip


def _judge(check: Check, row: Row) -> None:
    """Hold how many times as long a peer takes to the least that is asked, as an error's share of its tolerance.

    On the card alone, where both can be replayed: what a host adds is another's with each run.
    """
    alone = row["card"] is not None
    times = row["card"] if alone else row["times"]
    check.within(f"{row['asked']:g} times ours, of its own time", row["asked"] / times, 1.0)
    check.note(f"{times:.1f} times as long as ours{' on the card alone' if alone else ''}, {row['asked']:g} asked")
