"""Whole runs: same seed same weights, stopped and resumed equals never stopped, and what is said when nothing works."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

from convlstm.config import TrainConfig
from convlstm.config_file import config_from_dict, config_to_dict
from convlstm.errors import CheckpointError, ConfigError, DataError, TrainingError
from convlstm.inference.predictor import Predictor
from convlstm.models.checkpoint import content_digest, load_checkpoint, save_checkpoint
from convlstm.shipped import shipped_weights
from convlstm.training.processes import resolve_precision
from convlstm.training.run import TrainResult, resume, train, train_or_resume
from convlstm.training.run_folder import make_run_folder
from convlstm.utils.callbacks import checkpoint as checkpoint_callback
from convlstm.utils.callbacks.base import TrainerState
from convlstm.utils.callbacks.early_stopping import EarlyStopping
from convlstm.utils.callbacks.progress import ProgressLog

TYPES = ("static", "dynamic") * 3
CONV_H = "temporal_layer.cell_list.0.conv_h.weight"
Train = Callable[..., TrainResult]
MakeFrames = Callable[..., list[NDArray[np.uint8]]]
WriteVideo = Callable[..., Path]


def write_sequence(folder: Path, kind: str, *, seed: int = 0, num_frames: int = 6) -> None:
    folder.mkdir(parents=True)
    for index in range(num_frames):
        frame = np.full((64, 64, 3), 60 + 20 * seed, dtype=np.uint8)
        left = 8 * index if kind == "dynamic" else 16
        frame[20:36, left : left + 16] = 255
        Image.fromarray(frame).save(folder / f"{index:03d}.png")


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for number, kind in enumerate(TYPES):
        write_sequence(root / f"s{number}", kind, seed=number)
    write_manifest(root, *(f"s{number},{kind}" for number, kind in enumerate(TYPES)))
    return root


@pytest.fixture
def data_root(shared_root: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(shared_root, tmp_path / "data")


def write_manifest(root: Path, *rows: str, header: str = "folder_name,type") -> None:
    (root / "data.csv").write_text("\n".join([header, *rows]) + "\n")


@pytest.fixture(autouse=True, scope="module")
def no_picture() -> Iterator[None]:
    """Drawing the curves takes longer than these epochs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convlstm.utils.callbacks.metrics_log.training_curves", lambda history: b"picture")
        yield


def settings_of(root: Path, project: Path, **settings: Any) -> TrainConfig:
    values = {
        "data_root": root,
        "project": project,
        "seq_length": 4,
        "stride": 2,
        "target_size": (64, 64),
        "epochs": 2,
        "batch_size": 3,
        "lr": 3e-3,
        "num_workers": 0,
        "device": "cpu",
        "precision": "32-true",
        "report_interval": 0,
        "tensorboard": False,
    }
    return TrainConfig(**{**values, **settings})


@pytest.fixture
def run(shared_root: Path, tmp_path: Path) -> Train:
    def start(**settings: Any) -> TrainResult:
        return train(settings_of(settings.pop("data_root", shared_root), tmp_path / "runs", **settings))

    return start


def digest_of(path: Path) -> str:
    """Of all that a checkpoint holds but the time that epochs took."""
    checkpoint = load_checkpoint(path)
    if checkpoint.training is None:
        return checkpoint.digest
    history = [{**row, "seconds": 0.0, "data_wait": 0.0} for row in checkpoint.training["history"]]
    content = {**vars(checkpoint), "digest": "", "model": str(checkpoint.model)}
    return content_digest({**content, "training": {**checkpoint.training, "history": history}})


def digests(result: TrainResult) -> tuple[str, str]:
    return digest_of(result.best), digest_of(result.last)


def stopped_run(run: Train, monkeypatch: pytest.MonkeyPatch, *, step: int, **settings: Any) -> Path:
    """The folder of a run that was stopped at the start of that step."""
    folders: list[Path] = []

    def stop(self: ProgressLog, trainer: TrainerState) -> None:
        if trainer.step == step:
            folders.append(trainer.run_folder)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ProgressLog, "on_step_start", stop)
        with pytest.raises(KeyboardInterrupt):
            run(**settings)
    return folders[0]


@pytest.fixture(scope="module")
def never_stopped(shared_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TrainResult]:
    """Runs to compare with, each done once."""
    project, done = tmp_path_factory.mktemp("runs"), dict[str, TrainResult]()

    def start(**settings: Any) -> TrainResult:
        key = repr(sorted(settings.items()))
        if key not in done:
            done[key] = train(settings_of(shared_root, project, **settings))
        return done[key]

    return start


def test_a_run_holds_what_the_design_names(shared_root: Path, run: Train) -> None:
    result = run(report_interval=5, tensorboard=True)
    names = {str(path.relative_to(result.run_folder)) for path in result.run_folder.rglob("*") if path.is_file()}
    events = {name for name in names if name.startswith("events.out.tfevents")}
    pictures = {name for name in names if name.startswith("reports/epoch_002/heatmaps/")}
    assert len(events) == 1 and len(pictures) >= 1
    assert names - events - pictures == {
        ".lock",
        "args.yaml",
        "results.csv",
        "results.png",
        "weights/best.pth",
        "weights/last.pth",
        "weights/last.previous.pth",
        "reports/epoch_002/report.html",
        "reports/epoch_002/predictions.csv",
    }
    assert result.report == result.run_folder / "reports" / "epoch_002" / "report.html"
    assert result.left_out == ()
    assert (result.best, result.last) == tuple(
        result.run_folder / "weights" / name for name in ("best.pth", "last.pth")
    )
    assert result.metrics["epoch"] == 2
    assert len((result.run_folder / "results.csv").read_text().splitlines()) == 3
    recorded = yaml.safe_load((result.run_folder / "args.yaml").read_text())
    config = config_from_dict(TrainConfig, recorded, origin="args.yaml")
    assert config.data_root == shared_root and config.epochs == 2 and config_to_dict(config) == recorded


def test_the_checkpoint_is_enough_for_detection(run: Train) -> None:
    result = run(threshold=0.3, stem="motion", lags=(1, 2), fps=12.5)
    checkpoint = load_checkpoint(result.best)
    assert (checkpoint.seq_length, checkpoint.target_size, checkpoint.threshold) == (4, (64, 64), 0.3)
    assert (checkpoint.model.lags, checkpoint.fps, checkpoint.training) == ((1, 2), 12.5, None)
    assert checkpoint.build_model().config == checkpoint.model


def test_the_same_seed_gives_the_same_weights(run: Train, never_stopped: Train) -> None:
    first, second, other = never_stopped(), run(), run(seed=1)
    assert digests(first) == digests(second)
    assert load_checkpoint(first.best).digest == load_checkpoint(second.best).digest
    assert digests(other)[0] != digests(first)[0]


@pytest.mark.slow
def test_loader_processes_change_nothing(run: Train, never_stopped: Train) -> None:
    assert digests(run(num_workers=2)) == digests(never_stopped())


def test_keeping_frames_in_memory_changes_nothing(run: Train, never_stopped: Train) -> None:
    assert digests(run(cache="ram")) == digests(never_stopped())


@pytest.mark.parametrize("ema", [True, False])
def test_best_holds_the_average_or_the_raw_weights(run: Train, ema: bool) -> None:
    result = run(ema=ema, epochs=1)
    training = load_checkpoint(result.last).training
    assert training is not None
    raw, saved = training["weights"], load_checkpoint(result.best).weights
    assert all(torch.equal(raw[name], saved[name]) for name in raw) != ema
    assert ("EMA" in training["callbacks"]) == ema


# 8 training windows in batches of 3 are 3 steps an epoch: stopped at the start, the end, and within an epoch.
@pytest.mark.parametrize("step", [3, 5, 7])
@pytest.mark.parametrize(
    "settings", [{}, {"optimizer": "muon"}, {"scheduler": "cosine", "ema": False, "warmup_epochs": 1.5}]
)
def test_stopped_and_resumed_equals_never_stopped(
    run: Train, never_stopped: Train, monkeypatch: pytest.MonkeyPatch, step: int, settings: dict[str, Any]
) -> None:
    whole = never_stopped(epochs=3, **settings)
    folder = stopped_run(run, monkeypatch, step=step, epochs=3, **settings)
    resumed = resume(folder)
    assert resumed.run_folder == folder
    assert digests(resumed) == digests(whole)
    assert rows_without_seconds(resumed) == rows_without_seconds(whole)
    assert len(rows_without_seconds(resumed)) == 1 + 3


def rows_without_seconds(result: TrainResult) -> list[str]:
    text = (result.run_folder / "results.csv").read_text()
    return [line.rsplit(",", 2)[0] for line in text.splitlines()]


def test_an_interrupted_run_keeps_the_steps_of_its_epoch(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = stopped_run(run, monkeypatch, step=5, epochs=3)
    training = load_checkpoint(folder / "weights" / "last.pth").training
    assert training is not None
    assert (training["epoch"], training["step"], training["progress"]["batches"]) == (1, 5, 2)


def test_interrupted_while_an_epoch_is_being_finished(
    run: Train, never_stopped: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """best.pth is written already, the schedule has moved on: the whole end of the epoch is done again."""

    def stop(self: EarlyStopping, trainer: TrainerState, *arguments: Any) -> None:
        if trainer.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EarlyStopping, "on_epoch_end", stop)
        with pytest.raises(KeyboardInterrupt):
            run(epochs=3, name="between", early_stopping_patience=5)
    folder = tmp_path / "runs" / "between"
    training = load_checkpoint(folder / "weights" / "last.pth").training
    assert training is not None and training["epoch"] == 1 and len(training["history"]) == 1
    resumed = resume(folder)
    assert digests(resumed) == digests(never_stopped(epochs=3, early_stopping_patience=5))


@pytest.mark.parametrize("settings", [{"windows_per_sample": 2}, {"accumulate": 2}, {"cache": "disk"}])
def test_other_ways_to_load_are_resumed_exactly_too(
    run: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: dict[str, Any]
) -> None:
    if "cache" in settings:
        settings = {**settings, "cache_dir": tmp_path / "cache"}
    whole = run(epochs=3, name="whole", **settings)
    folder = stopped_run(run, monkeypatch, step=4, epochs=3, **settings)
    assert digests(resume(folder)) == digests(whole)


def test_resume_auto_starts_goes_on_and_leaves_a_finished_run_alone(
    shared_root: Path, run: Train, never_stopped: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = settings_of(shared_root, tmp_path / "runs", epochs=3)
    folder = stopped_run(lambda: train_or_resume(config), monkeypatch, step=4)
    assert folder == tmp_path / "runs" / "exp"
    finished = train_or_resume(config)
    assert digests(finished) == digests(never_stopped(epochs=3))
    before = finished.last.read_bytes()
    again = train_or_resume(config)
    assert again.run_folder == folder and again.last.read_bytes() == before
    assert again.metrics["val_loss"] == finished.metrics["val_loss"]
    with pytest.raises(TrainingError, match="holds another model"):
        train_or_resume(replace(config, seq_length=3))


def test_stopped_twice(run: Train, never_stopped: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = stopped_run(run, monkeypatch, step=4, epochs=3)
    stopped_run(lambda: resume(folder), monkeypatch, step=7)
    assert digests(resume(folder)) == digests(never_stopped(epochs=3))


def test_a_run_may_be_made_longer(run: Train, never_stopped: Train) -> None:
    whole = never_stopped(epochs=3)
    short = run(epochs=2)
    longer = resume(short.run_folder, {"epochs": 3})
    assert longer.run_folder == short.run_folder
    assert digests(longer) == digests(whole)
    assert yaml.safe_load((longer.run_folder / "args.yaml").read_text())["epochs"] == 3


def test_a_full_disk_between_best_and_last(
    run: Train, never_stopped: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = save_checkpoint

    def full(path: Path, checkpoint: Any, **options: Any) -> str:
        if path.name == "last.pth" and checkpoint.training["epoch"] == 2:
            raise OSError(28, "No space left on device", str(path))
        return save(path, checkpoint, **options)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_callback, "save_checkpoint", full)
        with pytest.raises(TrainingError, match=r"the disk is full at epoch 3, step \d+ .*No space left on device"):
            run(epochs=3, name="full")
    assert digests(resume(tmp_path / "runs" / "full")) == digests(never_stopped(epochs=3))


@pytest.mark.slow
def test_killed_at_once_and_resumed_equals_never_stopped(shared_root: Path, run: Train, tmp_path: Path) -> None:
    whole = run(epochs=30, num_workers=1)
    code = "import sys, yaml; from convlstm.cli import main; sys.exit(main(sys.argv[1:]))"
    config = settings_of(shared_root, tmp_path / "killed", epochs=30, num_workers=1)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config_to_dict(config)))
    process = subprocess.Popen(
        [sys.executable, "-c", code, "train", "--config", str(tmp_path / "config.yaml")],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    results = tmp_path / "killed" / "exp" / "results.csv"
    deadline = time.monotonic() + 120
    while not (results.exists() and len(results.read_text().splitlines()) > 4) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(results.read_text().splitlines()) < 30
    assert digests(resume(tmp_path / "killed" / "exp")) == digests(whole)


def test_nothing_to_resume(run: Train, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"none: nothing to resume: no run folder with args\.yaml"):
        resume(tmp_path / "none")
    empty = run().run_folder
    for path in (empty / "weights").iterdir():
        path.unlink()
    with pytest.raises(TrainingError, match=r"nothing to resume: no weights/last\.pth; start the training anew"):
        resume(empty)
    done = run()
    message = "nothing to resume: all 2 epochs are done; raise --epochs to go on"
    with pytest.raises(TrainingError, match=message):
        resume(done.run_folder)
    with pytest.raises(TrainingError, match=message):
        resume(done.last)  # a weights file stands for its run


def test_resuming_without_training_state_is_refused(run: Train) -> None:
    result = run(epochs=2)
    shutil.copy(result.best, result.last)
    with pytest.raises(TrainingError, match=r"nothing to resume: weights/last\.pth holds no training state"):
        resume(result.run_folder, {"epochs": 4})


@pytest.mark.parametrize(
    "flags", [{"seq_length": 5}, {"stem": "rgb"}, {"lags": [1]}, {"classes": ["a", "b"]}, {"target_size": [64, 96]}]
)
def test_resuming_another_model_is_refused(never_stopped: Train, flags: dict[str, Any]) -> None:
    result = never_stopped()
    before = (result.run_folder / "args.yaml").read_bytes(), result.last.read_bytes()
    with pytest.raises(TrainingError, match=r"holds another model: .*; start a new run"):
        resume(result.run_folder, {"epochs": 4, **flags})
    assert ((result.run_folder / "args.yaml").read_bytes(), result.last.read_bytes()) == before


def test_unknown_flags_are_refused_when_resuming(never_stopped: Train) -> None:
    result = never_stopped()
    with pytest.raises(ConfigError, match='unknown setting "epocs": did you mean "epochs"'):
        resume(result.run_folder, {"epocs": 4})


@pytest.mark.parametrize("harm", ["truncated", "altered", "empty", "gone"])
def test_a_damaged_last_is_named_and_the_one_before_used(
    never_stopped: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    run_folder = shutil.copytree(never_stopped().run_folder, tmp_path / "run")
    last = run_folder / "weights" / "last.pth"
    data = bytearray(last.read_bytes())
    if harm == "altered":
        data[len(data) // 2] ^= 0xFF
    last.write_bytes({"truncated": data[: len(data) // 2], "altered": data}.get(harm, b""))
    if harm == "gone":
        last.unlink()
    resumed = resume(run_folder, {"epochs": 3})
    warnings = [message for message in caplog.messages if "going on from" in message]
    assert len(warnings) == (0 if harm == "gone" else 1)
    assert all(str(last) in message and "last.previous.pth" in message for message in warnings)
    assert digests(resumed) == digests(never_stopped(epochs=3))


def test_both_damaged_is_refused(run: Train) -> None:
    result = run(epochs=2)
    for name in ("last.pth", "last.previous.pth"):
        path = result.run_folder / "weights" / name
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"nothing to resume: .*last\.pth: .*last\.previous\.pth: "):
        resume(result.run_folder, {"epochs": 4})


def test_a_loss_that_is_not_a_number_leaves_finite_weights(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(self: ProgressLog, trainer: TrainerState) -> None:
        if trainer.step == 4:
            with torch.no_grad():
                trainer.model.final_classifier.weight.fill_(float("nan"))

    monkeypatch.setattr(ProgressLog, "on_step_start", spoil)
    with pytest.raises(TrainingError, match="the loss is nan at epoch 2, step 5: lower lr") as caught:
        run(epochs=3)
    weights = Path(str(caught.value).partition("the checkpoints in ")[2].partition(" are from")[0])
    for name in ("best.pth", "last.pth"):
        checkpoint = load_checkpoint(weights / name)
        assert all(bool(torch.isfinite(tensor).all()) for tensor in checkpoint.weights.values())
    last = load_checkpoint(weights / "last.pth")
    assert last.training is not None and last.training["epoch"] == 1


def test_run_folders_are_numbered(tmp_path: Path) -> None:
    config = TrainConfig(project=tmp_path / "deep" / "runs", name="exp")
    assert [make_run_folder(config).name for _ in range(3)] == ["exp", "exp2", "exp3"]
    assert (config.project / "exp3" / "weights").is_dir()
    shutil.rmtree(config.project / "exp2")
    assert make_run_folder(config).name == "exp2"
    assert make_run_folder(replace(config, name="other")).name == "other"


def test_runs_started_together_never_share_a_folder(tmp_path: Path) -> None:
    config = TrainConfig(project=tmp_path / "runs")
    with ThreadPoolExecutor(20) as pool:
        folders = list(pool.map(lambda _: make_run_folder(config), range(20)))
    assert {folder.name for folder in folders} == {"exp", *(f"exp{number}" for number in range(2, 21))}


def test_early_stopping_ends_the_run_with_a_report(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EarlyStopping, "on_epoch_end", lambda self, trainer, row, evaluation: stop(trainer))

    def stop(trainer: TrainerState) -> None:
        trainer.should_stop = trainer.epoch == 2

    result = run(epochs=9, report_interval=5)
    assert result.metrics["epoch"] == 2
    assert result.report is not None and result.report.parent.name == "epoch_002"


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (["s0,static"], "folder_name,type", "the split leaves val empty: 1 groups at val_ratio 0.2"),
        (["s0,static", "s1,dynamic"], "folder_name,type", "the split leaves val empty: 2 groups"),
        (["s0,static,g", "s1,dynamic,g"], "folder_name,type,group", "the split leaves val empty: 1 groups"),
        (
            ["s0,static,g,train", "s1,dynamic,g,val"],
            "folder_name,type,group,split",
            "group 'g' stands on two sides of the split: train (line 2) and val (line 3)",
        ),
        (["s0,static,val", "s1,dynamic,val"], "folder_name,type,split", "the split leaves train empty"),
        (["s0,calm"], "folder_name,type", "line 2: unknown type 'calm': known are static, dynamic"),
    ],
)
def test_data_that_cannot_be_split(data_root: Path, run: Train, rows: list[str], header: str, message: str) -> None:
    write_manifest(data_root, *rows, header=header)
    with pytest.raises(DataError) as caught:
        run(data_root=data_root)
    assert message in str(caught.value)
    assert not (data_root.parent / "runs").exists()  # no run is made for nothing


def test_no_data_root(tmp_path: Path, run: Train) -> None:
    with pytest.raises(DataError, match=r"none: no such folder: set data_root to the folder that holds data\.csv"):
        run(data_root=tmp_path / "none")


def test_sides_given_in_the_manifest_are_kept(data_root: Path, run: Train, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sides = ("val", "train", "train", "val", "test", "train")
    rows = [f"s{i},{kind},{side}" for i, (kind, side) in enumerate(zip(TYPES, sides, strict=True))]
    write_manifest(data_root, *rows, header="folder_name,type,split")
    run(data_root=data_root, epochs=1)
    assert any("6 training and 4 validation windows of 3 and 2 sequences" in message for message in caplog.messages)


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_one_class_only_is_said_and_training_is_not_lost(
    data_root: Path, run: Train, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    write_manifest(data_root, *(f"s{i},{kind}" for i in range(4)))
    result = run(data_root=data_root, epochs=1, report_interval=1)
    other = {"static": "dynamic", "dynamic": "static"}[kind]
    assert f"no training window of class {other}: the model cannot learn it" in caplog.messages
    assert f"validation holds only {kind} windows: AP and AUC are undefined, add the other" in caplog.messages
    assert load_checkpoint(result.best).digest
    assert result.report is not None and f"validation holds only {kind} windows" in result.report.read_text()
    assert "nan" not in (result.run_folder / "results.csv").read_text()


def test_sequences_that_cannot_be_used_are_left_out_by_name(data_root: Path, run: Train) -> None:
    shutil.rmtree(data_root / "s0")
    shutil.rmtree(data_root / "s1")
    (data_root / "s1").mkdir()
    (data_root / "s2" / "003.png").write_bytes(b"")
    result = run(data_root=data_root, epochs=1, val_ratio=0.4)
    text = "\n".join(result.left_out)
    assert len(result.left_out) == 3
    assert f"{data_root}/s0: no such file or folder" in text
    assert f"{data_root}/s1: no images in this folder" in text
    assert f"{data_root}/s2/003.png: empty file" in text


def test_no_usable_sequence_on_one_side(data_root: Path, run: Train) -> None:
    write_manifest(data_root, "s0,static,train", "s1,dynamic,train", "gone,static,val", header="folder_name,type,split")
    with pytest.raises(DataError, match=r"no usable sequence is left for validation: .*gone: no such file or folder"):
        run(data_root=data_root)


@pytest.mark.parametrize(("policy", "left_out"), [("skip", 1), ("repeat_last", 0)])
def test_short_sequences(data_root: Path, run: Train, policy: str, left_out: int) -> None:
    shutil.rmtree(data_root / "s0")
    write_sequence(data_root / "s0", "static", num_frames=3)
    with pytest.raises(DataError, match="s0: 3 consecutive frames, but a window needs 4: set short_sequences to skip"):
        run(data_root=data_root)
    result = run(data_root=data_root, epochs=1, short_sequences=policy)
    assert len(result.left_out) == left_out
    assert all("s0: 3 consecutive frames, but a window needs 4" in line for line in result.left_out)


@pytest.mark.parametrize("device", ["gpu9", "cuda:99", "cuda:x", "cpu:x", "warp"])
def test_a_device_that_is_not_there(run: Train, tmp_path: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=f"device '{device}' cannot be used: ") as caught:
        run(device=device)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainConfig(device="cpu")
    assert resolve_precision(replace(config, precision="32-true")) == "32-true"
    for supported, precision in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda answer=supported: answer)
        assert resolve_precision(config) == precision


def test_classes_weigh_alike_unless_told_otherwise(
    data_root: Path, run: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor | None] = []

    def note(self: ProgressLog, trainer: Any) -> None:
        seen.append(trainer.class_weights)

    monkeypatch.setattr(ProgressLog, "on_step_start", note)
    rows = [
        "s0,static,train",
        "s2,static,train",
        "s4,static,val",
        "s1,dynamic,train",
        "s3,dynamic,val",
        "s5,dynamic,val",
    ]
    write_manifest(data_root, *rows, header="folder_name,type,split")
    run(data_root=data_root, epochs=1)
    assert seen[0] is not None  # 4 static and 2 dynamic windows
    torch.testing.assert_close(seen[0], torch.tensor([6 / 8, 6 / 4]))
    seen.clear()
    run(data_root=data_root, epochs=1, class_weighting="none")
    assert seen[0] is None


def test_an_option_without_effect_warns(run: Train, caplog: pytest.LogCaptureFixture) -> None:
    run(epochs=1, positive_weight=3.0, hard_cell_weight=0.1, left_weight=2.0)
    for name in ("positive_weight", "hard_cell_weight", "left_weight"):
        assert f"{name} has no effect: no training sequence has masks" in caplog.messages
    assert not any("stem" in message for message in caplog.messages)
    run(epochs=1, stem="rgb", left_weight=2.0)
    assert "left_weight has no effect: stem rgb looks at no earlier frames" in caplog.messages


def test_three_classes_and_videos_in_place_of_folders(
    data_root: Path, run: Train, make_frames: MakeFrames, write_video: WriteVideo
) -> None:
    for name in ("s6", "s7"):
        write_video(data_root / f"{name}.mp4", make_frames(6))
    rows = [*(f"s{number},{kind}" for number, kind in enumerate(TYPES)), "s6.mp4,negative", "s7.mp4,negative"]
    write_manifest(data_root, *rows)
    result = run(data_root=data_root, classes=("static", "dynamic", "negative"), epochs=1)
    checkpoint = load_checkpoint(result.best)
    assert checkpoint.model.classes == ("static", "dynamic", "negative")
    assert not result.left_out
    (heatmap, *_) = Predictor(checkpoint, device="cpu")(data_root / "s6.mp4")
    assert len(heatmap.class_probabilities) == 3 and sum(heatmap.class_probabilities) == pytest.approx(1, abs=1e-5)


@pytest.fixture
def learnt(never_stopped: Train, tmp_path: Path) -> Path:
    """Weights of a network that is not the one by default, under a name of its own."""
    return Path(shutil.copy(never_stopped(epochs=1, lags=(1, 2), differences="both").best, tmp_path / "learnt.pth"))


def began(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """Fills with the weights before the first step: those that are trained, then the average."""
    seen: list[dict[str, torch.Tensor]] = []

    def note(self: ProgressLog, trainer: TrainerState) -> None:
        if not trainer.step:
            for model in (trainer.model, trainer.inference_model):
                seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})

    monkeypatch.setattr(ProgressLog, "on_step_start", note)
    return seen


def test_fine_tuning_begins_where_the_weights_are(
    run: Train, learnt: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    seen = began(monkeypatch)
    result = run(weights=str(learnt), epochs=1, threshold=0.3, seq_length=3, target_size=(64, 96))
    assert len(seen) == 2
    for weights in seen:
        for name, tensor in load_checkpoint(learnt).weights.items():
            assert torch.equal(weights[name], tensor), name
    best = load_checkpoint(result.best)
    assert best.model == load_checkpoint(learnt).model
    assert (best.threshold, best.seq_length, best.target_size) == (0.3, 3, (64, 96))
    assert not torch.equal(best.weights["encoder.0.weight"], seen[0]["encoder.0.weight"])
    recorded = yaml.safe_load((result.run_folder / "args.yaml").read_text())
    assert (recorded["weights"], recorded["lags"], recorded["differences"]) == (str(learnt), [1, 2], "both")
    assert any(message.startswith(f"first weights: {learnt} (") for message in caplog.messages)


def test_the_shipped_weights_are_fine_tuned_by_name(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = began(monkeypatch)
    result = run(weights="shipped", epochs=1)
    shipped = load_checkpoint(shipped_weights())
    assert torch.equal(seen[0][CONV_H], shipped.weights[CONV_H])
    assert load_checkpoint(result.best).model == shipped.model


def test_random_weights_without(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = began(monkeypatch)
    run(epochs=1)
    assert not torch.equal(seen[0][CONV_H], load_checkpoint(shipped_weights()).weights[CONV_H])


@pytest.mark.parametrize("auto", [False, True])
def test_fine_tuning_is_resumed_exactly_and_never_reads_the_weights_again(
    shared_root: Path, tmp_path: Path, learnt: Path, monkeypatch: pytest.MonkeyPatch, auto: bool
) -> None:
    config = settings_of(shared_root, tmp_path / "runs", weights=str(learnt), epochs=2)
    whole = train(replace(config, name="whole"))
    folder = stopped_run(lambda: (train_or_resume if auto else train)(config), monkeypatch, step=4)
    learnt.unlink()
    resumed = train_or_resume(config) if auto else resume(folder)
    assert resumed.run_folder == folder
    assert digests(resumed) == digests(whole)
    of_whole = (whole.run_folder / "args.yaml").read_text()
    assert (folder / "args.yaml").read_text() == of_whole.replace("name: whole", "name: exp")


def test_a_run_cannot_be_given_another_start(run: Train, learnt: Path, shared_root: Path, tmp_path: Path) -> None:
    tuned = run(weights=str(learnt), epochs=1)
    plain = run(name="plain", epochs=1)
    for folder, flags, began_from, asked in (
        (tuned.run_folder, {"weights": "shipped"}, str(learnt), "shipped"),
        (tuned.run_folder, {"weights": None}, str(learnt), "random weights"),
        (plain.run_folder, {"weights": "shipped"}, "random weights", "shipped"),
    ):
        message = f"{folder}: has begun from {began_from}, asked for {asked}; start a new run"
        with pytest.raises(TrainingError) as caught:
            resume(folder, {"epochs": 2, **flags})
        assert str(caught.value) == message
        settings = {"name": folder.name, "epochs": 2, **flags}
        with pytest.raises(TrainingError) as caught:
            train_or_resume(settings_of(shared_root, tmp_path / "runs", **settings))
        assert str(caught.value) == message
    assert resume(tuned.run_folder, {"epochs": 2, "weights": str(learnt)}).metrics["epoch"] == 2


def test_a_run_cannot_be_given_another_optimizer(run: Train) -> None:
    plain = run(epochs=1)
    message = f"{plain.run_folder}: has trained with adam, asked for muon; start a new run"
    with pytest.raises(TrainingError) as caught:
        resume(plain.run_folder, {"epochs": 2, "optimizer": "muon"})
    assert str(caught.value) == message


def test_what_cannot_be_fine_tuned_leaves_no_run(run: Train, learnt: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"stem is set to rgb, but .*learnt\.pth was trained with motion"):
        run(weights=str(learnt), stem="rgb")
    with pytest.raises(CheckpointError, match=r"none\.pth: no such weights file"):
        run(weights=str(tmp_path / "none.pth"))
    learnt.write_bytes(learnt.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"learnt\.pth: .*damaged or altered"):
        run(weights=str(learnt))
    assert not (tmp_path / "runs").exists()


def test_fine_tuning_for_other_classes(data_root: Path, run: Train, learnt: Path) -> None:
    write_manifest(data_root, *(f"s{n},{'fire' if kind == 'dynamic' else 'calm'}" for n, kind in enumerate(TYPES)))
    result = run(data_root=data_root, weights=str(learnt), classes=("calm", "fire"), epochs=1)
    assert load_checkpoint(result.best).model.classes == ("calm", "fire")
    assert resume(result.run_folder, {"epochs": 2}).metrics["epoch"] == 2
