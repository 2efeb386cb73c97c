# Everything a newcomer types. Each target makes .venv and installs what it needs.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: help demo test test-fast test-faults lint format bench clean

help:
	@echo "make demo       synthesise data, train, detect, report: two to four minutes after the install"
	@echo "make test       all tests"
	@echo "make test-fast  tests of pure functions: under 20 seconds"
	@echo "make test-faults  400 kills and every failing write, instead of samples: about 20 minutes"
	@echo "make lint       ruff and mypy"
	@echo "make bench      training speed against a plain implementation: about 30 minutes"
	@echo "make format     let ruff format and mend"

demo: .venv/.run
	$(BIN)/convlstm demo

test: .venv/.dev
	$(BIN)/python -m pytest

test-fast: .venv/.dev
	$(BIN)/python -m pytest -m pure $$(grep -rl --include='test_*.py' mark.pure tests)

test-faults: .venv/.dev
	CONVLSTM_KILLS=200 CONVLSTM_EVERY_CALL=1 $(BIN)/python -m pytest tests/faults

bench: .venv/.dev
	$(BIN)/python -m benchmarks.training

lint: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: .venv/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv demo

.venv/.run: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

.venv/.dev: .venv/.run requirements-dev.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@
