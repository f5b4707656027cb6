"""The two drivers of a search: `tune`, row by row from the host, and `search`, one compiled function.

May import everything below but `training`: engine, results, storage, monitoring. Begin with `tune.py`.
"""
