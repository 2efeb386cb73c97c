import errno
from pathlib import Path

import pytest
import torch

from convlstm.training.failures import resumable_failure

pytestmark = pytest.mark.pure

GO_ON = "go on with --resume runs/exp"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"),
            f"out of memory at epoch 2, step 7: {GO_ON} --accumulate 2 (or more), or with a lower batch_size",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
            f"out of memory at epoch 2, step 7: {GO_ON} --accumulate 2 (or more), or with a lower batch_size",
        ),
        (
            MemoryError(),
            f"out of memory at epoch 2, step 7: {GO_ON} --accumulate 2 (or more), or with a lower batch_size",
        ),
        (
            RuntimeError("DataLoader worker (pid 812) is killed by signal: Killed. "),
            "data loading process 812 died at epoch 2, step 7: the system may have run out of memory: "
            f"set fewer num_workers; {GO_ON}",
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly"),
            "data loading process 12, 13 died at epoch 2, step 7: the system may have run out of memory: "
            f"set fewer num_workers; {GO_ON}",
        ),
        (
            RuntimeError("DataLoader worker (pid 9) is killed by signal: Bus error. It is possible that dataloader's"),
            "data loading process 9 died at epoch 2, step 7: /dev/shm is too small: enlarge it "
            f"(docker: --shm-size 8g), or set num_workers to 0; {GO_ON}",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "last.pth"),
            "the disk is full at epoch 2, step 7 ([Errno 28] No space left on device: 'last.pth'): "
            f"free some space, then {GO_ON}",
        ),
        (
            RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:40392"),
            f"lost another training process at epoch 2, step 7: see its messages; {GO_ON}",
        ),
    ],
)
def test_what_the_machine_does_gets_words(error: Exception, message: str) -> None:
    assert str(resumable_failure(error, Path("runs/exp"), epoch=2, step=7)) == message


@pytest.mark.parametrize(
    "error", [RuntimeError("shape mismatch"), OSError(errno.EACCES, "Permission denied", "last.pth"), RuntimeError()]
)
def test_mistakes_stay_what_they_are(error: Exception) -> None:
    assert resumable_failure(error, Path("runs/exp"), epoch=1, step=1) is None
