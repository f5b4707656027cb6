"""The notebooks run on a small budget, and what is stored in them comes from one complete run."""

import ast
import importlib.util
from pathlib import Path

import nbformat
import pytest
from scripts import environment

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

# What replaces the cell tagged "parameters".
SMALL = {
    "01_quickstart": """
halving = jt.SuccessiveHalving(trials=2, min_steps=5, max_steps=10, eta=2)
training, curve = 10, 5
few, replicates = 2, 2
population, generation = 2, 5
widths = (16,)
""",
    "02_what_to_tune": """
sweep = 50
steps = 10
schedules, levels = ("one cycle",), 2
batch_sizes, rates = (64,), 2
few, strengths = 20, 1
configurations = 12
replicates = 2
""",
    "03_learning_from_trials": """
steps, trials = 8, 8
generations = 2
seeds = 2
""",
}


def sizes_cell(notebook):
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    return cell


def assigned(source):
    """Names that a piece of code assigns."""
    nodes = ast.walk(ast.parse(source))
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def rerun():
    """The script that stores the outputs."""
    spec = importlib.util.spec_from_file_location("rerun", FOLDER / "rerun.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_a_notebook():
    assert set(SMALL) == {path.stem for path in NOTEBOOKS}


@pytest.mark.slow
@each_notebook
def test_runs_on_a_small_budget(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    cell = sizes_cell(notebook)
    assert assigned(cell.source) == assigned(SMALL[path.stem])
    cell.source = SMALL[path.stem]
    rerun().execute(notebook, tmp_path, env=environment(trains=False))  # raises where a cell does


@each_notebook
def test_stored_outputs_come_from_one_complete_run(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or "Warning" in output.get("text", "")]
    for cell in cells:
        if "plot" in cell.source.replace("matplotlib.pyplot", "") or "imshow" in cell.source:
            assert any("image/png" in output.get("data", {}) for output in cell.outputs), cell.source
    assert path.stat().st_size < 2**20
