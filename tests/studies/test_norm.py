"""The study of norms repeats itself to the bit, and its published table is its stored one."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from knee_i2m2.data.prepared import Prepared
from knee_i2m2.types import Task

PIPELINES = Path(__file__).parents[2] / "pipelines"
STUDY = runpy.run_path(str(PIPELINES / "studies" / "norm.py"))


@pytest.fixture(scope="module")
def samples() -> Prepared:
    """48 slices of 16 x 16 whose magnitude is brighter where the first target is positive."""
    torch.manual_seed(0)
    index = pd.DataFrame({"abnormal": [0, 1] * 24, "acl": [0, 0, 1, 1] * 12})
    arrays = {name: torch.rand(48, 1, 16, 16) for name in ("magnitude", "phase")}
    arrays["magnitude"][1::2] += 1
    modalities = {name: {} for name in arrays}
    return Prepared(index, Task("knee", ("abnormal", "acl"), 2), arrays, modalities, index.index.to_numpy())


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_a_run_repeats_itself_and_learns_what_is_easy(samples: Prepared, norm: str) -> None:
    first, again = (STUDY["areas"](STUDY["trained"](norm, 0, 15, 0.25, samples), samples) for _ in range(2))
    assert first == again
    assert first[0] > 0.9


def test_both_norms_start_from_the_same_convolutions(samples: Prepared) -> None:
    networks = [STUDY["trained"](norm, 0, 0, 0.25, samples) for norm in ("group", "batch")]
    layers = [[m.weight for m in n.modules() if isinstance(m, nn.Conv2d | nn.Linear)] for n in networks]
    assert all(a.equal(b) for a, b in zip(*layers, strict=True))


@pytest.mark.parametrize(("width", "title"), [(0.25, "quarter width"), (1.0, "full width")])
def test_the_published_means_are_those_of_the_stored_table(width: float, title: str) -> None:
    table = pd.read_csv(PIPELINES / "results" / "norm.csv").query("width == @width")
    means = table.groupby(["norm", "target"])["val_auroc"].mean()
    _, _, rows = (PIPELINES / "results" / "knee_phantom.md").read_text().partition(f"| {title} |")
    for norm in ("group", "batch"):
        published = [float(value) for value in re.search(rf"^\| {norm} \|(.*)\|$", rows, re.MULTILINE)[1].split("|")]
        targets = means[norm][["abnormal", "meniscus", "acl", "cartilage"]]
        assert published == pytest.approx([*targets, targets.mean()], abs=6e-4)
