"""Devices, precision and processes, through Lightning Fabric."""

import atexit
import logging
import os
from typing import Any

import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from convlstm.config import TrainConfig
from convlstm.errors import ConfigError
from convlstm.inference.engines.torch import has_bf16


def start_fabric(config: TrainConfig) -> Fabric:
    """A Fabric whose processes are all up.

    Where torchrun, Ray or another launcher has started the processes and says so in the environment, its word holds;
    else `devices` of them are started on each of `num_nodes` machines, by Slurm where that runs. All but the first log
    errors only. Raises ConfigError for devices that are not there.
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
            plugins=[TorchElasticEnvironment()] if is_launched() else None,
        )
        _join_after_restart(fabric.device)
        fabric.launch()
    except (ValueError, RuntimeError, ImportError) as error:
        what = f"device {config.device!r}" + ("" if is_one else f" with {devices} devices on {num_nodes} nodes")
        raise ConfigError(f"{what} cannot be used: {' '.join(str(error).split())}") from error
    if not fabric.is_global_zero:
        logging.getLogger("convlstm").setLevel(logging.ERROR)
    return fabric


def _join_after_restart(device: torch.device) -> None:
    """Join the other processes under names of this start.

    When torchrun starts processes again it keeps its store, and with it the addresses of those that are gone (torch
    2.13): who reads them waits for a dead port. Only on one machine do all processes know which start this is.
    """
    start, size = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), os.environ.get("WORLD_SIZE", "1")
    if start == "0" or os.environ.get("LOCAL_WORLD_SIZE") != size:
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store, rank, _ = next(iter(rendezvous("env://")))
    backend = "nccl" if device.type == "cuda" else "gloo"
    names = PrefixStore(f"start {start}", store)
    torch.distributed.init_process_group(backend, store=names, rank=rank, world_size=int(size))


def leave_group_at_exit() -> None:
    """Part from the other processes in order when this one ends; for when all is done.

    Left to the end of the process, gloo's threads abort it now and then ("terminate called without an active
    exception"); Fabric sees to NCCL alone. Not after an error: others may be gone, and parting could wait for them.
    """
    atexit.register(_leave_group)


def _leave_group() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def is_launched() -> bool:
    """Whether each process has been told its place, in the way that torchrun began and most launchers follow."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))


def num_processes(config: TrainConfig) -> tuple[int, int]:
    """Processes per machine, and machines: what a launcher has started, else as configured."""
    if not is_launched():
        return config.devices, config.num_nodes
    world_size = int(os.environ["WORLD_SIZE"])
    per_node = int(os.environ.get("LOCAL_WORLD_SIZE", world_size))
    return per_node, world_size // per_node


def resolve_precision(config: TrainConfig) -> Any:
    """`auto` is bf16 where the hardware multiplies in it, float32 elsewhere."""
    if config.precision != "auto":
        return config.precision
    on_gpu = config.device.startswith(("cuda", "auto")) and torch.cuda.is_available()
    on_cpu = config.device == "cpu" or not torch.backends.mps.is_available()
    return "bf16-mixed" if has_bf16("cuda" if on_gpu else "cpu" if on_cpu else "mps") else "32-true"
