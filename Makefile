# ablate: see README.md. `make help` lists the targets.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
ABLATE  := $(BIN)/ablate

GRID    ?= flowers
TEST_WORKERS ?= $(shell nproc 2>/dev/null || echo 1)
SHARED_DATA := $(if $(DATA_DIR),--data-dir $(DATA_DIR))
RUN_OPTIONS  = $(SHARED_DATA) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(WORKERS),--workers $(WORKERS)) $(if $(REPORT),--report-dir $(REPORT)) $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help bench install ablation plan report status ui views test test-services check schema clean

help:  ## list the targets
	@echo "make TARGET [GRID=name or path] [DATA_DIR=folder] [SEEDS=0,1,2] [WORKERS=n] [REPORT=folder] [ARGS='more options']"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1|\2/' | column -t -s '|'

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"ablate needs Python 3.11 or newer, got {sys.version.split()[0]}; say which with make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "installing ablate and what it needs into $(VENV) (a few minutes, several GB with PyTorch) ..."
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "installing what the tests need ..."
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

install: $(VENV)/.installed  ## make .venv and install ablate into it

ablation: install  ## run a grid and write its report: make ablation GRID=flowers
	@$(ABLATE) run $(GRID) $(RUN_OPTIONS)

plan: install  ## what a grid would train, and what it leaves out and why
	@$(ABLATE) plan $(GRID) $(SHARED_DATA) $(ARGS)

views: install  ## augmented views of train images, a contact sheet of each policy
	@$(ABLATE) views $(GRID) $(SHARED_DATA) $(ARGS)

report: install  ## write the report again from the runs in MLflow
	@$(ABLATE) report $(GRID) $(if $(REPORT),--report-dir $(REPORT)) $(ARGS)

status: install  ## trials of a grid by state, and what failed
	@$(ABLATE) status $(GRID) $(ARGS)

ui: install  ## MLflow UI on 127.0.0.1, with a link that compares the study's trials
	@$(ABLATE) ui $(GRID) $(ARGS)

test: $(VENV)/.installed-test  ## every test
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup $(ARGS)

test-services: $(VENV)/.installed-test  ## tests against a real PostgreSQL server; installs it from Debian's packages where it can
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql >/dev/null; } || \
	  echo "no PostgreSQL server is here and apt-get could not install one (it needs root and a package mirror): its tests are skipped"
	@$(BIN)/python -m pytest -m services -rs $(ARGS)

check: $(VENV)/.installed-test  ## what CI runs: lint, types, every test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup $(ARGS)

bench: $(VENV)/.installed-test  ## the same trials through a plain loop and through ablate: seconds, ratios, scores (tens of minutes)
	@$(BIN)/python scripts/bench.py $(ARGS)

schema: install  ## write experiments/grid.schema.json again after a field was added
	@$(BIN)/python -c "from pathlib import Path; from ablate.spec.schema import grid_schema_text; Path('experiments/grid.schema.json').write_text(grid_schema_text())"

clean:  ## remove .venv and caches; keeps .ablate (studies, data, MLflow)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
