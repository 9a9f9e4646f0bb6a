"""Shapes and types are checked in every test; the same test draws the same numbers everywhere."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from jaxtyping import install_import_hook

install_import_hook("knee_i2m2", "beartype.beartype")  # before anything imports the package

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

if TYPE_CHECKING:
    from knee_i2m2.evaluation.evaluate import Evaluation
    from knee_i2m2.report.elements.inputs import Record

_TESTS = Path(__file__).parent
if "OMP_NUM_THREADS" not in os.environ:
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Seeds the global generators, which networks draw their weights from."""
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Returns what builds a folder for all test processes: one builds it, the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name: str, build: Callable[[Path], object]) -> Path:
        built = shared / f"built_{name}"
        built.mkdir(exist_ok=True)
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (built / "finished").exists():
                build(built)
                (built / "finished").touch()
        return built

    return folder


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evaluation]:
    """A finished run and its evaluation, made once; tests that change a run make one of their own."""
    from knee_i2m2.evaluation.evaluate import evaluate
    from tests.evaluation.runs import make_run
    from tests.report.page_parts import finished

    run = finished(make_run(tmp_path_factory.mktemp("evaluated_run")))
    return run, evaluate(run, replicates=200)


@pytest.fixture(scope="session")
def evaluated_run(evaluated: tuple[Path, Evaluation]) -> Path:
    """The folder of the run that is evaluated once."""
    return evaluated[0]


@pytest.fixture(scope="session")
def results(evaluated: tuple[Path, Evaluation]) -> Evaluation:
    """The tables of the run that is evaluated once."""
    return evaluated[1]


@pytest.fixture(scope="session")
def record(evaluated_run: Path) -> Record:
    """What the run that is evaluated once holds for a report."""
    from knee_i2m2.report.elements.inputs import read_record

    return read_record(evaluated_run)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real inputs."""
    folder = Path(os.environ.get("KNEE_I2M2_DATA", _TESTS.parents[1] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"there are no real inputs at {folder}; set KNEE_I2M2_DATA")
    return folder


@pytest.fixture(scope="session")
def fastmri_plus(shared_data: Path) -> Path:
    """The folder of the real fastMRI+ knee files."""
    return shared_data / "fastmri_plus"


@pytest.fixture(scope="session")
def fastmri_file() -> ModuleType:
    """The module that writes tiny fastMRI files."""
    spec = spec_from_file_location("fastmri_file", _TESTS / "sources" / "fastmri" / "fastmri_file.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
