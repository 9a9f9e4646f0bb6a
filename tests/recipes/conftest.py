"""A small run on a phantom of hardly any noise, which several tests look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from knee_i2m2.recipes.knee import Knee, PrepareKnee, prepare, train
from knee_i2m2.sources.phantom import Phantom, make_phantom
from knee_i2m2.sources.phantom.lesions import Strengths


def prepared_phantom(folder: Path, strengths: Strengths = Strengths()) -> Path:  # noqa: B008, it is frozen
    """Returns the prepared data of 60 volumes; other strengths change the lesions and nothing else."""
    settings = Phantom(volumes=60, slices=4, matrix=32, seed=2, noise=0.01, strengths=strengths)
    make_phantom(settings, folder / "phantom")
    prepare(folder / "phantom", PrepareKnee(annotations=folder / "phantom" / "knee.csv", out=folder / "data"))
    return folder / "data"


def _trained(folder: Path) -> None:
    training = {"epochs": 2, "fine_tune_epochs": 1, "threads": 1, "device": "cpu"}
    train(Knee(data=prepared_phantom(folder), out=folder / "run", rivals=["i2m2"], network="small", **training))


@pytest.fixture(scope="session")
def small_run(built_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The run folder; its data lie in `data` beside it. Whoever changes it works on a copy."""
    return built_once("small_run", _trained) / "run"


@pytest.fixture(scope="session")
def without_ligaments(built_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The data of the small run but for its ligament lesions, which change next to nothing."""
    return built_once("without_ligaments", lambda folder: prepared_phantom(folder, Strengths(acl=1e-6))) / "data"
