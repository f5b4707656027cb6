"""What a record says beyond its tables: numbers behind pictures, reports and advice, from arrays alone.

Begin with `dimensions.py`, hyperparameters as places in [0, 1], and `importance.py`. Nothing here draws or writes.
"""
