"""Failures of the machine, told from mistakes in the code: what happened, and what to do about it."""

import errno
import re
from pathlib import Path

import torch

from convlstm.errors import TrainingError

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")
_WORKER = re.compile(r"DataLoader worker \(pid\(?s?\)? ?([\d, ]+)\)")
_LOST_PEER = ("connection closed by peer", "connection reset by peer", "broken pipe", "socket timeout")


def resumable_failure(error: BaseException, run_folder: Path, *, epoch: int, step: int) -> TrainingError | None:
    """An error with words for users where the machine failed and the training itself is sound; else None."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    place = f"at epoch {epoch}, step {step}"
    go_on = f"go on with --resume {run_folder}"
    if isinstance(error, OSError):
        return TrainingError(f"the disk is full {place} ({text}): free some space, then {go_on}")
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in text.lower() for word in _OUT_OF_MEMORY):
        return TrainingError(f"out of memory {place}: {go_on} --accumulate 2 (or more), or with a lower batch_size")
    if match := _WORKER.search(text):
        if "Bus error" in text:
            remedy = "/dev/shm is too small: enlarge it (docker: --shm-size 8g), or set num_workers to 0"
        else:
            remedy = "the system may have run out of memory: set fewer num_workers"
        return TrainingError(f"data loading process {match[1].strip()} died {place}: {remedy}; {go_on}")
    if any(word in text.lower() for word in _LOST_PEER):
        return TrainingError(f"lost another training process {place}: see its messages; {go_on}")
    return None
