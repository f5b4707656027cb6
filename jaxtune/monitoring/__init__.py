"""What a running search shows. May import `results`. Begin with `progress.py`."""
