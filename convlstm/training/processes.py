"""Devices, precision and processes, through Lightning Fabric."""

import logging
import os
from typing import Any

import torch
from lightning_fabric import Fabric

from convlstm.config import TrainConfig
from convlstm.errors import ConfigError


def start_fabric(config: TrainConfig) -> Fabric:
    """A Fabric whose processes are all up.

    Under torchrun the number of processes is what torchrun says; else `devices` of them are started on each of
    `num_nodes` machines, by Slurm where it runs there. Processes but the first log errors only. Raises ConfigError for
    devices that are not there.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # importing it has raised the level
    accelerator, _, index = config.device.partition(":")
    devices, num_nodes = num_processes(config)
    is_one = devices * num_nodes == 1
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=[int(index)] if index else devices,
            num_nodes=num_nodes,
            strategy="auto" if is_one else "ddp",
            precision=resolve_precision(config),
        )
        fabric.launch()
    except (ValueError, RuntimeError, ImportError) as error:
        what = f"device {config.device!r}" + ("" if is_one else f" with {devices} devices on {num_nodes} nodes")
        raise ConfigError(f"{what} cannot be used: {' '.join(str(error).split())}") from error
    if not fabric.is_global_zero:
        logging.getLogger("convlstm").setLevel(logging.ERROR)
    return fabric


def num_processes(config: TrainConfig) -> tuple[int, int]:
    """Processes per machine, and machines: what torchrun has started, else as configured."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return config.devices, config.num_nodes
    world_size, per_node = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    return per_node, world_size // per_node


def resolve_precision(config: TrainConfig) -> Any:
    """`auto` is bf16 where the hardware multiplies in it, float32 elsewhere."""
    if config.precision != "auto":
        return config.precision
    on_gpu = config.device.startswith(("cuda", "auto")) and torch.cuda.is_available()
    if on_gpu:
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    on_cpu = config.device == "cpu" or not torch.backends.mps.is_available()
    return "bf16-mixed" if on_cpu and torch.ops.mkldnn._is_mkldnn_bf16_supported() else "32-true"
