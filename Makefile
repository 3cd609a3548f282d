# ablate: see README.md. `make help` lists the targets.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
ABLATE  := $(BIN)/ablate

GRID    ?= flowers
TEST_WORKERS ?= $(shell nproc 2>/dev/null || echo 1)

# A variable's text as one word of the shell, whatever is in it: spaces, quotes, $$, ;, *. Only ARGS is several words, as the shell reads them.
one_word = '$(subst ','\'',$(value $(1)))'
option   = $(if $(value $(2)),$(1) $(call one_word,$(2)))
unexport GRID DATA_DIR SEEDS WORKERS REPORT EXTRAS

GRID_WORD   = $(call one_word,GRID)
DATA_OPTION = $(call option,--data-dir,DATA_DIR)
RUN_OPTIONS = $(DATA_OPTION) $(call option,--seeds,SEEDS) $(call option,--workers,WORKERS) $(call option,--report-dir,REPORT) $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help bench install install-extras ablation plan report status ui views test test-fast test-services check schema clean

help:  ## list the targets
	@echo "make TARGET [GRID=name or path] [DATA_DIR=folder] [SEEDS=0,1,2] [WORKERS=n] [REPORT=folder] [EXTRAS=ray,postgres] [ARGS='more options']"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1|\2/' | column -t -s '|'

$(VENV)/.made:
	@$(call one_word,PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"ablate needs Python 3.11 or newer, got {sys.version.split()[0]}; say which with make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(call one_word,PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "installing ablate and what it needs into $(VENV) (a few minutes, several GB with PyTorch) ..."
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "installing what the tests need ..."
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

install: $(VENV)/.installed $(if $(value EXTRAS),install-extras)  ## make .venv and install ablate into it, with EXTRAS=ray,postgres what clusters need

install-extras: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.['$(call one_word,EXTRAS)']'

ablation: install  ## run a grid and write its report: make ablation GRID=flowers
	@$(ABLATE) run $(GRID_WORD) $(RUN_OPTIONS)

plan: install  ## what a grid would train, and what it leaves out and why
	@$(ABLATE) plan $(GRID_WORD) $(DATA_OPTION) $(ARGS)

views: install  ## augmented views of train images, a contact sheet of each policy
	@$(ABLATE) views $(GRID_WORD) $(DATA_OPTION) $(ARGS)

report: install  ## write the report again from the runs in MLflow
	@$(ABLATE) report $(GRID_WORD) $(call option,--report-dir,REPORT) $(ARGS)

status: install  ## trials of a grid by state, and what failed
	@$(ABLATE) status $(GRID_WORD) $(ARGS)

ui: install  ## MLflow UI on 127.0.0.1, with a link that compares the study's trials
	@$(ABLATE) ui $(GRID_WORD) $(ARGS)

test: $(VENV)/.installed-test  ## every test
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup $(ARGS)

test-fast: $(VENV)/.installed-test  ## the quick tests: under two minutes on two cores
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup -m 'not slow' $(ARGS)

test-services: $(VENV)/.installed-test  ## tests against a real PostgreSQL server; installs it from Debian's packages where it can
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql >/dev/null; } || \
	  echo "no PostgreSQL server is here and apt-get could not install one (it needs root and a package mirror): its tests are skipped"
	@$(BIN)/python -m pytest -m services -rs $(ARGS)

check: $(VENV)/.installed-test  ## what CI runs: lint, types, every test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy --config-file tests/mypy.ini
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup $(ARGS)

bench: $(VENV)/.installed-test  ## the same trials through a plain loop and through ablate: seconds, ratios, scores (tens of minutes)
	@$(BIN)/python scripts/bench.py $(ARGS)

schema: install  ## write experiments/grid.schema.json and docs/report.schema.json again after a field was added
	@$(BIN)/python -c "from pathlib import Path; from ablate.grid.schema import grid_schema_text; Path('experiments/grid.schema.json').write_text(grid_schema_text())"
	@$(BIN)/python -c "from pathlib import Path; from ablate.reporting.report_record import report_schema_text; Path('docs/report.schema.json').write_text(report_schema_text())"

clean:  ## remove .venv and caches; keeps .ablate (studies, data, MLflow)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
