"""Every notebook is kept with its outputs, and runs anew from top to bottom to outputs of the same kinds."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(notebook: NotebookNode) -> list[set[str]]:
    """Returns what each cell shows: pictures, tables and text, as MIME types."""
    return [{kind for output in cell.outputs for kind in output.get("data", ())} for cell in code_cells(notebook)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_is_kept_of_it(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    kept = kinds(notebook)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    assert kinds(notebook) == kept


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_as_it_ran_with_a_figure_and_without_paths_of_a_machine(path: Path) -> None:
    cells = code_cells(nbformat.read(path, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", ()) for output in outputs)
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    shown = [str({k: v for k, v in output.get("data", output).items() if k != "image/png"}) for output in outputs]
    assert not [text for text in shown if re.search(r"/(tmp|home|root|work|Users|private)/", text)]


def test_the_way_to_the_report_needs_the_front_door_alone() -> None:
    path = next(path for path in NOTEBOOKS if path.stem == "from_kspace_to_report")
    code = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    assert [line for line in code.splitlines() if "import knee_i2m2" in line or "from knee_i2m2" in line] == [
        "import knee_i2m2 as ki"
    ]
