"""What `quality.py` searches: networks on real data, and functions whose best value is known."""
