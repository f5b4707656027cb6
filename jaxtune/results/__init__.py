"""What a search hands back: the record of what happened, seen as trials, tables and pictures, and the winner.

May import `engine`. Begin with `history.py`, the record as arrays, and `result.py`, its views.
"""
