"""The command `jaxtune`. Imports the public names. Begin with `main.py`; `demo/` is the search that it runs."""
