"""The training loop, and only the loop: what happens around it is in callbacks."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from convlstm.config import TrainConfig
from convlstm.errors import TrainingError
from convlstm.evaluation.evaluate import Evaluation, evaluate
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.training.losses import training_loss
from convlstm.utils.callbacks.base import Callback
from convlstm.utils.data.dataset import Batch, Sample, WindowDataset
from convlstm.utils.data.loader import eval_loader, stop_workers, train_loader


class Trainer:
    """Trains a model on windows; `fit` runs to the last epoch.

    Fabric carries device and precision. `epoch` and `step` count what is finished.
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
        self.num_context = train_data.num_context
        self.class_weights = fabric.to_device(class_weights) if class_weights is not None else None
        self.callbacks = list(callbacks)
        loader, self.sampler = train_loader(train_data, config)
        self._loaders = (loader, eval_loader(val_data, config))
        self.train_batches, self.val_batches = (_on_device(fabric, loader) for loader in self._loaders)
        self.wrapped_model, self.wrapped_optimizer = fabric.setup(model, optimizer)
        self.wrapped_model.mark_forward_method("logits")
        self.steps_per_epoch = len(loader)
        self.epoch = 0
        self.step = 0
        self.should_stop = False
        self.history: list[dict[str, float]] = []
        self.damaged: set[str] = set()

    def fit(self) -> None:
        """Train until the last epoch or until a callback asks to stop. Raises TrainingError where the loss diverges."""
        self._call("on_fit_start")
        try:
            while self.epoch < self.config.epochs and not self.should_stop:
                self._run_epoch()
        finally:
            self._call("on_fit_end")
            for loader in self._loaders:
                stop_workers(loader)

    def training_state(self) -> dict[str, Any]:
        """All that a resumed run needs, as tensors and plain values."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "history": [dict(row) for row in self.history],
            "weights": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "callbacks": {type(callback).__name__: callback.state_dict() for callback in self.callbacks},
            "rng": torch.get_rng_state(),
            "sampler": {"seed": self.sampler.seed, "epoch": self.sampler.epoch},
        }

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from where `training_state` was taken."""
        self.epoch = state["epoch"]
        self.step = state["step"]
        self.history = [dict(row) for row in state["history"]]
        self.model.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:
            group["weight_decay"] = self.config.weight_decay
        for callback in self.callbacks:
            if type(callback).__name__ in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][type(callback).__name__])
        torch.set_rng_state(state["rng"].cpu())

    def _run_epoch(self) -> None:
        started = time.monotonic()
        train_loss = self._train_epoch()
        evaluation = self.validate()
        self.epoch += 1
        row = {"epoch": float(self.epoch), "train_loss": train_loss, **evaluation.metrics()}
        row |= {"lr": float(self.optimizer.param_groups[0]["lr"]), "seconds": time.monotonic() - started}
        self.history.append(row)
        self._call("on_epoch_end", row, evaluation)

    def _train_epoch(self) -> float:
        self.wrapped_model.train()
        self.sampler.epoch = self.epoch
        loss_sum, num_windows = 0.0, 0
        for batch in self.train_batches:
            self.damaged.update(batch.damaged)
            if not len(batch):
                continue
            self._call("on_step_start")
            loss = self._train_step(batch)
            self.step += 1
            loss_sum += loss * len(batch)
            num_windows += len(batch)
            self._call("on_step_end", loss)
        if not num_windows:
            raise TrainingError(f"no training window could be read: {next(iter(sorted(self.damaged)), 'no data')}")
        return loss_sum / num_windows

    def _train_step(self, batch: Batch) -> float:
        clips = batch.clips.permute(0, 1, 4, 2, 3)  # (B, P+T, H, W, 3) -> (B, P+T, 3, H, W), without a copy
        logits = self.wrapped_model.logits(clips, self.num_context)
        loss = self._loss(logits, batch.labels, batch.cells)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self._diverged(f"the loss is {value}", self.step + 1)
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        limit = self.config.grad_clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        if not bool(torch.isfinite(norm)):
            raise self._diverged("the gradient is not finite", self.step + 1)
        self.wrapped_optimizer.step()
        return value

    def _loss(self, logits: Tensor, labels: Tensor, cells: Tensor) -> Tensor:
        return training_loss(
            logits,
            labels,
            cells,
            class_weights=self.class_weights,
            positive_weight=self.config.positive_weight,
        )

    def _validation_loss(self, logits: Tensor, labels: Tensor, cells: Tensor) -> Tensor:
        loss = self._loss(logits, labels, cells)
        if not bool(torch.isfinite(loss)):  # the epoch's last step broke the weights: they must not be saved
            raise self._diverged(f"the validation loss is {float(loss)}", self.step)
        return loss

    def _diverged(self, what: str, step: int) -> TrainingError:
        return TrainingError(
            f"{what} at epoch {self.epoch + 1}, step {step}: lower lr, or set grad_clip; "
            f"the checkpoints in {self.run_folder / 'weights'} are those of the last finished epoch"
        )

    def validate(self) -> Evaluation:
        """Score the validation windows with the model that would be saved."""
        self.inference_model.eval()
        evaluation = evaluate(
            self.inference_model,
            self.val_batches,
            self.val_data,
            threshold=self.config.threshold,
            loss_function=self._validation_loss,
            logits_of=self._autocast(self.inference_model.logits),
        )
        if not evaluation.predictions:
            raise TrainingError(f"no validation window could be read: {next(iter(evaluation.damaged), 'no data')}")
        self.damaged.update(evaluation.damaged)
        return evaluation

    def _autocast(self, run: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Tensor]:
        def wrapped(clips: Tensor, num_context: int) -> Tensor:
            with self.fabric.autocast():
                return run(clips, num_context)

        return wrapped

    def _call(self, moment: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(self, *arguments)


def _on_device(fabric: Fabric, loader: DataLoader[Sample | str]) -> Iterable[Batch]:
    return cast("Iterable[Batch]", fabric.setup_dataloaders(loader, use_distributed_sampler=False))
