"""Files in which a search survives: whole or not there, checked when they are read, and never executed.

May import `interface`. Begin with `directory.py`, the folder of a run; it knows nothing of searches. To go on with one
later, to the last bit, it takes exactly:

- the manifest of its `engine.search.Search` (`results.manifest`): problem, plan, sampler, seed, replicates, folds,
  patience, what is kept, lanes at once; and the digest of an earlier result, where it goes on from one;
- the log of what happened (`results.journal`): the trials proposed and the widths chosen, evaluations, decisions,
  widths narrowed. It gives back `engine.standing.Standing`, `results.record.Record` and the number of decisions;
- the populations of its groups, and the weights of trials that stopped early (`drivers.retired`): its last checkpoint.

The rest is made from these: configurations from the points, programs from the functions, views from the record.
"""
