"""Equations that are slow in vmapped loops on a CPU, replaced in traced functions. Begin with `rewriting.py`."""
