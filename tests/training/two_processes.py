"""One of two processes that train the tiny product; run by test_runner.py."""

from __future__ import annotations

import sys
from pathlib import Path

import tiny
import torch
from lightning_fabric import Fabric

from knee_i2m2.training.batches import InOrder, loader
from knee_i2m2.training.fit import predict
from knee_i2m2.training.runner import launch


def main(out: Path) -> None:
    fabric: Fabric = launch("cpu", threads=1)
    assert fabric.world_size == 2
    method, reports = tiny.product(random=False), []
    options = {"epochs": 3, "samples": 32, "batch_size": 8, "report": reports.append, "fabric": fabric}
    method, history = tiny.learn(out / "run", method, **options)
    key = predict(method, loader(tiny.Samples(20, 2), InOrder(20, 8))).key.tolist()
    done = {"state": tiny.state(method), "scores": [e.score for e in history], "reports": len(reports), "key": key}
    torch.save(done, out / f"{fabric.global_rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
