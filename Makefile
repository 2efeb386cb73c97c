# Everything a newcomer types. Each target makes .venv and installs what it needs.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

# Two, also on larger machines: some tests measure memory or use all cores themselves.
TEST_PROCESSES ?= 2

.PHONY: help demo test test-fast test-faults lint format bench weights weights-fast clean

help:
	@echo "make demo       synthesise data, detect, fine-tune, report: some minutes after the install"
	@echo "make test       all tests"
	@echo "make test-fast  tests of pure functions: under 20 seconds"
	@echo "make test-faults  400 kills, every failing write, 100 outages of a camera, a day of frames: about an hour"
	@echo "make lint       ruff and mypy"
	@echo "make bench      training speed against a plain implementation: about 30 minutes"
	@echo "make weights    train the weights that come with the package: hours (FOOTAGE=folder of photographs and videos)"
	@echo "make weights-fast  the same for those called shipped-fast"
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

RUNS := runs/shipped
FOOTAGE ?=
SYNTHESIZE = $(BIN)/convlstm data synthesize $(if $(FOOTAGE),--backgrounds $(FOOTAGE) --recordings $(FOOTAGE) --num_recordings $(1))
CALIBRATE = $(BIN)/convlstm eval --split val --calibrate --baselines none --stride 6 --output $(RUNS)/eval --overwrite

define DRAW_CALIBRATION
$(call SYNTHESIZE,80) --output $(1) --num_train 0 --num_val 48 --num_test 0 --num_frames 28 \
		--size 320 320 --severity 0.4 --seed 32
	sed -i.bak 's/,train,/,val,/' $(1)/data.csv # recordings are for training, unless one says otherwise
endef

weights: .venv/.run
	$(call SYNTHESIZE,400) --config configs/shipped_data.yaml
	$(call SYNTHESIZE,350) --config configs/shipped_mix.yaml
	$(call SYNTHESIZE,450) --config configs/shipped_light.yaml
	$(call DRAW_CALIBRATION,data/shipped_calibration)
	$(BIN)/convlstm train --config configs/shipped.yaml
	$(BIN)/convlstm train --config configs/shipped.yaml --name second --weights $(RUNS)/exp/weights/best.pth \
		--lr 0.002 --epochs 5 --report_interval 5 --seed 1
	$(CALIBRATE) --data_root data/shipped --weights $(RUNS)/second/weights/best.pth --save_weights $(RUNS)/second.safetensors
	$(BIN)/convlstm train --config configs/shipped.yaml --data_root data/shipped_mix --name third \
		--weights $(RUNS)/second.safetensors --lr 0.002 --epochs 8 --report_interval 4 --seed 2
	$(BIN)/convlstm export --weights $(RUNS)/third/weights/best.pth \
		--average_with $(RUNS)/second.safetensors $(RUNS)/third/weights/last.pth --output $(RUNS)/mean.safetensors
	$(CALIBRATE) --data_root data/shipped_calibration --weights $(RUNS)/mean.safetensors --save_weights $(RUNS)/third.safetensors
	$(BIN)/convlstm train --config configs/shipped.yaml --data_root data/shipped_light --name fourth \
		--weights $(RUNS)/third.safetensors --lr 0.002 --epochs 4 --report_interval 4 --seed 4 --hard_cell_weight 0.1
	$(BIN)/convlstm export --weights $(RUNS)/fourth/weights/best.pth --average_with $(RUNS)/third.safetensors \
		--output $(RUNS)/mean.safetensors
	$(CALIBRATE) --data_root data/shipped_calibration --weights $(RUNS)/mean.safetensors --save_weights $(RUNS)/calibrated.safetensors
	$(BIN)/convlstm export --weights $(RUNS)/calibrated.safetensors --target_size 640 640 --output $(RUNS)/shipped.safetensors
	$(BIN)/convlstm export --weights $(RUNS)/shipped.safetensors --format onnx --output $(RUNS)/shipped_onnx

weights-fast: RUNS := runs/shipped_fast
weights-fast: .venv/.run
	$(call SYNTHESIZE,500) --config configs/shipped_fast_data.yaml
	$(call SYNTHESIZE,450) --config configs/shipped_fast_data.yaml --output data/shipped_fast_more --num_train 2400 --num_val 160 \
		--seed 41
	$(call DRAW_CALIBRATION,data/shipped_fast_calibration)
	$(BIN)/convlstm train --config configs/shipped_fast.yaml
	$(CALIBRATE) --data_root data/shipped_fast_calibration --weights $(RUNS)/exp/weights/best.pth --save_weights $(RUNS)/first.safetensors
	$(BIN)/convlstm train --config configs/shipped_fast.yaml --data_root data/shipped_fast_more --name second \
		--weights $(RUNS)/first.safetensors --lr 0.002 --epochs 3 --report_interval 3 --seed 3
	$(BIN)/convlstm export --weights $(RUNS)/second/weights/best.pth --average_with $(RUNS)/first.safetensors \
		--output $(RUNS)/mean.safetensors
	$(CALIBRATE) --data_root data/shipped_fast_calibration --weights $(RUNS)/mean.safetensors --save_weights $(RUNS)/calibrated.safetensors
	$(BIN)/convlstm export --weights $(RUNS)/calibrated.safetensors --target_size 640 640 --output $(RUNS)/shipped_fast.safetensors
	$(BIN)/convlstm export --weights $(RUNS)/shipped_fast.safetensors --format onnx --output $(RUNS)/shipped_fast_onnx

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
