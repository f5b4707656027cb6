"""Search spaces: domains, constants and conditions, and the map between the unit cube and hyperparameters.

May import `interface`. Begin with `space.py`; `domains/` has a file for each kind of domain.
"""
