"""What comes of an environment: passed, failed, or not offered here, each with its reason and none in silence."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from release import __main__ as command
from release import environments, report
from release.archives import Archives, ReleaseError
from release.environments import FAILED, NOT_OFFERED, PASSED, Outcome, Workshop, interpreter
from release.matrix import Environment

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
PLAIN = Environment(python=HERE, torch="2.11", without=("llvmlite",))

# stands in for uv: it notes what it was asked, makes an "environment" that is this Python, and fails where it is told
UV = """\
import json, os, pathlib, sys
asked = sys.argv[1:]
folder = pathlib.Path(__file__).parent
with open(folder / "asked.jsonl", "a") as file:
    print(json.dumps(asked), file=file)
if asked[0] == "venv":
    (pathlib.Path(asked[-1]) / "bin").mkdir(parents=True, exist_ok=True)
    python = pathlib.Path(asked[-1]) / "bin" / "python"
    python.unlink(missing_ok=True)
    python.write_text("#!/bin/sh\\nexec " + sys.executable + ' "$@"\\n')
    python.chmod(0o755)
if asked[1] == "freeze":
    print("numpy==2.0.0\\ntorch==2.11.0")
for words, said in json.loads((folder / "fails.json").read_text()).items():
    if words in " ".join(asked):
        sys.exit(said)
"""
SMOKE = """\
import json, pathlib, sys
steps = json.loads(pathlib.Path({steps!r}).read_text())
pathlib.Path(sys.argv[1]).write_text(json.dumps({{"versions": {{"torch": "2.11.0"}}, "steps": steps}}))
"""
GOOD = [{"step": "imports", "seconds": 0.1, "found": None, "error": None}]


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Workshop:
    (tmp_path / "uv.py").write_text(UV)
    (tmp_path / "steps.json").write_text(json.dumps(GOOD))
    (tmp_path / "smoke.py").write_text(SMOKE.format(steps=str(tmp_path / "steps.json")))
    monkeypatch.setattr(environments, "SMOKE", tmp_path / "smoke.py")
    archives = Archives(tmp_path / "audiofeed-0.1.0-py3-none-any.whl", tmp_path / "audiofeed-0.1.0.tar.gz")
    uv = [sys.executable, str(tmp_path / "uv.py")]
    workshop = Workshop(tmp_path / "work", archives, keep=False, disk_gb=0.001, uv=uv)
    fails(workshop)
    return workshop


def fails(shop: Workshop, **said: str) -> None:
    (shop.folder.parent / "fails.json").write_text(json.dumps({key.replace("_", " "): v for key, v in said.items()}))


def asked(shop: Workshop) -> list[str]:
    return [" ".join(json.loads(line)) for line in (shop.folder.parent / "asked.jsonl").read_text().splitlines()]


def test_an_environment_gets_torch_then_the_wheel_beside_it_and_loses_what_it_should(shop):
    outcome = shop.try_out(PLAIN)
    assert (outcome.state, outcome.reason, outcome.versions) == (PASSED, "", {"torch": "2.11.0"})
    assert [step["step"] for step in outcome.steps] == ["imports"]
    installs = [line for line in asked(shop) if line.startswith("pip install")]
    assert installs[0].endswith("torch==2.11.*")
    assert installs[1].endswith("audiofeed-0.1.0-py3-none-any.whl torch==2.11.0"), "torch is to stay as it is"
    assert [line for line in asked(shop) if line.startswith("pip uninstall") and line.endswith("llvmlite")]
    assert not (shop.folder / PLAIN.folder).exists(), "an environment is not kept unasked"


def test_the_lowest_versions_and_the_source_archive_are_asked_for(shop):
    shop.try_out(Environment(python=HERE, torch="newest", lowest=True, archive="sdist"))
    first, second = (line for line in asked(shop) if line.startswith("pip install"))
    assert first.endswith(" torch")
    assert "--resolution lowest-direct" in second
    assert "audiofeed-0.1.0.tar.gz" in second


def test_a_release_that_the_registry_lacks_is_not_offered_with_the_reason(shop):
    fails(shop, install="  \u00d7 No solution found when resolving:\n  \u2570\u2500\u25b6 no version of torch==2.11.*")
    outcome = shop.try_out(PLAIN)
    assert outcome.state == NOT_OFFERED
    assert outcome.reason == "No solution found when resolving: no version of torch==2.11.*"


def test_another_failure_of_the_registry_fails(shop):
    fails(shop, install="error: connection reset")
    outcome = shop.try_out(PLAIN)
    assert (outcome.state, outcome.reason) == (FAILED, "error: connection reset")


def test_our_own_dependencies_without_a_solution_fail(shop):
    fails(shop, reinstall="No solution found when resolving dependencies: audiofeed needs what is not there")
    outcome = shop.try_out(PLAIN)
    assert outcome.state == FAILED
    assert outcome.reason.startswith("uv pip install: No solution found")


def test_a_python_that_is_not_here_and_a_full_disk_are_not_offered(shop, monkeypatch):
    assert (
        shop.try_out(Environment(python="3.99", torch="2.11")).reason == "no Python 3.99 on the path or among pyenv's"
    )
    shop.disk_gb = 1e9
    outcome = shop.try_out(PLAIN)
    assert outcome.state == NOT_OFFERED
    assert "GB of disk are free" in outcome.reason


def test_a_step_that_fails_is_named_with_its_error(shop):
    error = "Traceback (most recent call last):\n  File ...\nAssertionError: 2e-2 off"
    broken = {"step": "equals_the_stored_values", "seconds": 0.1, "found": None, "error": error}
    (shop.folder.parent / "steps.json").write_text(json.dumps([*GOOD, broken]))
    outcome = shop.try_out(PLAIN)
    assert (outcome.state, outcome.reason) == (FAILED, "equals_the_stored_values: AssertionError: 2e-2 off")
    assert outcome.versions, "what was installed is known all the same"


def test_a_smoke_test_that_dies_or_hangs_fails(shop, monkeypatch):
    environments.SMOKE.write_text("import os; os.abort()")
    assert shop.try_out(PLAIN).state == FAILED
    environments.SMOKE.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(environments, "SECONDS_TO_TRY", 0.5)
    outcome = shop.try_out(PLAIN)
    assert outcome.state == FAILED
    assert outcome.reason.endswith("took more than 0 s")


def test_kept_environments_are_made_once_and_get_the_package_anew(shop):
    shop.keep = True
    for _ in range(2):
        assert shop.try_out(PLAIN).state == PASSED
    lines = asked(shop)
    assert sum(line.startswith("venv") for line in lines) == 1
    assert sum("--reinstall-package audiofeed" in line for line in lines) == 2
    assert (shop.folder / PLAIN.folder).exists()


def test_settings_of_the_developer_do_not_reach_an_environment(shop, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("AUDIOFEED_KERNELS", "0")
    environments.SMOKE.write_text(
        "import json, os, pathlib, sys\n"
        "kept = [name for name in ('PYTHONPATH', 'AUDIOFEED_KERNELS') if name in os.environ]\n"
        "error = f'AssertionError: {kept}' if kept else None\n"
        "step = {'step': 'clean', 'seconds': 0, 'found': None, 'error': error}\n"
        "pathlib.Path(sys.argv[1]).write_text(json.dumps({'versions': {}, 'steps': [step]}))\n"
    )
    assert shop.try_out(PLAIN).reason == ""


def test_extras_that_do_not_fit_together_fail(shop):
    assert shop.resolve(HERE).state == PASSED
    fails(shop, compile="No solution found: librosa and numpy")
    outcome = shop.resolve(HERE)
    assert (outcome.name, outcome.state) == (f"all extras resolve, python {HERE}", FAILED)
    assert "librosa and numpy" in outcome.reason


def test_this_python_is_found_and_none_of_another_version():
    assert interpreter(HERE) == Path(sys.executable)
    assert interpreter("2.99") is None


def test_the_report_has_a_row_for_each_with_the_reason(tmp_path):
    outcomes = [
        Outcome("python 3.12, torch 2.6", PASSED, "", 61.4, {"python": "3.12.1", "torch": "2.6.0"}, GOOD),
        Outcome("python 3.13, torch 2.6", NOT_OFFERED, "no version | of torch"),
        Outcome("python 3.13, torch 2.11", FAILED, "imports: ImportError: x"),
    ]
    text = report.write(outcomes, tmp_path, "0.1.0").read_text(encoding="utf-8")
    assert "| python 3.12, torch 2.6 | 3.12.1 | 2.6.0 | - | - | - | - | 61 | passed |" in text
    assert "| not offered here: no version / of torch |" in text
    assert "| failed: imports: ImportError: x |" in text
    kept = json.loads((tmp_path / "matrix.json").read_text(encoding="utf-8"))
    assert [one["state"] for one in kept["environments"]] == [PASSED, NOT_OFFERED, FAILED]


@pytest.mark.parametrize(
    ("states", "code"), [((PASSED, NOT_OFFERED), 0), ((PASSED, FAILED), 1), ((NOT_OFFERED, NOT_OFFERED), 1)]
)
def test_the_command_fails_where_one_fails_or_none_passes(tmp_path, monkeypatch, capsys, states, code):
    answers = iter([Outcome("a", states[0]), *[Outcome("b", states[1])] * 50])
    monkeypatch.setattr(
        command.archives, "built", lambda folder: Archives(Path("audiofeed-0.1-x"), Path("audiofeed-0.1.tar.gz"))
    )
    monkeypatch.setattr(command.archives, "check", lambda archives: None)
    monkeypatch.setattr(command.archives, "ROOT", tmp_path)
    monkeypatch.setattr(Workshop, "try_out", lambda self, environment: next(answers))
    assert command.main(["--only", "torch 2.6"]) == code
    assert "torch" not in capsys.readouterr().err
    assert (tmp_path / ".release" / "matrix.md").exists(), "a part of the matrix is no report on a release"


def test_the_command_stops_at_a_bad_archive(tmp_path, monkeypatch, capsys):
    def bad(folder: Path) -> Archives:
        raise ReleaseError("the wheel lacks py.typed")

    monkeypatch.setattr(command.archives, "built", bad)
    assert command.main([]) == 1
    assert "the wheel lacks py.typed" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main(["--only", "torch 9"])


def test_the_command_lists_the_environments(capsys):
    assert command.main(["--list"]) == 0
    assert "python 3.10, torch 2.6, torchaudio, lowest versions" in capsys.readouterr().out
