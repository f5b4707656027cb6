"""Ways to search for `quality.py`, a file for each kind.

A method has `outcomes(problem, budget, seeds)`, which yields pairs of a seed and what was `Found`.
"""
