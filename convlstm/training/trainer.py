"""The training loop, and only the loop: what happens around it is in callbacks."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim import Optimizer

from convlstm.config import TrainConfig
from convlstm.errors import Terminated, TrainingError
from convlstm.evaluation.evaluate import Evaluation, Tally, evaluate
from convlstm.interrupts import SignalGuard
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.training.failures import resumable_failure
from convlstm.training.losses import training_loss
from convlstm.training.random_state import random_state, restore_random_state
from convlstm.utils.callbacks.base import Callback
from convlstm.utils.data.augment import Augmentation
from convlstm.utils.data.batch import Batch, blank_batch
from convlstm.utils.data.dataset import WindowDataset
from convlstm.utils.data.loader import eval_loader, stop_workers, train_loader

SMALLEST_LOSS_SCALE = 1.0
"""Where float16 gradients still overflow at this scale, training has diverged."""


@dataclass
class EpochProgress:
    """How far the epoch has come: batches done, and what their loss adds up to."""

    batches: int = 0
    loss_sum: float = 0.0
    weight_sum: float = 0.0


class Trainer:
    """Trains a model on windows; `fit` runs to the last epoch.

    Fabric carries devices, processes and precision. `epoch` and `step` count what is finished.
    """

    def __init__(
        self,
        fabric: Fabric,
        config: TrainConfig,
        run_folder: Path,
        *,
        model: TemporalClassifier,
        optimizer: Optimizer,
        train_data: WindowDataset,
        val_data: WindowDataset,
        class_weights: Tensor | None,
        callbacks: Sequence[Callback],
    ) -> None:
        self.fabric = fabric
        self.config = config
        self.run_folder = run_folder
        self.model = model
        self.inference_model = model
        self.optimizer = optimizer
        self.val_data = val_data
        self.class_weights = fabric.to_device(class_weights) if class_weights is not None else None
        self.callbacks = list(callbacks)
        place = (fabric.global_rank, fabric.world_size)
        self.train_batches, self.sampler = train_loader(train_data, config, *place)
        self.val_batches = eval_loader(val_data, config, *place)
        self.wrapped_model, self.wrapped_optimizer = fabric.setup(model, optimizer)
        self.wrapped_model.mark_forward_method("window_logits")
        self.augmentation = Augmentation(config)
        self.guard = SignalGuard()
        self.steps_per_epoch = self.sampler.num_batches
        self.epoch = 0
        self.step = 0
        self.progress = EpochProgress()
        self.wait_seconds = 0.0
        self.should_stop = False
        self.history: list[dict[str, float]] = []
        self.damaged: set[str] = set()
        self._finished_epoch: dict[str, Any] | None = None
        self._is_torn = False

    def fit(self) -> None:
        """Train until the last epoch or until a callback asks to stop.

        Raises TrainingError where the loss diverges, the disk is full, memory runs out or a loader process dies. In the
        last two cases, and when a signal ends the run, callbacks are told (`on_interrupt`), so that what the last
        finished step left is saved.
        """
        with self.guard:
            self._call("on_fit_start")
            try:
                while self.epoch < self.config.epochs and not self.should_stop:
                    self._run_epoch()
            except (KeyboardInterrupt, Terminated):
                self._save_for_resuming()
                raise
            except (RuntimeError, MemoryError, OSError) as error:
                failure = resumable_failure(error, self.run_folder, epoch=self.epoch + 1, step=self.step + 1)
                if failure is None:
                    raise
                if not (isinstance(error, OSError) or self._is_torn):  # a full disk takes no checkpoint
                    self._save_for_resuming()
                raise failure from error
            finally:
                self._call("on_fit_end")
                for loader in (self.train_batches, self.val_batches):
                    stop_workers(loader)

    def training_state(self) -> dict[str, Any]:
        """All that a resumed run needs, as tensors and plain values."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "progress": dict(vars(self.progress)),
            "history": [dict(row) for row in self.history],
            "damaged": sorted(self.damaged),
            "weights": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "callbacks": {type(callback).__name__: callback.state_dict() for callback in self.callbacks},
            "random": random_state(),
        }

    def resumable_state(self) -> dict[str, Any]:
        """As `training_state`; while callbacks work on a finished epoch, the state from before they began."""
        return self._finished_epoch or self.training_state()

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from where `training_state` was taken."""
        self.epoch = state["epoch"]
        self.step = state["step"]
        self.progress = EpochProgress(**state["progress"])
        self.history = [dict(row) for row in state["history"]]
        self.damaged = set(state["damaged"])
        self.model.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        for group in self.optimizer.param_groups:
            group["weight_decay"] = self.config.weight_decay
        for callback in self.callbacks:
            if type(callback).__name__ in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][type(callback).__name__])
        restore_random_state(state["random"])

    def _run_epoch(self) -> None:
        started = time.monotonic()
        self.wait_seconds = 0.0
        self._train_epoch()
        train_seconds = time.monotonic() - started
        evaluation = self.validate()
        self._finished_epoch = self.training_state()
        row = {"epoch": float(self.epoch + 1), "train_loss": self.progress.loss_sum / self.progress.weight_sum}
        row |= {**evaluation.metrics(), "lr": float(self.optimizer.param_groups[0]["lr"])}
        row |= {"seconds": time.monotonic() - started, "data_wait": self.wait_seconds / max(train_seconds, 1e-9)}
        self.epoch += 1
        self.progress = EpochProgress()
        self.history.append(row)
        self._call("on_epoch_end", row, evaluation)
        self._finished_epoch = None

    def _train_epoch(self) -> None:
        self.wrapped_model.train()
        self.sampler.epoch, self.sampler.start = self.epoch, self.progress.batches
        parts = iter(self.train_batches)
        with self._together():
            for _ in range(self.steps_per_epoch - self.progress.batches):
                self._call("on_step_start")
                if self._train_step(parts):
                    self.guard.raise_pending()
                    raise Terminated  # another process was told to end
        if not self.progress.weight_sum:
            raise TrainingError(f"no training window could be read: {next(iter(sorted(self.damaged)), 'no data')}")

    def _together(self) -> AbstractContextManager[Any]:
        """Of several processes none may leave alone: the others would wait for it. They agree after every step."""
        return self.guard.hold() if self.fabric.world_size > 1 else nullcontext()

    def _train_step(self, parts: Iterator[Batch]) -> bool:
        """One optimizer step, on as many parts as `accumulate` says; returns whether any process was told to end."""
        self.optimizer.zero_grad(set_to_none=True)
        totals = torch.zeros(3, dtype=torch.float64)
        for part in range(self.config.accumulate):
            batch = self._next(parts)
            is_last = part + 1 == self.config.accumulate
            with self.fabric.no_backward_sync(self.wrapped_model, enabled=not is_last):
                totals[:2] += self._backward(batch)
        totals[2] = self.guard.pending is not None
        loss_sum, weight_sum, is_stopped = self._sum_over_processes(totals)
        if weight_sum:
            self._check_gradient(loss_sum / weight_sum, weight_sum)
        with self.guard.hold():  # from here to the end of the step the state is neither old nor new
            self._is_torn = True
            self.progress.batches += 1
            if weight_sum:
                self.wrapped_optimizer.step()
                self.step += 1
                self.progress.loss_sum += loss_sum
                self.progress.weight_sum += weight_sum
                self._call("on_step_end", loss_sum / weight_sum)
            self._is_torn = False
        return bool(is_stopped)

    def _next(self, parts: Iterator[Batch]) -> Batch:
        started = time.monotonic()
        batch = next(parts)
        self.wait_seconds += time.monotonic() - started
        self.damaged.update(batch.damaged)
        batch = self.augmentation(batch.readable().to(self.fabric.device))
        return batch.with_labels_of_cells(self.config.mask_min_share) if self.config.aug_actors else batch

    def _backward(self, batch: Batch) -> Tensor:
        """Gradients of the sum of losses; returns (2,) the sum of the losses and that of their weights."""
        is_empty = not len(batch)
        if is_empty and self.fabric.world_size == 1:
            return torch.zeros(2)
        if is_empty:  # the other processes wait for this one's gradients: it gives zeros
            batch = blank_batch(self.config, self.fabric.device)
        frames = batch.frames.permute(0, 3, 1, 2)  # (N, H, W, 3) -> (N, 3, H, W), without a copy
        with self.fabric.autocast():  # marked methods get none of their own where there is one process only
            logits = self.wrapped_model.window_logits(frames, batch.encode, batch.lagged, batch.windows)
        cells = batch.cell_targets(self.config.mask_min_share)
        loss, weight = self._losses(logits, batch.labels, cells, self._cell_weights(batch))
        self.fabric.backward(loss * 0 if is_empty else loss)
        return torch.zeros(2) if is_empty else torch.stack([loss.detach(), weight]).cpu()

    def _sum_over_processes(self, totals: Tensor) -> list[float]:
        if self.fabric.world_size > 1:
            totals = self.fabric.to_device(totals)
            torch.distributed.all_reduce(totals)
        values: list[float] = totals.tolist()
        return values

    def _check_gradient(self, loss: float, weight_sum: float) -> None:
        """Turn the gradient of the sum into that of the mean, clip it, and stop before anything infinite is learned."""
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}", self.step + 1)
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad *= self.fabric.world_size / weight_sum  # several processes have averaged their sums
        precision = self.fabric.strategy.precision
        precision.unscale_gradients(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip or math.inf)
        scaler = getattr(precision, "scaler", None)  # float16: it skips steps that overflow, and lowers its scale
        is_skipped = scaler is not None and scaler.get_scale() > SMALLEST_LOSS_SCALE
        if not is_skipped and not bool(torch.isfinite(norm)):
            raise self._diverged("the gradient is not finite", self.step + 1)

    def _cell_weights(self, batch: Batch) -> Tensor | None:
        if self.config.left_weight == 1:
            return None
        return torch.where(batch.left_cells(self.config.mask_min_share), self.config.left_weight, 1.0)

    def _losses(
        self, logits: Tensor, labels: Tensor, cells: Tensor, cell_weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return training_loss(
            logits,
            labels,
            cells,
            class_weights=self.class_weights,
            positive_weight=self.config.positive_weight,
            hard_cell_weight=self.config.hard_cell_weight,
            cell_weights=cell_weights,
        )

    def _validation_losses(self, logits: Tensor, labels: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        loss, weight = self._losses(logits, labels, cells)
        if not bool(torch.isfinite(loss)):  # the epoch's last step broke the weights: they must not be saved
            raise self._diverged(f"the validation loss is {float(loss)}", self.step)
        return loss, weight

    def _diverged(self, what: str, step: int) -> TrainingError:
        return TrainingError(
            f"{what} at epoch {self.epoch + 1}, step {step}: lower lr, or set grad_clip; "
            f"the checkpoints in {self.run_folder / 'weights'} are from before"
        )

    def validate(self) -> Evaluation:
        """Score the validation windows with the model that would be saved."""
        self.inference_model.eval()
        evaluation = evaluate(
            self.inference_model,
            self.val_batches,
            self.val_data,
            threshold=self.config.threshold,
            device=self.fabric.device,
            loss_function=self._validation_losses,
            autocast=self.fabric.autocast,
            gather=self._gather,
        )
        if not len(evaluation):
            raise TrainingError(f"no validation window could be read: {next(iter(evaluation.damaged), 'no data')}")
        self.damaged.update(evaluation.damaged)
        return evaluation

    def _gather(self, tally: Tally) -> list[Tally]:
        if self.fabric.world_size == 1:
            return [tally]
        gathered: list[Any] = [None] * self.fabric.world_size
        torch.distributed.all_gather_object(gathered, tally)
        return gathered

    def _save_for_resuming(self) -> None:
        with self.guard.hold():
            self._call("on_interrupt")

    def _call(self, moment: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(self, *arguments)
