"""Ways to search, one file each: every one has `searcher(work)`, a function from a seed to what it found.

`benchmarks/peers.py` compares them. Those that train with JAX share `training.py`: the same arithmetic on the same
batches, so that what differs is how the trainings are put together.
"""
