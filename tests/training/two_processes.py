"""One of two processes that train the tiny product; run by test_runner.py."""

from __future__ import annotations

import sys
from pathlib import Path

import shared_experts
import tiny
import torch
from lightning_fabric import Fabric

from knee_i2m2.methods import METHODS
from knee_i2m2.training.batches import InOrder, loader
from knee_i2m2.training.fit import predict
from knee_i2m2.training.runner import launch


def with_hooks(name: str, out: Path, fabric: Fabric) -> dict[str, torch.Tensor]:
    """Returns a method's state after 20 steps, each on another half of the batch in either process."""
    method = shared_experts.method(METHODS[name], METHODS[name].own_experts(("a", "b")))
    options = {"epochs": 5, "samples": 64, "batch_size": 8, "fabric": fabric}
    tiny.learn(out / name, method, **options)
    return tiny.state(method)


def main(out: Path) -> None:
    fabric: Fabric = launch("cpu", threads=1)
    assert fabric.world_size == 2
    method, reports = tiny.product(random=False), []
    options = {"epochs": 3, "samples": 32, "batch_size": 8, "report": reports.append, "fabric": fabric}
    method, history = tiny.learn(out / "run", method, **options)
    key = predict(method, loader(tiny.Samples(20, 2), InOrder(20, 8))).key.tolist()
    done = {"state": tiny.state(method), "scores": [e.score for e in history], "reports": len(reports), "key": key}
    done["methods"] = {name: with_hooks(name, out, fabric) for name in METHODS if METHODS[name].fine_tuned}
    torch.save(done, out / f"{fabric.global_rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
