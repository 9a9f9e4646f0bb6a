"""Devices, processes and seeds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

import torch
from lightning_fabric import Fabric
from torch import nn

from knee_i2m2.errors import ConfigError

__all__ = ["PRECISIONS", "launch", "seed_all", "synchronised"]

PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed"}
"""Our names of Fabric's precisions; no gradient scaler is ever needed."""


def launch(device: str = "auto", precision: str = "32", threads: int | None = None) -> Fabric:
    """Returns Fabric, launched: one process here, or as many as `torchrun` or Slurm started.

    Args:
        device: `auto` (CUDA where present), `cpu`, `cuda`, or one card as `cuda:1`.
        precision: A name in `PRECISIONS`.
        threads: CPU threads of torch; the same number gives the same bits. Its own choice by default.

    Raises:
        ConfigError: The device is not there, or bf16 would be emulated.
    """
    _check(device, precision, threads)
    if threads is not None:
        torch.set_num_threads(threads)
    accelerator, _, card = device.partition(":")
    accelerator = ("cuda" if torch.cuda.is_available() else "cpu") if accelerator == "auto" else accelerator
    processes, nodes = _world(os.environ)
    devices = [int(card)] if card else processes
    fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, precision=PRECISIONS[precision])
    fabric.launch()
    return fabric


def synchronised(network: nn.Module, processes: int, device: torch.device) -> nn.Module:
    """Returns the network, its batch normalisation over the batches of all processes together.

    torch does so on CUDA alone. On CPUs each process normalises by its own batch, and the running statistics that are
    saved are those of the first process: train batch-normalised networks there with one process.
    """
    if processes == 1 or device.type != "cuda":
        return network
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)


def _world(environment: Mapping[str, str]) -> tuple[int, int]:
    """Returns processes on each node, and nodes, as `torchrun` or Slurm tells them; (1, 1) without either."""
    if "LOCAL_WORLD_SIZE" in environment:
        local = int(environment["LOCAL_WORLD_SIZE"])
        return local, int(environment["WORLD_SIZE"]) // local
    if "SLURM_NTASKS_PER_NODE" in environment:
        return int(environment["SLURM_NTASKS_PER_NODE"]), int(environment.get("SLURM_NNODES", "1"))
    return 1, 1


def _check(device: str, precision: str, threads: int | None) -> None:
    """Raises ConfigError for what torch would refuse with a traceback, or do too slowly."""
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads {threads}: give at least 1")
    accelerator, colon, card = device.partition(":")
    if accelerator not in ("auto", "cpu", "cuda") or (colon and not (accelerator == "cuda" and card.isdigit())):
        raise ConfigError(f"--device {device}: choose auto, cpu, cuda or one card such as cuda:0")
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"--device {device}: torch finds no CUDA device here; use --device cpu or auto")
    if card and int(card) >= torch.cuda.device_count():
        raise ConfigError(f"--device {device}: there are only {torch.cuda.device_count()} cards, counted from cuda:0")
    if precision not in PRECISIONS:
        raise ConfigError(f"--precision {precision}: choose {' or '.join(PRECISIONS)}")
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available())
    if precision == "bf16" and on_cpu and not torch.cpu._is_avx512_bf16_supported():
        raise ConfigError("--precision bf16: this CPU has no bf16 hardware and would be 15 times slower; use 32")


def seed_all(*names: object) -> None:
    """Seeds torch's global generators from names, such as a seed, a rival and an epoch."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:7], "big"))
