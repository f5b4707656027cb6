"""What stands between users and the rest: their settings of JAX, their words, the numbers they give, and help.

Imports nothing else of jaxtune. Begin with `entry.py`, which is around every public function.
"""
