"""Trains many lanes as one compiled program.

May import `tasks`, `samplers`, `schedulers`. Begin with `population.py`, the programs; `group.py` calls them.

A *trial* is a configuration; a *replicate* is one of the seeds that it is trained with, a *fold* one of the divisions
of the data; a *run* is one replicate on one fold; a *lane* is one run of one trial: what is trained. Trials that share
their static hyperparameters make a *group*, with programs and a *population* of its own. A population has room for
*slots*: each holds one trial, the same one in all runs, or nobody. A device trains its lanes in *chunks*.

    R runs = replicates * folds      leaves of a population are [R, rows, D, ...], sharded over D
    D devices                        slot s = row * D + device
    slots = rows * D                 tables of slots are [slots], of trials [T]
    width <= rows                    lanes of a chunk; arrays of a chunk are [width, ...]
"""
