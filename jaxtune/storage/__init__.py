"""What has to be kept for a search to survive.

May import `results`. Begin with `record.py`. To go on with a search later, to the last bit, it takes exactly:

- the manifest of its `engine.search.Search`: problem, plan, sampler, seed, replicates, folds, patience, what is kept,
  placement; and the result of an earlier search, where it goes on from one;
- its `engine.standing.Standing`, and the number of the next decision;
- its `Record`, with every width that was chosen or narrowed;
- the populations of its groups;
- the weights kept aside: of the best trials that stopped early (`drivers.retired`), and of an earlier search.

The rest is made from these: configurations from the points, programs from the functions, views from the record.
"""
