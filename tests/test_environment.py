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


def test_the_environment_holds_the_dependencies_and_what_developing_needs() -> None:
    (pip,) = [entry["pip"] for entry in environment() if isinstance(entry, dict)]
    wanted = project()
    assert pip == [*wanted["dependencies"], *wanted["optional-dependencies"]["dev"]]


def test_the_environment_has_the_python_that_is_required() -> None:
    (python,) = [entry for entry in environment() if isinstance(entry, str) and entry.startswith("python")]
    assert python == f"python{project()['requires-python']}"


def test_every_dependency_has_a_least_version() -> None:
    assert [entry for entry in project()["dependencies"] if not re.search(r">=\d", entry)] == []
