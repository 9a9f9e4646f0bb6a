"""AV-MNIST with a planted interaction: every rival and method, and the observer that reads both digits.

Command::

    make study-interaction      (KNEE_I2M2_DATA names the folder with mnist, fsdd and noise; hours of one core)

Of the five digit pairs {2k, 2k + 1} a share rho are XOR pairs (`prepare avmnist --interaction`); 10,000 / 2,500 / 3,000
pairs, -10 to 5 dB, 5 components. Rivals and controls are trained with every seed, methods with the first; a run goes on
where it stopped. Written to pipelines/results, in shares of the test pairs, with intervals over recordings:

==========================  ======================================================================================
interaction.csv             accuracy of every rival: by seed, and the mean over its seeds with its interval
interaction_compared.csv    each rival minus `intra2`, paired, with its interval and p
==========================  ======================================================================================

`ideal` sums over the hidden digits a and b of a pair what calibrated networks on them say,
p(y | x, x') proportional to sum p(y, a, b) p(a | x) p(b | x') / (p(a) p(b)): the ceiling for these networks.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from knee_i2m2 import predictions
from knee_i2m2.data.derived import Derived
from knee_i2m2.data.prepared import Prepared
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.experts.avmnist import avmnist_expert
from knee_i2m2.experts.experts import Separate
from knee_i2m2.fusion.product import product_of_experts
from knee_i2m2.methods.likelihood import Likelihood
from knee_i2m2.recipes.avmnist import AVMNIST, RIVALS, STANDARD, PrepareAVMNIST, prepare, train
from knee_i2m2.training.fit import Answers
from knee_i2m2.training.folder import RunFolder
from knee_i2m2.training.learn import fit, predict
from knee_i2m2.training.session import open_samples, prediction_table
from knee_i2m2.types import Batch, Rival
from pipelines.studies.study import write

__all__ = ["compared", "ideal_log_p", "joint_probability", "measured"]

RHO, BASELINE = 0.4, "intra2"
OURS = ("expert_losses", "shared_trunk")
_HEADLINE = "metric == 'accuracy' and split == 'test' and subgroup == 'all' and target == 'label'"
SIZES = {"train": 10_000, "val": 2_500, "test": 3_000}


def joint_probability(rho: float) -> np.ndarray:
    """Returns p(label, digit shown, digit said), which `prepare avmnist --interaction` draws from."""
    p = np.zeros((10, 10, 10))
    for k, s, z in np.ndindex(5, 2, 2):
        shown, said = (z, z ^ s) if k < round(5 * rho) else (s, s)
        p[2 * k + s, 2 * k + shown, 2 * k + said] += 1 / 20
    return p


def ideal_log_p(log_a: np.ndarray, log_b: np.ndarray, rho: float) -> np.ndarray:
    """Returns log p of the label, (samples, 10), from log p of the digits shown and said."""
    p = joint_probability(rho)
    with np.errstate(divide="ignore"):
        ratio = np.log(p) - np.log(p.sum(axis=(0, 2)))[None, :, None] - np.log(p.sum(axis=(0, 1)))[None, None, :]
    both = log_a[:, None, :, None] + log_b[:, None, None, :] + ratio
    return log_softmax(logsumexp(both, axis=(2, 3)), axis=-1)


@dataclass(frozen=True)
class Hidden(Derived):
    """The prepared pairs, asked for a digit that is shown or said."""

    digit: str

    @property
    def y(self) -> torch.Tensor:
        """The hidden digits."""
        return torch.from_numpy(self.index[self.digit].to_numpy(dtype=np.int64, copy=True))

    def __getitem__(self, positions: list[int]) -> Batch:
        return self.samples[positions]._replace(y=self.y[positions])


def _read(samples: dict[str, Prepared], modality: str) -> dict[str, np.ndarray]:
    """Returns calibrated log p of the digit in a modality, for val and test."""
    asked = {split: Hidden(part, f"{modality}_digit") for split, part in samples.items()}
    method = Likelihood(Separate({modality: avmnist_expert(modality)}), product_of_experts, torch.ones(10))
    fit(method, asked["train"], asked["val"], epochs=10, lr=3e-3, batch_size=64, device="cpu")
    logp = {split: predict(method, asked[split]).logp for split in ("val", "test")}
    y = asked["val"].y.numpy()

    def loss(log_slope: float) -> float:
        return -log_softmax(np.exp(log_slope) * logp["val"], axis=-1)[np.arange(len(y)), y].mean()

    slope = np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x)
    return {split: log_softmax(slope * values, axis=-1) for split, values in logp.items()}


def write_ideal(data: Path, run: RunFolder, rho: float) -> None:
    """Writes the observer's answers as a rival of the run, unless they are there."""
    if run.predictions("ideal", 0, "test").is_file():
        return
    samples = open_samples(data, "avmnist")
    of_image, of_audio = (_read(samples, modality) for modality in ("image", "audio"))
    for split in ("val", "test"):
        logp, part = ideal_log_p(of_image[split], of_audio[split], rho), samples[split]
        answers = Answers(logp, {"ideal": logp}, np.zeros(10), part.y.numpy(), np.arange(len(part)))
        table = prediction_table(answers, part, Rival(("ideal",), "ideal_observer"))
        predictions.write(table, run.predictions("ideal", 0, split))


def measured(run: Path) -> pd.DataFrame:
    """Returns rival, seed, value, low, high of the test accuracies."""
    rows = pd.read_csv(run / "evaluation.csv").query(_HEADLINE)
    return rows[["rival", "seed", "value", "low", "high"]]


def compared(run: Path) -> pd.DataFrame:
    """Returns rival, value, low, high, p and Holm's p of the differences to the baseline."""
    rows = pd.read_csv(run / "comparisons.csv").query(f"{_HEADLINE} and seed == 'mean'")
    return rows[["rival", "against", "value", "low", "high", "p", "p_holm"]]


def study(folder: Path, rho: float = RHO, seeds: tuple[int, ...] = (0, 1, 2), methods: bool = True) -> None:
    """Prepares, trains and evaluates in `folder`, which keeps data and run."""
    inputs = Path(os.environ.get("KNEE_I2M2_DATA", "../shared/data"))
    given = {"mnist": inputs / "mnist", "fsdd": inputs / "fsdd/recordings.zip", "noise": inputs / "noise"}
    data, run = folder / "data", folder / "run"
    prepare(PrepareAVMNIST(data, **given, **SIZES, snr=(-10.0, 5.0), components=5, interaction=rho))
    common = {"data": data, "out": run, "threads": 1, "device": "cpu"}
    train(AVMNIST(**common, rivals=[*STANDARD, *OURS], seeds=list(seeds)))
    write_ideal(data, RunFolder(run), rho)
    if methods:
        train(AVMNIST(**common, rivals=[name for name in RIVALS if name not in STANDARD], seeds=[seeds[0]]))
    evaluate(run, reference=BASELINE)
    write("interaction", measured(run))
    write("interaction_compared", compared(run))


if __name__ == "__main__":
    study(Path(sys.argv[1] if len(sys.argv) > 1 else mkdtemp(prefix="study-interaction-")))
