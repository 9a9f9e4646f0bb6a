"""The conda environment and the wheel ask for the same packages."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it there
ROOT = Path(__file__).parents[1]


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def environment() -> list:
    return yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]


def packages() -> list[str]:
    (pip,) = [entry["pip"] for entry in environment() if isinstance(entry, dict)]
    return pip


def test_the_environment_holds_the_dependencies_and_what_developing_needs() -> None:
    wanted, extras = project()["dependencies"], project()["optional-dependencies"]
    others = [package for package in packages() if not package.startswith(("torch==", "torchvision=="))]
    assert others == [*wanted[1:], *extras["dev"], *extras["fastmri"]]
    assert wanted[0] == "torch>=2.10"


def test_the_environment_pins_the_makefiles_torch_and_the_torchvision_that_needs_it() -> None:
    """Torchvision 0.28.0 requires torch 2.13.0: its minor version is 15 ahead."""
    torch, torchvision = packages()[:2]
    assert re.search(r"^TORCH \?= (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1] == torch
    minor, patch = re.fullmatch(r"torch==2\.(\d+)\.(\d+)", torch).groups()
    assert torchvision == f"torchvision==0.{int(minor) + 15}.{patch}"


def test_the_environment_has_the_python_that_is_required() -> None:
    (python,) = [entry for entry in environment() if isinstance(entry, str) and entry.startswith("python")]
    assert python == f"python{project()['requires-python']}"


def test_every_dependency_has_a_least_version() -> None:
    assert [entry for entry in project()["dependencies"] if not re.search(r">=\d", entry)] == []
