"""What the tests of the sources share."""

from __future__ import annotations

import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def fastmri_file():
    """The module that writes tiny fastMRI files."""
    spec = spec_from_file_location("fastmri_file", Path(__file__).with_name("fastmri_file.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fastmri_plus() -> Path:
    """The folder of the real fastMRI+ knee files."""
    data = Path(os.environ.get("KNEE_I2M2_DATA", _CHECKOUT.parent / "shared" / "data"))
    folder = data / "fastmri_plus"
    if not (folder / "knee.csv").is_file():
        pytest.skip(f"the real annotations are not at {folder}; set KNEE_I2M2_DATA")
    return folder
