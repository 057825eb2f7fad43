# Two commands: `make demo` and `make test`. Each makes its own .venv once and installs nothing the second time.
PYTHON ?= python3
CORE_TORCH ?= 2.13.0
PIP_FLAGS ?= -q --disable-pip-version-check
V := .venv/bin
C := .venv-core/bin

.PHONY: demo test check test-core coverage lint types bench clean

demo: .venv/.demo
	$(V)/audiofeed demo

test: .venv/.test
	$(V)/python -m pytest -n 2 --dist worksteal

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

lint: .venv/.test
	$(V)/ruff check .
	$(V)/ruff format --check .

types: .venv/.test
	$(V)/mypy

bench: .venv/.test
	$(V)/python benchmarks/import_time.py --check
	$(V)/python benchmarks/features_cpu.py
	$(V)/python benchmarks/catalogue_cpu.py
	$(V)/python benchmarks/constant_q_scaling.py
	$(V)/python benchmarks/trainable_bases.py
	$(V)/python benchmarks/reading.py
	$(V)/python benchmarks/end_to_end.py
	$(V)/python benchmarks/demo_runs.py
	$(V)/python benchmarks/readme_tables.py

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.demo: .venv/bin/python pyproject.toml constraints.txt
	$(V)/python -m pip install $(PIP_FLAGS) -e ".[plot]" -c constraints.txt
	touch $@

.venv/.test: .venv/bin/python pyproject.toml constraints.txt
	$(V)/python -m pip install $(PIP_FLAGS) -e ".[plot,dev]" -c constraints.txt
	touch .venv/.demo $@

.venv-core/bin/python:
	$(PYTHON) -m venv .venv-core

.venv-core/.test: .venv-core/bin/python pyproject.toml constraints.txt
	grep -v '^torch' constraints.txt > .venv-core/constraints.txt
	$(C)/python -m pip install $(PIP_FLAGS) "torch==$(CORE_TORCH)" -c .venv-core/constraints.txt
	$(C)/python -m pip install $(PIP_FLAGS) -e ".[plot,core-test]" -c .venv-core/constraints.txt "torch==$(CORE_TORCH)"
	touch $@

clean:
	rm -rf .venv .venv-core .mypy_cache .ruff_cache .pytest_cache
