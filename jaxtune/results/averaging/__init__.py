"""Outputs of several trained models averaged: the replicates of one configuration, and ensembles of several.

May import what `results` may. Begin with `averages.py`; `ensembling.py` selects who belongs to an ensemble.
"""
