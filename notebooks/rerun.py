"""Runs every notebook from its start to its end and stores the outputs: `python notebooks/rerun.py`."""

from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient

FOLDER = Path(__file__).parent


def execute(notebook, folder, env=None):
    """Fills in the outputs of a notebook; raises where a cell does."""
    manager = AsyncKernelManager(kernel_name="python3")
    # A kernel of the running interpreter, whatever other kernels this user has.
    manager.kernel_spec_manager = KernelSpecManager(kernel_dirs=[])
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=600,
        record_timing=False,  # times of day would differ in every commit
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(cleanup_kc=True, **({} if env is None else {"env": env}))  # ends the kernel, too


def main():
    """Runs and stores all notebooks of this folder."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        execute(notebook, FOLDER)
        notebook.metadata["language_info"] = {"name": "python"}
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
