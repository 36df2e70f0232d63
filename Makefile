# `make nightly` and `make test` do all their own set-up on a fresh machine with Python 3.11 and make.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: nightly test lint setup clean bench-peers
nightly: $(READY)
	$(BIN)/nightfolio nightly

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest

setup: $(READY)

# torch first and alone: asked for by another package, pip would fetch gigabytes of CUDA.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' requirements.lock)"
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

# The other SASRecs of `nightfolio bench speed` and the DuckDB of `nightfolio bench ingest`, each in an environment of its
# own: no part of the product needs them.
bench-peers: .venv-peers-rectools/.ready .venv-peers-replay/.ready .venv-peers-duckdb/.ready

.venv-peers-rectools/.ready: PEER := rectools[torch]==0.19.0
.venv-peers-replay/.ready: PEER := replay-rec[torch]==0.22.0
.venv-peers-duckdb/.ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check duckdb==1.5.4
	touch $@
.venv-peers-%/.ready:
	$(PYTHON) -m venv $(@D)
	grep '^torch==' requirements.lock > $(@D)/constraints.txt
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $(@D)/constraints.txt
	$(@D)/bin/pip install --quiet --disable-pip-version-check -c $(@D)/constraints.txt "$(PEER)"
	touch $@

clean:
	rm -rf $(VENV) .venv-peers-*
