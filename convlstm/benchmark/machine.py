"""What the machine is, and how fast it multiplies matrices: what other rates are compared with."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from convlstm.inference.engines.torch import has_bf16

MATRIX_SIDES = {"cpu": (2048, 4096), "cuda": (4096, 8192)}
SMALL_SIDES = (512,)
MATRIX_REPEATS = 3


def describe_machine(*, is_quick: bool = False) -> dict[str, Any]:
    """Names, threads, and the rate of matrix products by precision; `is_quick` multiplies small ones, which tell less.

    The rate is that of torch in this process: with fewer threads (OMP_NUM_THREADS) it is lower.
    """
    # Convolutions on GPUs may round float32 to TF32: what they are measured against must do the same.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    device = best_device()
    sides = SMALL_SIDES if is_quick else MATRIX_SIDES[device.type]
    return {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "matmul_tflops": {
            name: matmul_tflops(dtype, sides)
            for name, dtype in (("32-true", torch.float32), ("bf16-mixed", torch.bfloat16))
            if dtype == torch.float32 or has_bf16(device.type)  # emulated, one product takes minutes
        },
    }


def cpu_name() -> str:
    """As the system calls it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def matmul_tflops(dtype: torch.dtype, sides: tuple[int, ...]) -> float:
    """Best TFLOP/s over some products of square matrices."""
    device = best_device()
    rates = []
    for side in sides:
        matrix = torch.randn(side, side, device=device).to(dtype)
        rates += [2 * side**3 / seconds_of(torch.mm, matrix, matrix) for _ in range(MATRIX_REPEATS)]
    return max(rates) / 1e12


def seconds_of(work: Callable[..., object], *arguments: Any) -> float:
    """Wall-clock time of one call, with what it started on a GPU."""
    _synchronize()
    started = time.perf_counter()
    work(*arguments)
    _synchronize()
    return time.perf_counter() - started


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def best_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
