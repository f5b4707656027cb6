"""What a search hands back: the record of what happened, seen as trials, tables and pictures, and the winner.

May import `engine`, `storage` and `monitoring`. Begin with `history.py`, the record as arrays, and `result.py`, its
views. `journal.py` is the record as events of a log; `saving.py` and `loading.py` are the result as files.
"""
