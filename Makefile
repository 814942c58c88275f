# Two targets do everything on a fresh clone: `make demo` and `make test`; `make reports` shows every picture.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo reports test check bench clean

demo: .make/install
	$(BIN)/fhir-alliance demo

# A larger invented clinic over half a year, and every report and picture of it.
reports: .make/install
	rm -rf demo-reports
	$(BIN)/python examples/half_year.py demo-reports

test: .make/install-dev check
	$(BIN)/pytest -n logical --maxprocesses 4 --dist loadgroup

check: .make/install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .make/install-dev
	$(BIN)/python benchmarks/scoring.py

clean:
	rm -rf .venv .make demo demo-reports build dist tests/servers/hapi/target

.make/install: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@mkdir -p .make && touch $@

.make/install-dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@mkdir -p .make && touch $@ .make/install
