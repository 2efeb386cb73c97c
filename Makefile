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

RUNS := runs/shipped
CALIBRATION := data/shipped_calibration
NEWEST := data/shipped_newest
FOOTAGE ?=
SYNTHESIZE = $(BIN)/convlstm data synthesize $(if $(FOOTAGE),--backgrounds $(FOOTAGE) $(if $(1),--recordings $(FOOTAGE) --num_recordings $(1)))
TRAIN := $(BIN)/convlstm train --config configs/shipped.yaml
ROWS_OF = tail -n +2 $(NEWEST)/$(1)/data.csv | awk -F, -v OFS=, '{ $$1 = "$(1)/" $$1; $$3 = "$(1)/" $$3 } 1'
CALIBRATE := $(BIN)/convlstm eval --data_root $(CALIBRATION) --split val --stride 6 --baselines none --calibrate \
	--output $(RUNS)/eval --overwrite

weights: .venv/.run
	$(call SYNTHESIZE,500) --config configs/shipped_data.yaml
	$(call SYNTHESIZE,450) --config configs/shipped_data.yaml --output data/shipped_second --num_train 2400 --num_val 160 --seed 41
	$(call SYNTHESIZE,500) --config configs/shipped_data.yaml --output $(NEWEST)/third --num_train 2600 --num_val 80 --seed 101
	$(call SYNTHESIZE,1100) --config configs/shipped_data.yaml --output $(NEWEST)/mild --num_train 2000 --num_val 80 \
		--min_severity 0.02 --severity 0.6 --seed 102
	$(call SYNTHESIZE,500) --config configs/shipped_data.yaml --output $(NEWEST)/more --num_train 2000 --num_val 80 \
		--min_severity 0.05 --severity 0.8 --seed 131
	$(call SYNTHESIZE,200) --config configs/shipped_data.yaml --output $(NEWEST)/infrared --num_train 800 --num_val 0 --num_test 0 \
		--kinds moving moving smoke flicker still still noise noise compression --infrared 0.7 \
		--min_severity 0 --severity 0.6 --seed 151
	$(call SYNTHESIZE,) --config configs/shipped_data.yaml --output $(NEWEST)/passing --num_train 2400 --num_val 80 --num_test 0 \
		--kinds passing still noise compression --infrared 0.6 --min_severity 0 --severity 0.6 --seed 171
	{ head -n 1 $(NEWEST)/third/data.csv; $(foreach part,third mild more,$(call ROWS_OF,$(part));) } > $(NEWEST)/data.csv
	{ cat $(NEWEST)/data.csv; $(call ROWS_OF,infrared); } > $(NEWEST)/all.csv
	{ head -n 1 $(NEWEST)/data.csv; $(foreach part,more infrared passing,$(call ROWS_OF,$(part));) } > $(NEWEST)/eighth.csv
	$(call SYNTHESIZE,80) --output $(CALIBRATION) --num_train 0 --num_val 48 --num_test 0 --num_frames 28 \
		--size 320 320 --severity 0.4 --seed 32
	sed -i.bak 's/,train,/,val,/' $(CALIBRATION)/data.csv # recordings are for training, unless one says otherwise
	$(TRAIN)
	$(CALIBRATE) --weights $(RUNS)/exp/weights/best.pth --save_weights $(RUNS)/first.safetensors
	$(TRAIN) --data_root data/shipped_second --name second --weights $(RUNS)/first.safetensors \
		--lr 0.002 --epochs 3 --report_interval 3 --seed 3
	$(BIN)/convlstm export --weights $(RUNS)/second/weights/best.pth --average_with $(RUNS)/first.safetensors \
		--output $(RUNS)/mean.safetensors
	$(CALIBRATE) --weights $(RUNS)/mean.safetensors --save_weights $(RUNS)/second.safetensors
	$(TRAIN) --data_root $(NEWEST)/third --name third --weights $(RUNS)/second.safetensors \
		--lr 0.0015 --epochs 4 --report_interval 4 --seed 5
	sed -i.bak 26,49d $(CALIBRATION)/data.csv # half of the clips go, so that real recordings count more
	$(CALIBRATE) --weights $(RUNS)/third/weights/best.pth --save_weights $(RUNS)/third.safetensors
	$(TRAIN) --data_root $(NEWEST) --name fourth --weights $(RUNS)/third.safetensors \
		--lr 0.0015 --epochs 3 --report_interval 3 --seed 7 --aug_clouds 0.15 --aug_lights 0.15 --aug_exposure 0.1
	$(BIN)/convlstm export --weights $(RUNS)/fourth/weights/best.pth --average_with $(RUNS)/third.safetensors \
		--output $(RUNS)/mean.safetensors
	$(CALIBRATE) --weights $(RUNS)/mean.safetensors --save_weights $(RUNS)/fourth.safetensors
	$(TRAIN) --data_root $(NEWEST) --manifest all.csv --name fifth --weights $(RUNS)/fourth.safetensors --stride 9 \
		--lr 0.0015 --epochs 2 --report_interval 2 --ema_decay 0.999 --seed 9 \
		--aug_clouds 0.15 --aug_lights 0.15 --aug_exposure 0.1 --aug_shake 0.1
	$(BIN)/convlstm export --weights $(RUNS)/fifth/weights/best.pth --average_with $(RUNS)/fourth.safetensors \
		--output $(RUNS)/fifth.safetensors
	mv $(CALIBRATION)/data.csv.bak $(CALIBRATION)/data.csv # now with all clips
	$(CALIBRATE) --weights $(RUNS)/fifth.safetensors --save_weights $(RUNS)/fifth_calibrated.safetensors
	$(TRAIN) --data_root $(NEWEST) --manifest all.csv --name sixth --weights $(RUNS)/fifth_calibrated.safetensors \
		--lr 0.0012 --epochs 1 --report_interval 1 --ema_decay 0.999 --seed 11 --left_weight 4 \
		--aug_clouds 0.15 --aug_lights 0.15 --aug_exposure 0.1 --aug_shake 0.1
	$(BIN)/convlstm export --weights $(RUNS)/sixth/weights/best.pth --average_with $(RUNS)/fifth_calibrated.safetensors \
		--output $(RUNS)/sixth.safetensors
	$(TRAIN) --data_root $(NEWEST) --name seventh --weights $(RUNS)/sixth.safetensors --stride 18 \
		--lr 0.001 --epochs 1 --report_interval 1 --ema_decay 0.99 --seed 13 --left_weight 8
	$(BIN)/convlstm export --weights $(RUNS)/seventh/weights/best.pth --average_with $(RUNS)/sixth.safetensors \
		--output $(RUNS)/seventh.safetensors
	sed -i.bak 60,129d $(CALIBRATION)/data.csv # all clips, whose masks are exact, and 10 of the 80 recordings
	$(CALIBRATE) --weights $(RUNS)/seventh.safetensors --save_weights $(RUNS)/seventh_calibrated.safetensors
	for seed in 15 14; do $(TRAIN) --data_root $(NEWEST) --manifest eighth.csv --name eighth_$$seed \
		--weights $(RUNS)/seventh_calibrated.safetensors --stride 9 --lr 0.0012 --epochs 2 --report_interval 2 --seed $$seed \
		--left_weight 2 --aug_clouds 0.15 --aug_lights 0.15 --aug_exposure 0.1 --aug_shake 0.1 || exit 1; done
	$(BIN)/convlstm export --weights $(RUNS)/eighth_15/weights/best.pth \
		--average_with $(RUNS)/eighth_14/weights/best.pth $(RUNS)/seventh_calibrated.safetensors --output $(RUNS)/eighth.safetensors
	mv $(CALIBRATION)/data.csv.bak $(CALIBRATION)/data.csv
	sed -i.bak 90,129d $(CALIBRATION)/data.csv # all clips and 40 of the recordings
	$(CALIBRATE) --weights $(RUNS)/eighth.safetensors --save_weights $(RUNS)/calibrated.safetensors
	$(BIN)/convlstm export --weights $(RUNS)/calibrated.safetensors --target_size 640 640 --output $(RUNS)/shipped.safetensors
	$(BIN)/convlstm export --weights $(RUNS)/shipped.safetensors --format onnx --output $(RUNS)/shipped_onnx

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
