PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: help demo docs reproduction test test-cluster test-gpu test-wheel regression clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help:  ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: demo/data/emoji.npz  ## real data, a small study through Ray Tune, tables, figures, a report: minutes
	$(BIN)/tune-jobs run demo --storage demo --data demo/data
	$(BIN)/stir-analysis collect --storage demo --out demo/results
	$(BIN)/stir-analysis report --results demo/results --out demo
	@$(BIN)/tune-jobs status --storage demo
	@echo "The report is demo/report.html; $(BIN)/python -m webbrowser demo/report.html opens it."

demo/data/emoji.npz: | $(VENV)/.run-ready
	$(BIN)/stir build emoji --out demo/data

reproduction: $(VENV)/.run-ready  ## docs/reproduction from its records; then its study goes on
	$(BIN)/python -m benchmarks.reproduction page
	$(BIN)/python -m benchmarks.reproduction unpack reproduction
	test -f reproduction/data/emoji.npz || $(BIN)/stir build emoji --out reproduction/data
	$(BIN)/tune-jobs run docs/reproduction/study.yaml --only dataset=emoji --storage reproduction/storage --data reproduction/data

test: $(VENV)/.test-ready  ## lint, types, all tests: a quarter of an hour with the installation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/pytest --numprocesses 2 --dist loadfile

docs: $(VENV)/.docs-ready  ## the documentation as a site, site/index.html; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html"

test-cluster: $(VENV)/.cluster-ready  ## clusters of machines made of this one: minutes, root on Linux
	$(BIN)/pytest -s -ra tests/cluster

test-gpu: $(VENV)/.test-ready  ## the layers and training on an NVIDIA GPU: a minute
	$(BIN)/pytest -ra tests/gpu

test-wheel: $(VENV)/.test-ready  ## the wheel in an empty environment, folder and home: minutes
	$(BIN)/pytest -s -ra tests/wheel

regression: $(VENV)/.run-ready demo/data/emoji.npz  ## whether training gives the numbers that it gave: a minute
	$(BIN)/python -m benchmarks.regression --data demo/data

clean:  ## remove what the targets above made
	rm -rf demo build site *.egg-info .pytest_cache .ruff_cache .hypothesis $(VENV)

$(VENV)/.run-ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  has=$$($(PYTHON) --version 2>/dev/null) || has="not here"; \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $$has." \
	  "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (PyTorch and Ray among others; a few minutes the first time)"
	$(INSTALL) --editable '.[all]'
	touch $@

$(VENV)/.docs-ready: $(VENV)/.run-ready
	$(INSTALL) --editable '.[all,docs]'
	touch $@

$(VENV)/.test-ready: $(VENV)/.run-ready
	$(INSTALL) --editable '.[test,dev]'
	touch $@

$(VENV)/.cluster-ready: $(VENV)/.test-ready
	$(INSTALL) --editable '.[test,dev,cluster]'
	touch $@
