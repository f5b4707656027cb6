"""Winners trained again on fresh seeds, and ranked by these alone.

May import what `results` may. Begin with `confirmation.py`, what a user gets; `race.py` decides whose seeds go on.
"""
