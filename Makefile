# Two commands: `make demo` and `make test`. Each makes its own .venv once and installs nothing the second time.
PYTHON ?= python3
CORE_TORCH ?= 2.13.0
# where librosa is compared with
LIBROSA_TESTS = $(shell grep -rl "import librosa" tests --include='test_*.py')
PIP_FLAGS ?= -q --disable-pip-version-check
V := .venv/bin
C := .venv-core/bin
L := .venv-librosa/bin
R := .venv-release/bin
# such as --keep, --only "torch 2.6" or --list
RELEASE_OPTIONS ?=
# the first Python that librosa 1.0 runs on: on the path, or among pyenv's
PYTHON_NEW ?= $(firstword $(foreach name,python3.12 python3.13 python3.14 $(sort $(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.1[2-4]*/bin/python)),$(shell $(name) -c "import sys; print(sys.executable if sys.version_info >= (3, 12) else '')" 2>/dev/null)))

SITE ?= docs/_build/html
SPHINX ?=

.PHONY: demo test docs check test-core test-librosa beside-librosa coverage lint types bench release clean

demo: .venv/.demo
	$(V)/audiofeed demo

test: .venv/.test
	$(V)/python -m pytest -n 2 --dist worksteal

# the site: warnings are errors, scripts of the gallery and code of the pages run, and every page is looked at in a browser
docs: .venv/.docs
	$(V)/python -m sphinx -W --keep-going -q -b html $(SPHINX) docs $(SITE)
	$(V)/python -m pytest tests/site --site $(SITE)

# for work in progress: lint, and a minute's worth of tests, some of each file
check: lint
	$(V)/python -m pytest -n 2 --dist worksteal --sample

# with the doctests and the processes that tests start; what only a GPU reaches counts as not covered
coverage: .venv/.test
	$(V)/python -m pytest -n 2 --dist worksteal --cov --cov-report=
	$(V)/python benchmarks/coverage_page.py > docs/coverage.md
	$(V)/coverage report --format=total

# the core beside another torch, with no torchaudio there
test-core: .venv-core/.test
	$(C)/python -c "import importlib.util, sys; sys.exit('torchaudio is here; the core must be tested without it' if importlib.util.find_spec('torchaudio') else 0)"
	$(C)/python -m pytest -n 2 --dist worksteal -m "not torchaudio"

# parity with librosa 1.0, which needs Python 3.12; `make test` has it, too, where its Python is as new
test-librosa:
	@if [ -n "$(PYTHON_NEW)" ]; then $(MAKE) --no-print-directory beside-librosa; else echo "test-librosa: skipped, since \
	no Python 3.12 or newer, which librosa 1.0 needs, is on the path or among pyenv's; PYTHON_NEW=... names one"; fi

beside-librosa: .venv-librosa/.test
	$(L)/python -c "import librosa, sys; sys.exit(int(librosa.__version__.split('.')[0]) < 1 and 'librosa is older than 1.0 here')"
	$(L)/python -m pytest -n 2 --dist worksteal -m "not torchaudio" $(LIBROSA_TESTS)

lint: .venv/.test
	$(V)/ruff check .
	$(V)/ruff format --check .

types: .venv/.test
	$(V)/mypy

bench: .venv/.test
	$(V)/python benchmarks/import_time.py --check
	$(V)/python benchmarks/features_cpu.py
	$(V)/python benchmarks/gradients/backward_cpu.py
	$(V)/python benchmarks/catalogue_cpu.py
	$(V)/python benchmarks/kernels/launches.py --out benchmarks/results
	$(V)/python benchmarks/frontends.py
	$(V)/python benchmarks/constant_q_scaling.py
	$(V)/python benchmarks/exactness.py $(if $(wildcard $(L)/python),--librosa $(L)/python)
	$(V)/python benchmarks/trainable_bases.py
	$(V)/python benchmarks/reading.py
	$(V)/python benchmarks/end_to_end.py
	$(V)/python benchmarks/feeds/batches.py
	$(V)/python benchmarks/feeds/throughput.py
	$(V)/python benchmarks/feeds/soak.py
	$(V)/python benchmarks/demo_runs.py
	$(V)/python benchmarks/readme_tables.py

# wheel and sdist into dist/, looked into, and tried in the environments of release/matrix.toml, one after another: minutes
# for each, and 7 GB of disk for CUDA builds of torch
release: .venv-release/.made
	$(R)/python -m release $(RELEASE_OPTIONS)

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.demo: .venv/bin/python pyproject.toml constraints.txt
	$(V)/python -m pip install $(PIP_FLAGS) -e ".[plot]" -c constraints.txt
	touch $@

.venv/.test: .venv/bin/python pyproject.toml constraints.txt
	$(V)/python -m pip install $(PIP_FLAGS) -e ".[plot,dev]" -c constraints.txt
	touch .venv/.demo $@

.venv/.docs: .venv/.test
	$(V)/python -m pip install $(PIP_FLAGS) -e ".[plot,dev,docs]" -c constraints.txt
	touch $@

.venv-core/bin/python:
	$(PYTHON) -m venv .venv-core

.venv-core/.test: .venv-core/bin/python pyproject.toml constraints.txt
	grep -v '^torch' constraints.txt > .venv-core/constraints.txt
	$(C)/python -m pip install $(PIP_FLAGS) "torch==$(CORE_TORCH)" -c .venv-core/constraints.txt
	$(C)/python -m pip install $(PIP_FLAGS) -e ".[plot,core-test]" -c .venv-core/constraints.txt "torch==$(CORE_TORCH)"
	touch $@

.venv-librosa/bin/python:
	$(PYTHON_NEW) -m venv .venv-librosa

.venv-librosa/.test: .venv-librosa/bin/python pyproject.toml constraints.txt
	grep -v '^torch' constraints.txt > .venv-librosa/constraints.txt
	$(L)/python -m pip install $(PIP_FLAGS) "torch==$(CORE_TORCH)" -c .venv-librosa/constraints.txt
	$(L)/python -m pip install $(PIP_FLAGS) -e ".[plot,core-test]" -c .venv-librosa/constraints.txt "torch==$(CORE_TORCH)"
	touch $@

.venv-release/bin/python:
	$(PYTHON) -m venv .venv-release

.venv-release/.made: .venv-release/bin/python release/requirements.txt
	$(R)/python -m pip install $(PIP_FLAGS) -r release/requirements.txt
	touch $@

clean:
	rm -rf docs/_build docs/api docs/drawn docs/gallery
	rm -rf .venv .venv-core .venv-librosa .venv-release .release .mypy_cache .ruff_cache .pytest_cache
