"""What to find out before, while and after a search, each built on `tune`.

May import `drivers`. Begin with `sensitivity.py`.
"""
