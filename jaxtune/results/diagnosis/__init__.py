"""What stands out in a search, in words, and what to do next: a table of rules, each read off the record.

May import what `results` may. Begin with `rules.py`, the table; `finding.py` is what a user gets, `facts.py` what all
rules look at. A rule is a short function of the facts that yields what it saw, in the file of its theme: ranges of
hyperparameters, curves, fit to the data, rungs, number of trials, certainty. One that lacks its facts says nothing;
what it `needs` is told then.
"""
