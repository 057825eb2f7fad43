"""The fuzzer: changed files of every format are read in child processes, which may crash, hang or take too much memory.

    python -m tests.fuzz.run --files 200000            # about half an hour
    python -m tests.fuzz.run --only vorbis --seed 7    # one format, other changes
    python -m tests.fuzz.run --again vorbis:123        # one file, in this process

Findings are printed as JSON, one a line, and their files kept in a folder.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import torch

from tests.fuzz.corpus import make
from tests.fuzz.judge import judge
from tests.fuzz.mutate import mutate

HANG_SECONDS = 10
MOST_MEMORY_MB = 500
_BATCH = 400


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200_000, help="number of changed files")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="name of one file of the corpus")
    parser.add_argument("--again", default="", help="name:number of one changed file")
    parser.add_argument("--keep", default=os.path.join(tempfile.gettempdir(), "audiofeed-fuzz"))
    parser.add_argument("--noise", action="store_true", help="let decoders write to the standard error")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    files = make()
    if options.again:
        name, number = options.again.rsplit(":", 1)
        path = _write(options.keep, "again", mutate(files, name, int(number)))
        print(path, judge(path, int(number)))
        return 0
    names = [options.only] if options.only else list(files)
    jobs = [(names[n % len(names)], options.seed * 10_000_000 + n // len(names)) for n in range(options.files)]
    counts: Counter[str] = Counter()
    findings: list[dict[str, str]] = []
    begun = time.monotonic()
    at = 0
    while at < len(jobs) and time.monotonic() - begun < options.seconds:
        known = len(findings)
        print(f"\r{at} of {len(jobs)}, {known} findings", end="", file=sys.stderr, flush=True)
        at = _batch(files, jobs, at, counts, findings, options)
        for finding in findings[known:]:
            name, number = finding["file"].rsplit(":", 1)
            finding["kept"] = _write(options.keep, finding["file"].replace(" ", "_"), mutate(files, name, int(number)))
            print(json.dumps(finding), flush=True)
    print(json.dumps({"files": at, "counts": counts, "findings": len(findings), "formats": len(names)}))
    return 1 if findings else 0


def _write(folder: str, name: str, body: bytes) -> str:
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    Path(path).write_bytes(body)
    return path


def _batch(
    files: dict[str, bytes],
    jobs: list[tuple[str, int]],
    begin: int,
    counts: Counter[str],
    findings: list[dict[str, str]],
    options: argparse.Namespace,
) -> int:
    """Read files in a child process; return the number of the first that is left."""
    stop = min(begin + _BATCH, len(jobs))
    shared = mmap.mmap(-1, 8)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        if not options.noise:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        _work(files, jobs[begin:stop], shared, writer)
    os.close(writer)
    status, hung = _wait(child, shared)
    with os.fdopen(reader) as lines:
        for line in lines:
            entry = json.loads(line)
            if "file" in entry:
                findings.append(entry)
                counts[entry["kind"]] += 1
            else:
                counts.update(entry)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        return stop
    (done,) = struct.unpack("<q", shared[:8])
    name, number = jobs[begin + done]
    kind = "hang" if hung else "crash"
    findings.append({"file": f"{name}:{number}", "kind": kind, "text": f"wait status {status}"})
    counts[kind] += 1
    return begin + done + 1


def _wait(child: int, shared: mmap.mmap) -> tuple[int, bool]:
    """Wait for a child; end it if it computes for too long at one file, or stands still at it.

    Time of the processor, because the machine may be busy with something else.
    """
    last, since, computed = shared[:8], time.monotonic(), 0.0
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status, False
        if shared[:8] != last:
            last, since, computed = shared[:8], time.monotonic(), _computed(child)
        elif _computed(child) - computed > HANG_SECONDS or time.monotonic() - since > 12 * HANG_SECONDS:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1], True
        time.sleep(0.01)


def _computed(child: int) -> float:
    """Seconds that a process has computed for."""
    fields = Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _work(files: dict[str, bytes], jobs: list[tuple[str, int]], shared: mmap.mmap, writer: int) -> None:
    """Read files one after the other, and never return."""
    counts: Counter[str] = Counter()
    folder = tempfile.mkdtemp(prefix="audiofeed-fuzz-")
    path = os.path.join(folder, "changed.bin")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for n, (name, number) in enumerate(jobs):
        shared[:8] = struct.pack("<q", n)
        Path(path).write_bytes(mutate(files, name, number))
        finding = {"file": f"{name}:{number}"}
        try:
            counts[judge(path, number)] += 1
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a finding
            where = traceback.extract_tb(error.__traceback__)[-1]
            finding |= {"kind": type(error).__name__, "text": f"{error} ({where.filename}:{where.lineno})"[:600]}
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if after - before > MOST_MEMORY_MB * 1024:
            finding |= {"kind": "memory", "text": f"{(after - before) // 1024} MB"}
            before = after
        if "kind" in finding:
            os.write(writer, (json.dumps(finding) + "\n").encode())
    os.write(writer, (json.dumps(counts) + "\n").encode())
    os.unlink(path)
    os.rmdir(folder)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
