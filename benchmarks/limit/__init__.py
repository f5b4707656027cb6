"""The parts of `limits.py`."""
