# Everything a newcomer types. Each target makes .venv and installs what it needs.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

# Two, also on larger machines: some tests measure memory or use all cores themselves.
TEST_PROCESSES ?= 2

.PHONY: help demo test test-fast test-faults lint format bench weights clean

help:
	@echo "make demo       synthesise data, detect, fine-tune, report: some minutes after the install"
	@echo "make test       all tests"
	@echo "make test-fast  tests of pure functions: under 20 seconds"
	@echo "make test-faults  400 kills, every failing write, 100 outages of a camera, a day of frames: about an hour"
	@echo "make lint       ruff and mypy"
	@echo "make bench      training speed against a plain implementation: about 30 minutes"
	@echo "make weights    train the weights that come with the package: hours (FOOTAGE=folder of photographs and videos)"
	@echo "make format     let ruff format and mend"

demo: .venv/.run
	$(BIN)/convlstm demo

test: .venv/.dev
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile

test-fast: .venv/.dev
	$(BIN)/python -m pytest -m pure $$(grep -rl --include='test_*.py' mark.pure tests)

test-faults: .venv/.dev
	CONVLSTM_KILLS=200 CONVLSTM_TOOL_KILLS=20 CONVLSTM_EVERY_CALL=1 CONVLSTM_ROUNDS=34 $(BIN)/python -m pytest tests/faults
	CONVLSTM_SEQUENCES=10000 $(BIN)/python -m pytest tests/toolkits/test_near_copies.py
	$(BIN)/python tests/faults/soak_live.py

bench: .venv/.dev
	$(BIN)/python -m benchmarks.training

SHIPPED := runs/shipped/second/weights
FOOTAGE ?=

weights: .venv/.run
	$(BIN)/convlstm data synthesize --config configs/shipped_data.yaml \
		$(if $(FOOTAGE),--backgrounds $(FOOTAGE) --recordings $(FOOTAGE) --num_recordings 400)
	$(BIN)/convlstm train --config configs/shipped.yaml
	$(BIN)/convlstm train --config configs/shipped.yaml --name second --weights runs/shipped/exp/weights/best.pth \
		--lr 0.002 --epochs 5 --report_interval 5 --seed 1
	$(BIN)/convlstm eval --data_root data/shipped --split val --weights $(SHIPPED)/best.pth --calibrate --baselines none --stride 6 \
		--save_weights $(SHIPPED)/calibrated.pth --output runs/shipped/eval
	$(BIN)/convlstm export --weights $(SHIPPED)/calibrated.pth --target_size 640 640 --output $(SHIPPED)/shipped.safetensors
	$(BIN)/convlstm export --weights $(SHIPPED)/shipped.safetensors --format onnx --output $(SHIPPED)/shipped_onnx

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

.venv/.dev: .venv/.run requirements-dev.txt requirements-engines.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt -r requirements-engines.txt
	@touch $@
