# Two commands on a fresh machine with Python >= 3.11: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# Most tests wait for processes and servers of their own: a few side by side, whatever the number of cores.
TEST_PROCESSES ?= 4

.PHONY: demo test bench chaos lint clean

demo: .venv/installed
	$(BIN)/chartq demo

test: .venv/installed-test
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile $(ARGS)

# Beside other queues, a quota and the sizes of the day; docs/benchmarks.md shows the last run.
bench: .venv/installed-test
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(ARGS)

# Everything goes wrong for a while, then every promise is checked; docs/chaos.md. ARGS="--minutes 20", ARGS=--soak.
chaos: .venv/installed-test
	PYTHONPATH=tests $(BIN)/python -m chaos $(ARGS)

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'chartq needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)'; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/installed-test: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ .venv/installed

clean:
	rm -rf .venv .chartq dist .pytest_cache .mypy_cache .ruff_cache
