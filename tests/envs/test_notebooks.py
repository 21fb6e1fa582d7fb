"""The notebooks run from the first cell to the last, and are stored with their output."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent.parent
ENVS = ROOT / "dreamduck" / "envs"
NOTEBOOKS = sorted([*ENVS.glob("*.ipynb"), *(ROOT / "examples").glob("*.ipynb")])


def test_the_notebook_of_2019_is_there():
    assert ENVS / "vae_test.ipynb" in NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_its_outputs(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    images = [o for cell in cells for o in cell.outputs if "image/png" in o.get("data", {})]
    assert images
