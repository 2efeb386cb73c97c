"""Measure one row of `training.py`, in a process of its own: `python -m benchmarks.measure JOB`, a `Job` as JSON."""

import json
import logging
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from statistics import mean, median
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.plain_baseline import PlainTraining
from benchmarks.training import Job
from convlstm.benchmark.machine import best_device, describe_machine, seconds_of
from convlstm.benchmark.plain import blank_network, plain_network
from convlstm.config import TrainConfig
from convlstm.models import stem
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.training import run
from convlstm.training.trainer import Trainer
from convlstm.utils.callbacks.ema import EMA
from convlstm.utils.callbacks.lr_scheduler import LRScheduler
from convlstm.utils.data.dataset import WindowDataset

TIMED_STEPS = 5
Figures = dict[str, Any]


def main() -> int:
    """Write what was measured, or the error, to the job's result file."""
    logging.getLogger("convlstm").setLevel(logging.ERROR)  # else every row says that there are no masks
    job = Job(**json.loads(sys.argv[1]))
    try:
        result = {"machine": measure_machine, "plain": measure_plain}.get(job.row, measure_ours)(job)
    except Exception as error:  # any row may fail, and the others still count
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    Path(job.result).write_text(json.dumps(result), encoding="utf-8")
    return 1 if "error" in result else 0


def train_config(job: Job) -> TrainConfig:
    """What differs between rows stands in `job.settings`; whatever an epoch's seconds do not hold is switched off."""
    return TrainConfig(
        data_root=Path(job.data),
        project=Path(job.work) / "runs",
        name=job.row,
        cache_dir=Path(job.work) / "cache",
        stem=job.stem,
        target_size=(job.size, job.size),
        batch_size=job.batch_size,
        epochs=1 + job.epochs,
        num_workers=job.num_workers,
        device=best_device().type,
        early_stopping_patience=0,
        checkpoint_minutes=0,
        report_interval=0,
        tensorboard=False,
        **job.settings,
    )


def measure_plain(job: Job) -> Figures:
    """The plain baseline, from the same first weights as the other rows."""
    config = train_config(job)
    torch.manual_seed(config.seed)
    model = TemporalClassifier(config.model_config())
    network = plain_network(model.config, model.state_dict()).train()
    training = PlainTraining(config, network, best_device())
    history = [training.run_epoch() for _ in range(config.epochs)]
    figures = _epoch_figures(config, history, len(training.train_data), len(training.val_data)) | _peak_memory()
    num_windows = min(config.batch_size, len(training.train_data))
    step_seconds = _time_steps(
        training.batches_in_memory(num_windows), lambda batch: training.train_step(*batch), training.network.train
    )
    return figures | {
        "precision": "32-true",
        "setup_seconds": 0.0,
        "step_seconds": step_seconds,
        "step_windows": num_windows,
    }


class TimedTrainer(Trainer):
    """The package's trainer, which remembers when it began and stays at hand after `run.train` has returned."""

    latest: "TimedTrainer"
    began: float

    def fit(self) -> None:
        """As `Trainer.fit`."""
        TimedTrainer.latest = self
        self.began = time.monotonic()
        super().fit()

    def time_steps(self, num_windows: int) -> float:
        """Seconds of a step with augmentation, copy to the device, gradient clipping and EMA."""
        self.callbacks = [callback for callback in self.callbacks if isinstance(callback, EMA | LRScheduler)]
        self.sampler.epoch = self.sampler.start = 0
        data = self.train_batches.dataset
        assert isinstance(data, WindowDataset)
        whole = [batch for batch in self.sampler if sum(len(stretch.windows) for stretch in batch) == num_windows]
        batches = (data.__getitems__(stretches) for stretches in cycle(whole))
        if self.fabric.device.type == "cuda":
            batches = (batch.pin_memory() for batch in batches)
        return _time_steps(batches, lambda batch: self._train_step(iter([batch])), self.wrapped_model.train)


def measure_ours(job: Job) -> Figures:
    """One training through `convlstm.training.run`, with measures that have no setting taken out where asked for."""
    config = train_config(job)
    with ExitStack() as patches:
        patches.enter_context(patch.object(run, "Trainer", TimedTrainer))
        if not job.keeps_memory:
            patches.enter_context(patch.object(run, "reuse_freed_memory", lambda: None))
        if not job.channels_last:
            patches.enter_context(patch.object(run, "TemporalClassifier", _contiguous_model))
            patches.enter_context(patch.object(stem, "new_features", _contiguous_features))
        started = time.monotonic()
        run.train(config)
        trainer = TimedTrainer.latest
        if config.compile and not counters["stats"]:
            raise RuntimeError(
                "torch.compile found nothing that it could compile: the row would show nothing but chance"
            )
        num_train, num_val = len(trainer.sampler.dataset), len(trainer.val_data)
        figures = _epoch_figures(config, trainer.history, num_train, num_val) | _peak_memory()
        num_windows = min(config.batch_size, num_train)
        return figures | {
            "precision": trainer.fabric.strategy.precision.precision,
            "setup_seconds": trainer.began - started,
            "step_seconds": trainer.time_steps(num_windows),
            "step_windows": num_windows,
        }


def _contiguous_model(config: Any) -> TemporalClassifier:
    model = TemporalClassifier(config)
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload] # missing in the stubs
    return model


def _contiguous_features(shape: tuple[int, ...], device: torch.device) -> Tensor:
    autocast = torch.is_autocast_enabled(device.type)
    return torch.empty(shape, dtype=torch.get_autocast_dtype(device.type) if autocast else torch.float32, device=device)


def _epoch_figures(config: TrainConfig, history: list[dict[str, float]], num_train: int, num_val: int) -> Figures:
    """The first epoch warms up: files come into memory, processes start, kernels are chosen or compiled."""
    first, *counted = history
    seconds = mean(row["seconds"] for row in counted)
    return {
        "train_windows": num_train,
        "val_windows": num_val,
        "first_epoch_seconds": first["seconds"],
        "all_epoch_seconds": [row["seconds"] for row in counted],
        "epoch_seconds": seconds,
        "frames_per_second": (num_train + num_val) * config.seq_length / seconds,
        "data_wait": mean(row["data_wait"] for row in counted),
        "train_loss": history[-1]["train_loss"],
        "val_loss": history[-1]["val_loss"],
    }


def _peak_memory() -> Figures:
    """Of this process, of the largest process it started and has waited for, and on the GPU."""
    unit = 1 if sys.platform == "darwin" else 1024
    peaks = [resource.getrusage(who).ru_maxrss * unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    on_gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    return {"peak_bytes": peaks[0], "worker_peak_bytes": peaks[1], "gpu_peak_bytes": on_gpu}


def _time_steps(batches: Iterator[Any], step: Callable[[Any], object], set_mode: Callable[[], object]) -> float:
    """Median seconds of steps on batches that are loaded before the clock starts; the first step does not count."""
    set_mode()
    seconds = [seconds_of(step, batch) for batch in islice(batches, 1 + TIMED_STEPS)]
    return median(seconds[1:])


def measure_machine(job: Job) -> Figures:
    """Names, the rate of matrix products, and the work that one window is."""
    return describe_machine() | {"window_gflop": window_flops(train_config(job)) / 1e9}


def window_flops(config: TrainConfig) -> int:
    """Forward and backward of one window through the plain network; counted from shapes, nothing is computed."""
    model = config.model_config()
    with torch.device("meta"):
        network = blank_network(model)
        clip = torch.empty(1, model.num_context + config.seq_length, 3, *config.target_size)
    with FlopCounterMode(display=False) as counter:
        network(clip).sum().backward()
    return int(counter.get_total_flops())


if __name__ == "__main__":
    sys.exit(main())
