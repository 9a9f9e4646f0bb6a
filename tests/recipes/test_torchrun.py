"""The knee recipe under torchrun: two processes, one run folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from knee_i2m2 import predictions
from knee_i2m2.data.prepared import Prepared
from knee_i2m2.recipes.knee import PrepareKnee, prepare
from knee_i2m2.sources.phantom import Phantom, make_phantom

pytestmark = pytest.mark.slow


def test_two_processes_train_a_product_and_answer_every_sample_once(tmp_path: Path) -> None:
    make_phantom(Phantom(volumes=40, slices=4, matrix=32), tmp_path / "phantom")
    prepare(tmp_path / "phantom", PrepareKnee(annotations=tmp_path / "phantom" / "knee.csv", out=tmp_path / "data"))
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "knee_i2m2"]
    options = [
        "train",
        "knee",
        "--data",
        "data",
        "--out",
        "run",
        "--network",
        "small",
        "--epochs",
        "1",
        "--fine-tune-epochs",
        "1",
    ]
    rivals = ["--rivals", "frozen", "i2m2", "--device", "cpu", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, *launch, *options, *rivals],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for rival in ("frozen", "i2m2"):
        frame = predictions.read(tmp_path / "run" / "predictions" / rival / "0" / "test.parquet")
        assert list(dict.fromkeys(frame["sample"])) == list(Prepared.open(tmp_path / "data", "test").index["sample"])
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert sum('"finished"' in line for line in lines) == 5  # three experts, frozen, i2m2: each once
