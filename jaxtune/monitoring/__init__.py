"""What a running search shows. May import `interface`. Begin with `progress.py`."""
