"""What the tests of the sources share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fastmri_plus(shared_data: Path) -> Path:
    """The folder of the real fastMRI+ knee files."""
    return shared_data / "fastmri_plus"
