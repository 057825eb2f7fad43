"""Put this folder on the path, run the scripts in it in processes of their own, and leave none of these behind."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# programs with arguments, which the doctests would import
collect_ignore_glob = ["with_*.py"]
sys.path.insert(0, str(HERE))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 recordings of two classes."""
    from parts import make_folder

    return make_folder(tmp_path_factory.mktemp("frameworks"))


@pytest.fixture(scope="session")
def run() -> Callable[..., str]:
    """Run a script of this folder, or a module with arguments, and return what it printed; under a time limit."""

    def run(*command: object, timeout: float = 400) -> str:
        environment = {
            **os.environ,
            "PYTHONPATH": f"{HERE.parents[1]}:{HERE}",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "RAY_DISABLE_MEMORY_MONITOR": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PYTEST_CURRENT_TEST"):
            environment.pop(name, None)
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=HERE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,  # so that what it started ends with it
        )  # fmt: skip
        try:
            output = process.communicate(timeout=timeout)[0]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 0, output[-6000:]
        return output

    return run
