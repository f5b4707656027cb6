"""Searches that ship with the package, run by `jaxtune demo`; to be read as examples of its use."""
