"""Every script that a user copies runs, small; a checkout runs its own code, and a wheel has all it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import knee_i2m2 as ki
from knee_i2m2.cli import main

ROOT = Path(__file__).parents[2]


def script(name: str) -> ModuleType:
    spec = spec_from_file_location(f"copied_{name}", ROOT / "pipelines" / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_knee(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    phantom = tmp_path / "phantom"
    ki.make_phantom(ki.Phantom(volumes=60, slices=3, matrix=32, seed=2, noise=0.01), phantom)
    script("knee").main(phantom, phantom / "knee.csv", tmp_path / "data", rivals=("position", "inter"), epochs=1)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {tuple(line[:2]) for line in lines} == {
        (target, rival) for target in ("abnormal", "meniscus", "acl", "cartilage") for rival in ("position", "inter")
    }
    assert all(line[5] == "+0.000" for line in lines if line[1] == "inter")


def test_avmnist(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    avmnist = script("avmnist")
    inputs = (shared_data / "mnist", shared_data / "fsdd/recordings.zip", shared_data / "noise")
    avmnist.main(*inputs, tmp_path / "data", epochs=1, train=100, val=20, test=40)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(avmnist.RIVALS)


def test_nlvr2(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sizes = ["--train", "40", "--val", "20", "--test", "40", "--kinds", "existence", "--most", "2"]
    assert main(["scenes", str(tmp_path / "scenes"), *sizes]) == 0
    small = {"epochs": 1, "batch_size": 20, "rivals": ["sentence", "inter"], "threads": 1, "device": "cpu"}
    script("nlvr2").main(tmp_path / "scenes", tmp_path, replicates=100, **small)
    assert (tmp_path / "run" / "report.html").is_file()
    assert {"sentence", "inter"} <= set(capsys.readouterr().out.split())


def run(place: Path, folder: Path, *code: str) -> subprocess.CompletedProcess:
    """Runs Python in a folder with a package of another place in front."""
    environment = {**os.environ, "PYTHONPATH": str(place)}
    return subprocess.run([sys.executable, *code], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, whose version is changed."""
    copy = tmp_path_factory.mktemp("copy") / "checkout"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "knee_i2m2", copy / "knee_i2m2", ignore=shutil.ignore_patterns("__pycache__"))
    changed = copy / "knee_i2m2" / "__init__.py"
    changed.write_text(changed.read_text().replace(f'"{ki.__version__}"', '"9.8.7"'))
    recipe = copy / "knee_i2m2" / "recipes" / "training.py"
    recipe.write_text(recipe.read_text() + "\nCHANGED = True\n")
    return copy


def test_a_checkout_on_the_path_runs_its_own_code(checkout: Path, tmp_path: Path) -> None:
    assert run(checkout, tmp_path, "-m", "knee_i2m2", "--version").stdout.strip() == "9.8.7"
    code = "from knee_i2m2.recipes import training; import knee_i2m2; print(training.CHANGED, knee_i2m2.__file__)"
    assert run(checkout, tmp_path, "-c", code).stdout.split() == ["True", str(checkout / "knee_i2m2" / "__init__.py")]


@pytest.mark.slow
def test_a_wheel_outside_the_checkout_finds_the_shipped_options(checkout: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*pip, str(checkout)], check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "unpacked")
        assert {"knee_i2m2/py.typed", "knee_i2m2/recipes/nlvr2_scenes.yaml"} <= set(wheel.namelist())
    command = (
        "-m",
        "knee_i2m2",
        "train",
        "knee",
        "--data",
        "nothing",
        "--out",
        "run",
        "--config",
        "knee_original.yaml",
    )
    done = run(tmp_path / "unpacked", tmp_path, *command)
    assert done.returncode == 3 and "holds no finished prepared data" in done.stderr, done.stderr
    assert run(tmp_path / "unpacked", tmp_path, *command, "--networks", "small").returncode == 2
