"""Small runs of prediction files whose truth is drawn, for the tests of evaluation and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from knee_i2m2 import predictions
from knee_i2m2.clusters import ClusterRecord, cluster_hash
from knee_i2m2.types import Rival

TARGETS = ("acl", "meniscus")
EXPERTS = {
    "magnitude": ("magnitude",),
    "i2m2": ("magnitude", "phase", "magnitude+phase"),
    "ideal": ("ideal",),
}
STRENGTH = {"magnitude": 0.5, "phase": 0.7, "magnitude+phase": 0.9, "ideal": 1.2}


def index(split: str, patients: int = 12, slices: int = 3) -> pd.DataFrame:
    """Returns two series of `slices` slices a patient."""
    volume = np.repeat(np.arange(2 * patients), slices)
    within = np.tile(np.arange(slices), 2 * patients)
    return pd.DataFrame(
        {
            "sample": [f"{split}{v:03d}:{k}" for v, k in zip(volume, within, strict=True)],
            "series": [f"{split}{v:03d}" for v in volume],
            "cluster": [f"{split}p{v // 2:03d}" for v in volume],
            "position": within / max(slices - 1, 1),
            "sequence": np.where(volume % 2, "PDFS", "PD"),
        }
    )


def prediction_table(
    asked: pd.DataFrame,
    truth: np.ndarray,
    experts: Sequence[str],
    generator: np.random.Generator,
    targets: tuple[str, ...] = TARGETS,
    classes: int = 2,
) -> pd.DataFrame:
    """Returns the answers of a product of experts that see the truth through noise."""
    shown = np.eye(classes)[truth]
    opinions = {e: STRENGTH[e] * shown + generator.standard_normal(shown.shape) * 0.6 for e in experts}
    logp = log_softmax(sum(opinions.values()), axis=-1)
    identity = Rival(tuple(experts), warm=len(experts) > 1)
    return predictions.table(asked, targets, truth, logp, opinions, np.zeros(classes), identity)


def make_run(
    run: Path,
    rivals: Mapping[str, Sequence[str]] = EXPERTS,
    seeds: int = 2,
    targets: tuple[str, ...] = TARGETS,
    patients: int = 12,
) -> Path:
    """Writes val and test predictions of the rivals, `ideal` of one seed, and the clusters of all splits."""
    record = pd.concat([index(split, patients).assign(split=split) for split in ("train", "val", "test")])
    run.mkdir(parents=True, exist_ok=True)
    ClusterRecord.of(record).write(run)
    for number, split in enumerate(("val", "test")):
        asked = index(split, patients)
        truth = np.random.default_rng(number).integers(2, size=(len(asked), len(targets)))
        for place, (rival, experts) in enumerate(rivals.items()):
            for seed in range(1 if rival == "ideal" else seeds):
                generator = np.random.default_rng([number, place, seed])
                table = prediction_table(asked, truth, experts, generator, targets)
                predictions.write(table, run / "predictions" / rival / str(seed) / f"{split}.parquet")
    return run


def leak_into_train(run: Path, clusters: int) -> None:
    """Records some clusters of test in train as well."""
    record = ClusterRecord.read(run)
    planted = [cluster_hash(f"testp{number:03d}") for number in range(clusters)]
    ClusterRecord({**record.splits, "train": record.splits["train"].union(planted)}).write(run)


def make_ten_classes(run: Path, rivals: Sequence[str] = ("i2m2", "magnitude")) -> Path:
    """Writes val and test predictions of ten classes of samples without series, as AV-MNIST's are."""
    random = np.random.default_rng(0)
    for split in ("val", "test"):
        asked = index(split)[["sample", "series", "cluster"]].assign(series="-")
        truth = random.integers(10, size=(len(asked), 1))
        for rival in rivals:
            table = prediction_table(asked, truth, EXPERTS[rival], random, targets=("label",), classes=10)
            predictions.write(table, run / "predictions" / rival / "0" / f"{split}.parquet")
    return run
