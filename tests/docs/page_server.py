"""Runs pages in processes of their own, forked from one that has imported what all of them import.

    python -m tests.docs.page_server

Reads lines of JSON, {"page", "folder", "seconds"}, and answers each, once its page has ended, with a line {"code",
"output", "missing"}: 0 or the exit code, what was printed, and the packages for want of which blocks were not run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shlex
import signal
import sys
import traceback
import warnings
from pathlib import Path

import torch

import audiofeed
import audiofeed.cli
from tests.docs.sounds import write_classes
from tests.pages import Block, blocks_of, run_blocks

SHELLS = ("bash", "sh", "console")


def commands_of(block: Block) -> list[list[str]]:
    """The commands of audiofeed in a block of shell, without the name; of a console those after a prompt alone."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    found = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in found if words and words[0].rsplit("/", 1)[-1] == "audiofeed"]


def run_command(arguments: list[str]) -> None:
    """Run a command that is quick, and see of another one that it has these options."""
    quick = arguments[0] == "scan"
    options = [word.split("=")[0] for word in arguments[1:] if word.startswith("--")]
    with contextlib.suppress(SystemExit):
        if quick:
            code = audiofeed.cli.main(arguments)
            assert code in (0, 1), f"audiofeed {' '.join(arguments)} ended with {code}"
            return
        with open("help.txt", "w") as file, contextlib.redirect_stdout(file):
            audiofeed.cli.main([arguments[0], "--help"])
    said = Path("help.txt").read_text() if not quick else ""
    assert not quick, f"audiofeed {' '.join(arguments)}: mistaken options"
    assert all(option in said for option in options), f"audiofeed {arguments[0]} has not all of {options}"


def run(page: str) -> None:
    """Run what can be run of a page in this folder, in its order."""
    write_classes()
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    warnings.filterwarnings("ignore", "'pin_memory' argument is set as true but no", UserWarning)
    torch.set_num_threads(1)
    todo = [block for block in blocks_of(page) if not missing_of(block)]
    run_blocks(page, [block for block in todo if block.language in ("python", "run")])
    for block in todo:
        if block.language in SHELLS:
            for arguments in commands_of(block):
                run_command(arguments)


def missing_of(block: Block) -> list[str]:
    """The packages that a block needs and that are not here."""
    return [name for name in block.needs if importlib.util.find_spec(name) is None]


def in_a_child(page: str, folder: str, seconds: int) -> int:
    """Fork, run a page there for at most so many seconds, and return its exit code; all that it started ends."""
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.alarm(seconds)  # whose default is the end of the process
        output = os.open(os.path.join(folder, "output.txt"), os.O_WRONLY | os.O_CREAT, 0o600)
        for stream in (1, 2):
            os.dup2(output, stream)
        code = 1
        try:
            os.makedirs(os.path.join(folder, "work"))
            os.chdir(os.path.join(folder, "work"))
            run(page)
            code = 0
        except BaseException:  # noqa: BLE001  # also SystemExit: the child ends below, by os._exit
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return code


def main() -> None:
    """Serve until the standard input ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        missing = sorted({name for block in blocks_of(asked["page"]) for name in missing_of(block)})
        code = in_a_child(asked["page"], asked["folder"], asked["seconds"])
        output = Path(asked["folder"], "output.txt").read_text(errors="replace")[-6000:]
        sys.stdout.write(json.dumps({"code": code, "output": output, "missing": missing}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
