"""The loop: what it counts, what it averages, when it calls whom, and when it refuses to go on."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor

from convlstm.config import TrainConfig
from convlstm.errors import TrainingError
from convlstm.evaluation.evaluate import Evaluation
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.training.losses import training_loss
from convlstm.training.processes import resolve_precision
from convlstm.training.trainer import Trainer
from convlstm.utils.callbacks.base import Callback, TrainerState
from convlstm.utils.callbacks.ema import EMA
from convlstm.utils.data.batch import IGNORED, Batch
from convlstm.utils.data.dataset import WindowDataset
from convlstm.utils.data.manifest import ManifestRow
from convlstm.utils.data.sequences import open_sequences

TYPES = ("static", "dynamic", "static", "dynamic")


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sequences of seven frames: even ones stand still, in odd ones a white square moves."""
    root = tmp_path_factory.mktemp("data")
    for sequence, kind in enumerate(TYPES):
        (root / f"s{sequence}").mkdir()
        for index in range(7):
            frame = np.full((64, 64, 3), 60 + 20 * sequence, dtype=np.uint8)
            left = 8 * index if kind == "dynamic" else 16
            frame[20:36, left : left + 16] = 255
            Image.fromarray(frame).save(root / f"s{sequence}" / f"{index}.png")
    return root


def make_config(data_root: Path, **settings: Any) -> TrainConfig:
    defaults = {
        "data_root": data_root,
        "seq_length": 4,
        "stride": 1,
        "target_size": (64, 64),
        "epochs": 2,
        "batch_size": 3,
        "num_workers": 0,
        "augment": False,
        "device": "cpu",
        "precision": "32-true",
    }
    return TrainConfig(**{**defaults, **settings})


def make_trainer(
    data_root: Path, callbacks: Sequence[Callback] = (), *, val: Sequence[int] = (2, 3), **settings: Any
) -> Trainer:
    config = make_config(data_root, **settings)
    rows = [ManifestRow(f"s{i}", kind, f"s{i}", None, None, i + 2) for i, kind in enumerate(TYPES)]
    train, val_data = (
        WindowDataset(open_sequences([rows[i] for i in side], config)[0], config) for side in ((0, 1), val)
    )
    torch.manual_seed(config.seed)
    model = TemporalClassifier(config.model_config())
    return Trainer(
        Fabric(accelerator="cpu", devices=1, precision=resolve_precision(config)),
        config,
        data_root,
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=config.lr),
        train_data=train,
        val_data=val_data,
        class_weights=None,
        callbacks=callbacks,
    )


def logits_of(trainer: Trainer, batch: Batch) -> Tensor:
    with torch.inference_mode():
        frames = batch.frames.permute(0, 3, 1, 2)
        return trainer.model.window_logits(frames, batch.encode, batch.lagged, batch.windows)


class Recorder(Callback):
    def __init__(self, stop_after: int = 99) -> None:
        self.stop_after = stop_after
        self.moments: list[tuple[str, int, int]] = []

    def _note(self, moment: str, trainer: TrainerState) -> None:
        self.moments.append((moment, trainer.epoch, trainer.step))

    def on_fit_start(self, trainer: TrainerState) -> None:
        self._note("fit_start", trainer)

    def on_step_start(self, trainer: TrainerState) -> None:
        self._note("step_start", trainer)

    def on_step_end(self, trainer: TrainerState, loss: float) -> None:
        assert math.isfinite(loss)
        self._note("step_end", trainer)

    def on_epoch_end(self, trainer: TrainerState, row: dict[str, float], evaluation: Evaluation) -> None:
        assert len(evaluation) == len(trainer.val_data) and row["epoch"] == trainer.epoch
        trainer.should_stop = trainer.epoch >= self.stop_after
        self._note("epoch_end", trainer)

    def on_fit_end(self, trainer: TrainerState) -> None:
        self._note("fit_end", trainer)


class Spoil(Callback):
    """Breaks the weights, or the gradient, before a given step."""

    def __init__(self, step: int, value: float = math.nan, *, gradient: bool = False) -> None:
        self.step, self.value, self.gradient = step, value, gradient

    def on_step_start(self, trainer: TrainerState) -> None:
        if trainer.step != self.step:
            return
        bias = trainer.model.final_classifier.bias
        assert bias is not None
        if self.gradient:
            bias.register_hook(lambda gradient: gradient * self.value)
        else:
            with torch.no_grad():
                bias.fill_(self.value)


def test_moments_and_counts(data_root: Path) -> None:
    recorder = Recorder()
    trainer = make_trainer(data_root, [recorder], epochs=2)
    assert trainer.steps_per_epoch == 3  # 8 windows in batches of 3
    trainer.fit()
    expected: list[tuple[str, int, int]] = [("fit_start", 0, 0)]
    for epoch in range(2):
        for step in range(3 * epoch, 3 * epoch + 3):
            expected += [("step_start", epoch, step), ("step_end", epoch, step + 1)]
        expected.append(("epoch_end", epoch + 1, 3 * epoch + 3))
    assert recorder.moments == [*expected, ("fit_end", 2, 6)]
    assert [row["epoch"] for row in trainer.history] == [1, 2]


def test_a_callback_ends_the_run(data_root: Path) -> None:
    recorder = Recorder(stop_after=1)
    make_trainer(data_root, [recorder], epochs=9).fit()
    assert recorder.moments[-1] == ("fit_end", 1, 3)


def test_losses_are_means_over_windows_not_over_batches(data_root: Path) -> None:
    trainer = make_trainer(data_root, lr=1e-12, epochs=1)
    trainer.fit()
    for batches, name in ((trainer.train_batches, "train_loss"), (trainer.val_batches, "val_loss")):
        losses, count = 0.0, 0.0
        for window in (window for batch in batches for window in batch.ids.tolist()):
            data = trainer.val_data if name == "val_loss" else batches.dataset
            batch = data[window]
            losses += float(training_loss(logits_of(trainer, batch), batch.labels, batch.cell_targets(0.02))[0])
            count += 1
        assert count == 8
        assert trainer.history[0][name] == pytest.approx(losses / count, rel=1e-5)


def test_cells_that_something_left_weigh_more_in_training_only(data_root: Path, tmp_path: Path) -> None:
    """The left half is left after frame 1: so it has been in the windows that begin with frames 2 and 3."""
    root = tmp_path / "masked"
    shutil.copytree(data_root, root)
    (root / "s1" / "masks").mkdir()
    for index in range(7):
        mask = np.zeros((64, 64), dtype=np.uint8)
        mask[20:36, 16 * index : 16 * index + 16] = 255
        Image.fromarray(mask).save(root / "s1" / "masks" / f"{index}.png")
    trainers = [make_trainer(root, lr=1e-12, epochs=1, left_weight=weight) for weight in (1.0, 5.0)]
    for trainer in trainers:
        trainer.fit()
    (plain, val_loss), (weighted, same) = (
        (trainer.history[0]["train_loss"], trainer.history[0]["val_loss"]) for trainer in trainers
    )
    assert same == pytest.approx(val_loss, rel=1e-6)
    expected = 0.0
    for window in range(8):
        batch = trainers[1].train_batches.dataset[window]
        weights = torch.where(batch.left_cells(0.02), 5.0, 1.0)
        assert int((weights == 5).sum()) == (2 if window in (6, 7) else 0)
        logits, cells = logits_of(trainers[1], batch), batch.cell_targets(0.02)
        expected += float(training_loss(logits, batch.labels, cells, cell_weights=weights)[0]) / 8
    assert weighted == pytest.approx(expected, rel=1e-5) and weighted != pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_the_network_computes_in_the_precision_asked_for(data_root: Path, precision: str, dtype: torch.dtype) -> None:
    """In training and in validation; weights and losses stay float32."""
    trainer = make_trainer(data_root, epochs=1, precision=precision)
    seen: list[tuple[bool, torch.dtype]] = []
    trainer.model.encoder[0].register_forward_hook(lambda layer, x, y: seen.append((layer.training, y.dtype)))
    trainer.fit()
    assert {is_training for is_training, _ in seen} == {True, False}
    assert {found for _, found in seen} == {dtype}
    assert all(parameter.dtype == torch.float32 for parameter in trainer.model.parameters())
    assert math.isfinite(trainer.history[0]["train_loss"])


def test_overfits_a_tiny_set(data_root: Path) -> None:
    trainer = make_trainer(data_root, val=(0, 1), stem="motion", lr=3e-3, epochs=25, batch_size=8)
    trainer.fit()
    first, last = trainer.history[0], trainer.history[-1]
    assert last["train_loss"] < 0.1 * first["train_loss"]
    assert last["window_auc"] == 1.0 and last["window_f1"] == 1.0


@pytest.mark.parametrize("grad_clip", [0.0, 1e-3])
def test_gradients_are_clipped_where_asked_for(data_root: Path, grad_clip: float) -> None:
    norms: list[float] = []

    class Norms(Callback):
        def on_step_end(self, trainer: TrainerState, loss: float) -> None:
            gradients = [p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]
            norms.append(float(torch.cat(gradients).norm()))

    make_trainer(data_root, [Norms()], grad_clip=grad_clip, epochs=1).fit()
    assert len(norms) == 3
    assert max(norms) <= 1.001e-3 if grad_clip else min(norms) > 1e-2


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Spoil(4), "the loss is nan at epoch 2, step 5: lower lr, or set grad_clip"),
        (Spoil(1, math.inf), "the loss is (nan|inf) at epoch 1, step 2"),
        (Spoil(3, math.inf, gradient=True), "the gradient is not finite at epoch 2, step 4"),
    ],
)
def test_a_loss_that_is_not_finite_stops_and_names_the_step(data_root: Path, spoil: Spoil, message: str) -> None:
    recorder = Recorder()
    trainer = make_trainer(data_root, [recorder, spoil], epochs=3)
    with pytest.raises(TrainingError, match=message):
        trainer.fit()
    assert trainer.step == spoil.step and recorder.moments[-1][0] == "fit_end"
    if spoil.gradient:  # the step was not taken
        assert all(bool(torch.isfinite(p).all()) for p in trainer.model.parameters())


def test_weights_broken_by_the_last_step_of_an_epoch_are_not_validated_as_if_they_were_good(data_root: Path) -> None:
    class BreakLast(Callback):
        def on_step_end(self, trainer: TrainerState, loss: float) -> None:
            if trainer.step == 6:
                with torch.no_grad():
                    trainer.model.final_classifier.weight.fill_(math.nan)

    recorder = Recorder()
    with pytest.raises(TrainingError, match="the validation loss is nan at epoch 2, step 6: lower lr"):
        make_trainer(data_root, [recorder, BreakLast()], epochs=3).fit()
    assert [moment for moment, _, _ in recorder.moments].count("epoch_end") == 1


def test_validation_runs_the_average_where_there_is_one(data_root: Path) -> None:
    ema_of: dict[str, float] = {}
    for name in ("raw", "average"):
        trainer = make_trainer(data_root, lr=3e-2, epochs=1)
        if name == "average":
            trainer.callbacks.append(EMA(trainer.model, 0.998))
        trainer.fit()
        ema_of[name] = trainer.history[0]["val_loss"]
        assert not trainer.inference_model.training
        assert (trainer.inference_model is trainer.model) == (name == "raw")
    assert ema_of["raw"] != ema_of["average"]


def test_state_comes_back_whole(data_root: Path) -> None:
    first = make_trainer(data_root, epochs=1)
    first.fit()
    state = first.training_state()
    second = make_trainer(data_root, epochs=1, seed=5)
    second.load_training_state(state)
    assert (second.epoch, second.step, second.history) == (1, 3, first.history)
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name
    for key, values in first.optimizer.state_dict()["state"].items():
        for name, value in values.items():
            assert torch.equal(value, second.optimizer.state_dict()["state"][key][name])
    assert torch.equal(state["random"]["torch"], torch.get_rng_state())


def copy_with_damage(data_root: Path, target: Path, damaged: Sequence[str]) -> Path:
    for path in data_root.rglob("*.png"):
        copy = target / path.relative_to(data_root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        is_damaged = str(path.relative_to(data_root)) in damaged
        copy.write_bytes(b"" if is_damaged else path.read_bytes())
    return target


def test_windows_that_do_not_decode_are_left_out_and_named(data_root: Path, tmp_path: Path) -> None:
    root = copy_with_damage(data_root, tmp_path, ["s0/6.png", "s3/0.png"])
    trainer = make_trainer(root, batch_size=1, epochs=1)
    trainer.fit()
    assert trainer.step == 7
    assert trainer.damaged == {f"{root}/s0/6.png: empty file", f"{root}/s3/0.png: empty file"}


@pytest.mark.parametrize(("sequences", "side"), [((0, 1), "training"), ((2, 3), "validation")])
def test_nothing_decodes(data_root: Path, tmp_path: Path, sequences: tuple[int, int], side: str) -> None:
    root = copy_with_damage(data_root, tmp_path, [f"s{i}/3.png" for i in sequences])
    with pytest.raises(TrainingError, match=rf"no {side} window could be read: .*3\.png: empty file"):
        make_trainer(root).fit()


def test_with_actors_static_footage_without_masks_teaches_cells_and_motion(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, torch.Tensor]] = []

    def spy(logits: torch.Tensor, labels: torch.Tensor, cells: torch.Tensor, **weights: Any) -> Any:
        if logits.requires_grad:  # not in validation
            seen.extend(zip(labels.tolist(), cells, strict=True))
        return training_loss(logits, labels, cells, **weights)

    monkeypatch.setattr("convlstm.training.trainer.training_loss", spy)
    make_trainer(data_root, epochs=10, augment=True, aug_actors=1.0).fit()
    known = [(label, cells) for label, cells in seen if (cells != IGNORED).any()]
    unknown = [label for label, cells in seen if not (cells != IGNORED).any()]
    assert len(known) > 20 and {label for label, _ in known} == {0, 1}
    assert all(label == int((cells > 0).any()) for label, cells in known)
    assert len(unknown) > 20 and set(unknown) == {1}  # the moving square, whose place nobody knows
