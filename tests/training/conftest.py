"""What the tests of the training share."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    """Leaves out threads that would wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The smallest problem."""
    spec = spec_from_file_location("tiny", Path(__file__).with_name("tiny.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
