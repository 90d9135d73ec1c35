# Two commands do everything: `make demo` runs the main experiment, `make test` passes the tests.
# Both first make .venv and install what constraints.txt pins; nothing is installed again while that is unchanged.
# Modules are compiled when they are first imported (--no-compile): of the thousands there are, few ever are.

PYTHON ?= python3
BIN := .venv/bin

# Without stored bytecode each process compiles the lab anew, and each run of the tests their assertions.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test suite lint format clean

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt \
		--editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/lab train experiment=xavier_vs_he

test: lint suite

suite: setup
	$(BIN)/pytest -n auto -m 'not slow'

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

format: setup
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
