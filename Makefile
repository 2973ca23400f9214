PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo test test-cluster clean
.DELETE_ON_ERROR:

demo: demo/data/emoji.npz  ## real data, a small study through Ray Tune, tables, figures, a report
	$(BIN)/tune-jobs run demo --storage demo --data demo/data
	$(BIN)/stir-analysis collect --storage demo --out demo/results
	$(BIN)/stir-analysis report --results demo/results --out demo

demo/data/emoji.npz: | $(VENV)/.run-ready
	$(BIN)/stir build emoji --out demo/data

test: $(VENV)/.test-ready  ## lint, types, all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/pytest --numprocesses 2 --dist loadfile

test-cluster: $(VENV)/.cluster-ready  ## clusters of machines made of this one: minutes, root on Linux
	$(BIN)/pytest -s -ra tests/cluster

clean:  ## remove what the targets above made
	rm -rf demo build *.egg-info .pytest_cache .ruff_cache .hypothesis $(VENV)

$(VENV)/.run-ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (PyTorch and Ray among others; a few minutes the first time)"
	$(INSTALL) --editable .
	touch $@

$(VENV)/.test-ready: $(VENV)/.run-ready
	$(INSTALL) --editable '.[test,dev]'
	touch $@

$(VENV)/.cluster-ready: $(VENV)/.test-ready
	$(INSTALL) --editable '.[test,dev,cluster]'
	touch $@
