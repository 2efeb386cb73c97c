"""Short training runs that can be killed: what the fault scripts beside this file share.

The first run takes place in this process, so that everything is imported; each life of a run is a fork of that, and
starts at once.
"""

import os
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils.tensorboard
import yaml
from PIL import Image

from convlstm.cli import main
from convlstm.errors import ConvLSTMError
from convlstm.models.checkpoint import Checkpoint, load_checkpoint
from convlstm.training.run_folder import last_checkpoint
from convlstm.utils.callbacks import metrics_log

vars(metrics_log)["training_curves"] = lambda history: b"picture"  # drawing takes longer than these epochs

SETTINGS: dict[str, Any] = {
    "seq_length": 4,
    "stride": 2,
    "target_size": [64, 64],
    "batch_size": 3,
    "epochs": 3,
    "lr": 3e-3,
    "windows_per_sample": 2,
    "num_workers": 0,
    "device": "cpu",
    "precision": "32-true",
    "report_interval": 0,
    "tensorboard": False,
    "checkpoint_steps": 1,
}


def write_data(root: Path, num_sequences: int = 6) -> Path:
    """Sequences of six frames, in every other one a square moves."""
    rows = ["folder_name,type"]
    for number in range(num_sequences):
        folder = root / f"s{number}"
        folder.mkdir(parents=True)
        for index in range(6):
            frame = np.full((64, 64, 3), 60 + 20 * (number % 6), dtype=np.uint8)
            left = 8 * index if number % 2 else 16
            frame[20:36, left : left + 16] = 255
            Image.fromarray(frame).save(folder / f"{index}.png")
        rows.append(f"s{number},{'dynamic' if number % 2 else 'static'}")
    (root / "data.csv").write_text("\n".join(rows) + "\n")
    return root


def write_config(folder: Path, data: Path, **settings: Any) -> Path:
    values = {**SETTINGS, "data_root": str(data), "project": str(folder / "runs"), **settings}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def start(arguments: list[str], log: Path, wait_for: int | None = None) -> int:
    """Fork; the child waits for a byte from `wait_for`, the end of a pipe, runs the command line and exits."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        torch.set_num_threads(1)
        if wait_for is not None:
            os.read(wait_for, 1)
        code = main(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    except BaseException:  # the command line must not raise: 99 is reported as a failure
        traceback.print_exc()
        os._exit(99)


def never_harmed(config: Path) -> tuple[str, str]:
    """The result of a whole run, made in this process."""
    torch.set_num_threads(1)
    assert main(["train", "--config", str(config), "--name", "whole"]) == 0
    return result_of(config.parent / "runs" / "whole")


def finish(child: int) -> int:
    """Exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def train(config: Path, log: Path, *flags: str) -> int:
    return finish(start(["train", "--config", str(config), "--resume", "auto", *flags], log))


def result_of(run: Path) -> tuple[str, str]:
    """What a finished run must agree on: the digest of best.pth, and that of the trained weights."""
    last = load_checkpoint(run / "weights" / "last.pth")
    assert last.training is not None
    weights = [tensor.double().sum().item() for tensor in last.training["weights"].values()]
    return load_checkpoint(run / "weights" / "best.pth").digest, repr((last.training["step"], weights))


def resumable(run: Path) -> Checkpoint | None:
    """What a resumed run would go on from; None where there is nothing that loads."""
    try:
        return last_checkpoint(run)
    except ConvLSTMError:
        return None
