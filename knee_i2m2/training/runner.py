"""Devices, processes and seeds."""

from __future__ import annotations

import hashlib
import os

import torch
from lightning_fabric import Fabric

from knee_i2m2.errors import ConfigError

__all__ = ["PRECISIONS", "launch", "seed_all"]

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
    if threads is not None:
        torch.set_num_threads(threads)
    accelerator, _, card = device.partition(":")
    accelerator = ("cuda" if torch.cuda.is_available() else "cpu") if accelerator == "auto" else accelerator
    _check(accelerator, card, precision)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("SLURM_NTASKS_PER_NODE", "1")))
    nodes = int(os.environ.get("WORLD_SIZE", processes)) // processes
    devices = [int(card)] if card else processes
    fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, precision=PRECISIONS[precision])
    fabric.launch()
    return fabric


def _check(accelerator: str, card: str, precision: str) -> None:
    if accelerator not in ("cpu", "cuda") or not (card.isdigit() or not card):
        raise ConfigError(f"--device {accelerator}: choose auto, cpu, cuda or one card such as cuda:0")
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch finds no CUDA device here; use --device cpu or auto")
    if precision not in PRECISIONS:
        raise ConfigError(f"--precision {precision}: choose {' or '.join(PRECISIONS)}")
    if precision == "bf16" and accelerator == "cpu" and not torch.cpu._is_avx512_bf16_supported():
        raise ConfigError("--precision bf16: this CPU has no bf16 hardware and would be 15 times slower; use 32")


def seed_all(*names: object) -> None:
    """Seeds torch's global generators from names, such as a seed, a rival and an epoch."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:7], "big"))
